/** To which size a volume is brought next, whatever was begun and has become of it. */
import { expect, test } from 'vitest'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { nextSize } from '#control-plane/controller-manager/csi/expansion.ts'

test.each([
  // What the volume has, what the claim wants, what was begun, its state, whether it is known to have failed: what is next.
  ['2Gi', '5Gi', undefined, undefined, false, '5Gi'],
  ['2Gi', '5Gi', '5Gi', 'ControllerResizeInProgress', false, '5Gi'],
  ['2Gi', '3Gi', '5Gi', 'ControllerResizeInProgress', false, '5Gi'],
  ['2Gi', '3Gi', '5Gi', 'ControllerResizeInProgress', true, '3Gi'],
  ['5Gi', '3Gi', '5Gi', 'ControllerResizeInProgress', true, '5Gi'],
  ['2Gi', '3Gi', '5Gi', 'ControllerResizeInfeasible', false, '3Gi'],
  ['5Gi', '3Gi', '5Gi', 'ControllerResizeInfeasible', false, '5Gi'],
  ['5Gi', '5Gi', '5Gi', 'NodeResizePending', false, undefined],
  ['5Gi', '9Gi', '5Gi', 'NodeResizePending', false, undefined],
  ['5Gi', '9Gi', '5Gi', 'NodeResizeInProgress', false, undefined],
  ['2Gi', '9Gi', '5Gi', 'NodeResizePending', false, '5Gi'],
  ['5Gi', '9Gi', '5Gi', 'NodeResizeInfeasible', false, '5Gi'],
  ['5Gi', '9Gi', '5Gi', undefined, false, '9Gi'],
] as const)('of %s, wanted %s, begun %s, %s, failed %s: %s', (has, wants, begun, state, failed, next) => {
  const claim = {
    metadata: {},
    spec: { resources: { requests: { storage: wants } } },
    status: {
      ...(begun ? { allocatedResources: { storage: begun } } : {}),
      ...(state ? { allocatedResourceStatuses: { storage: state } } : {}),
    },
  } as unknown as PersistentVolumeClaim
  const volume = { metadata: {}, spec: { capacity: { storage: has } } } as unknown as PersistentVolume
  expect(nextSize(claim, volume, failed)).toBe(next)
})
