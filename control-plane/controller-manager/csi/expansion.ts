/** To which size a volume is brought next. https://kep.k8s.io/1790, external-resizer pkg/controller/expand_and_recover.go */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { quantityValue } from '#shared/machinery/quantity.ts'

export const sizeOf = (of: { [resource: string]: string } | undefined): number => quantityValue(of?.['storage'] ?? '0')

/**
 * The size, as a quantity, that the driver is to be asked for; undefined while the rest is its node's. What was begun and may have been
 * done is seen through before the claim's new wish, which may be smaller, counts: quota is for what was begun. `failed`: it is known that
 * it was not done.
 */
export function nextSize(claim: PersistentVolumeClaim, volume: PersistentVolume, failed: boolean): string | undefined {
  const wanted = claim.spec.resources?.requests?.['storage'] ?? '0'
  const { allocatedResources, allocatedResourceStatuses } = claim.status ?? {}
  const begun = allocatedResources?.['storage'] ?? wanted
  const state = allocatedResourceStatuses?.['storage']
  const capacity = sizeOf(volume.spec.capacity)
  const isThere = capacity >= quantityValue(wanted)
  switch (state) {
    case 'NodeResizePending':
    case 'NodeResizeInProgress':
      return isThere || capacity >= quantityValue(begun) ? undefined : begun
    case 'NodeResizeInfeasible':
      return begun
    case 'ControllerResizeInProgress':
      return failed && !isThere ? wanted : begun
    default:
      return isThere ? begun : wanted
  }
}
