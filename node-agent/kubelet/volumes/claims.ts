/**
 * What a claim is bound to, and whether this node may use it: the checks and words of upstream's desired_state_of_world_populator.go. Nodes
 * may get claims and volumes and not watch them: what is not bound yet is looked at again.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { persistentVolumeClaims, persistentVolumes } from '#shared/api/kinds.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Client } from '#shared/client/client.ts'
import { isFullyBound } from '#shared/storage/volume.ts'
import { matchesTerm } from '#shared/scheduling/nodeaffinity.ts'
import { allContainers, uidOf } from '../pod/containers.ts'
import type { ResolvedVolume } from './plugin.ts'

/** The name of the claim that a volume of the pod is; undefined for other volumes. */
export const claimName = (pod: Pod, volume: ResolvedVolume): string | undefined =>
  volume.persistentVolumeClaim?.claimName ?? (volume.ephemeral ? `${pod.metadata.name}-${volume.name}` : undefined)

/** Resolves volumes for `podVolumes`. */
export function claimResolver(client: Client, node: () => Node | undefined) {
  return async (pod: Pod, volume: ResolvedVolume): Promise<ResolvedVolume> => {
    const name = claimName(pod, volume)
    if (name === undefined) return volume
    const namespace = pod.metadata.namespace ?? ''
    try {
      const bound = await boundVolume(client, pod, volume, namespace, name)
      checkMode(pod, volume, bound)
      checkAffinity(bound, node())
      return { ...volume, persistentVolume: { name: bound.metadata.name ?? '', spec: bound.spec } }
    } catch (e) {
      if (e instanceof NodeAffinityError) throw e
      throw new Error(`error processing PVC ${namespace}/${name}: ${(e as Error).message}`)
    }
  }
}

/** A claim that has its volume is told so in two steps, of which the scheduler needs the first only. */
const toldWithinMs = 500
const lookMs = 20

async function claimOf(client: Client, namespace: string, name: string): Promise<PersistentVolumeClaim> {
  const began = performance.now()
  for (;;) {
    const claim = (await client
      .get(persistentVolumeClaims, namespace, name)
      .catch((e: Error) => Promise.reject(new Error(`failed to fetch PVC from API server: ${e.message}`)))) as PersistentVolumeClaim
    if (claim.status?.phase === 'Bound' || !isFullyBound(claim) || performance.now() - began > toldWithinMs) return claim
    await sleep(lookMs)
  }
}

async function boundVolume(client: Client, pod: Pod, volume: ResolvedVolume, namespace: string, name: string): Promise<PersistentVolume> {
  const claim = await claimOf(client, namespace, name)
  if (volume.ephemeral && !claim.metadata.ownerReferences?.some(o => o.controller && o.uid === uidOf(pod)))
    throw new Error(`PVC ${namespace}/${name} was not created for pod ${namespace}/${pod.metadata.name} (pod is not owner)`)
  if (claim.metadata.deletionTimestamp) throw new Error('PVC is being deleted')
  if (claim.status?.phase !== 'Bound') throw new Error('PVC is not bound')
  const volumeName = claim.spec.volumeName ?? ''
  if (volumeName === '') throw new Error('PVC has empty pvc.Spec.VolumeName')
  const bound = (await client
    .get(persistentVolumes, '', volumeName)
    .catch((e: Error) => Promise.reject(new Error(`failed to fetch PV ${volumeName} from API server: ${e.message}`)))) as PersistentVolume
  const ref = bound.spec.claimRef
  if (!ref) throw new Error(`found PV object ${volumeName} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim`)
  if (ref.uid !== claim.metadata.uid)
    throw new Error(
      `found PV object ${volumeName} but its pv.Spec.ClaimRef.UID ${ref.uid ?? ''} does not point to claim.UID ${claim.metadata.uid}`,
    )
  return bound
}

function checkMode(pod: Pod, { name }: ResolvedVolume, { spec }: PersistentVolume): void {
  const mode = spec.volumeMode ?? 'Filesystem'
  const containers = allContainers(pod).map(c => c.container)
  if (mode !== 'Filesystem' && containers.some(c => c.volumeMounts?.some(m => m.name === name)))
    throw new Error(`volume ${name} has volumeMode ${mode}, but is specified in volumeMounts`)
  if (mode !== 'Block' && containers.some(c => c.volumeDevices?.some(d => d.name === name)))
    throw new Error(`volume ${name} has volumeMode ${mode}, but is specified in volumeDevices`)
}

/** Its message stands by itself. */
export class NodeAffinityError extends Error {}

function checkAffinity({ metadata, spec }: PersistentVolume, node: Node | undefined): void {
  const terms = spec.nodeAffinity?.required?.nodeSelectorTerms
  if (!terms || !node || terms.some(term => matchesTerm(term, node))) return
  throw new NodeAffinityError(
    `MountVolume.NodeAffinity check failed for volume ${JSON.stringify(metadata.name)} : no matching NodeSelectorTerms`,
  )
}
