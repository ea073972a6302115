/**
 * Has a driver enlarge what is mounted when a claim's volume has grown, and tells that by the claim's status.
 * pkg/volume/util/operationexecutor NodeExpander
 */
import { persistentVolumeClaims, persistentVolumes } from '#shared/api/kinds.ts'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Client } from '#shared/client/client.ts'
import { quantityValue } from '#shared/machinery/quantity.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { Code, RpcError } from '#shared/grpc/rpc.ts'
import { claimName } from '../claims.ts'
import type { ResolvedVolume } from '../plugin.ts'

const size = (of: { [resource: string]: string } | undefined): number => quantityValue(of?.['storage'] ?? '0')
const ours = ['Resizing', 'FileSystemResizePending', 'ControllerResizeError', 'NodeResizeError']

/** `enlarge` asks the driver for at least so many bytes and resolves with how many there are. Resolves with whether anything was done. */
export async function expandOnNode(
  client: Client,
  pod: Pod,
  volume: ResolvedVolume,
  enlarge: (bytes: number) => Promise<number>,
): Promise<'done' | 'nothing' | { failed: string }> {
  const name = claimName(pod, volume)
  if (name === undefined || !volume.persistentVolume) return 'nothing'
  const claim = (await client.get(persistentVolumeClaims, pod.metadata.namespace ?? '', name)) as PersistentVolumeClaim
  const bound = (await client.get(persistentVolumes, '', volume.persistentVolume.name)) as PersistentVolume
  const capacity = size(bound.spec.capacity)
  const state = claim.status?.allocatedResourceStatuses?.['storage']
  if (claim.status?.phase !== 'Bound' || capacity <= size(claim.status.capacity) || state === 'NodeResizeInfeasible') return 'nothing'
  // Still the controller's.
  if (state === 'ControllerResizeInProgress' || state === 'ControllerResizeInfeasible') return 'nothing'
  const others = (claim.status.conditions ?? []).filter(c => !ours.includes(c.type))
  const say = (status: object): Promise<unknown> =>
    client.patch(persistentVolumeClaims, claim.metadata.namespace ?? '', name, 'merge', { status }, 'status')
  try {
    const bytes = await enlarge(capacity)
    if (bytes !== 0 && bytes < capacity)
      throw new Error(`the driver says that the volume has ${bytes} bytes, which is less than ${capacity}`)
  } catch (e) {
    const infeasible = e instanceof RpcError && ([Code.invalidArgument, Code.outOfRange, Code.notFound] as number[]).includes(e.code)
    const condition = { type: 'NodeResizeError', status: 'True', lastTransitionTime: formatTime(), message: (e as Error).message }
    if (infeasible) await say({ allocatedResourceStatuses: { storage: 'NodeResizeInfeasible' }, conditions: [...others, condition] })
    return { failed: (e as Error).message }
  }
  await say({ capacity: { storage: bound.spec.capacity?.['storage'] }, allocatedResourceStatuses: { storage: null }, conditions: others })
  return 'done'
}
