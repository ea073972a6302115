/** What a pod's claims would get on a node: a pure function of what was read. FindPodVolumes of upstream's binder.go */
import type { Node } from '#shared/api/core/node.ts'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import { compareQuantity } from '#shared/machinery/quantity.ts'
import { noProvisioner, selectedNode } from '#shared/storage/annotations.ts'
import { findMatchingVolume } from '#shared/storage/match.ts'
import { matchesTopology } from '#shared/storage/topology.ts'
import { classOf, isReachableFrom } from '#shared/storage/volume.ts'
import { unresolvable, type Status } from '../framework.ts'
import type { PodClaims } from './podclaims.ts'

export interface PodVolumes {
  readonly bindings: readonly { readonly claim: PersistentVolumeClaim; readonly volume: PersistentVolume }[]
  readonly provisions: readonly PersistentVolumeClaim[]
}
export interface VolumeWorld {
  readonly volume: (name: string) => PersistentVolume | undefined
  /** Volumes for the claim, and those for nobody of its class. */
  readonly candidates: (claim: PersistentVolumeClaim) => Iterable<PersistentVolume>
  readonly class: (name: string) => StorageClass | undefined
  readonly hasCapacity: (claim: PersistentVolumeClaim, storageClass: StorageClass, node: Node) => boolean
}

export const bindConflict = "node(s) didn't find available persistent volumes to bind"
export const nodeConflict = 'node(s) had volume node affinity conflict'
export const notEnoughSpace = 'node(s) did not have enough free storage'
export const volumeMissing = 'node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)'

const none: PodVolumes = { bindings: [], provisions: [] }
const sizeOf = ({ spec }: PersistentVolumeClaim): string => spec.resources?.requests?.['storage'] ?? '0'

/** Throws when a class is missing. */
export function findPodVolumes({ bound, delayed }: PodClaims, node: Node, world: VolumeWorld): PodVolumes | Status {
  const wrong = checkBound(bound, node, world)
  const found = delayed.length === 0 ? none : findDelayed(delayed, node, world)
  if (typeof found !== 'string' && !wrong) return found
  const reasons = [wrong, typeof found === 'string' ? found : undefined].filter(r => r !== undefined)
  return unresolvable(...(wrong === volumeMissing ? reasons.reverse() : reasons))
}

/** What keeps the pod off the node, by its first volume that does. */
function checkBound(claims: readonly PersistentVolumeClaim[], node: Node, world: VolumeWorld): string | undefined {
  for (const { spec } of claims) {
    const volume = world.volume(spec.volumeName ?? '')
    if (!volume) return volumeMissing
    if (!isReachableFrom(volume, node)) return nodeConflict
  }
  return undefined
}

function findDelayed(claims: readonly PersistentVolumeClaim[], node: Node, world: VolumeWorld): PodVolumes | string {
  const provisions: PersistentVolumeClaim[] = []
  const bindings: { claim: PersistentVolumeClaim; volume: PersistentVolume }[] = []
  const open: PersistentVolumeClaim[] = []
  for (const claim of claims) {
    const selected = claim.metadata.annotations?.[selectedNode]
    if (selected === undefined) open.push(claim)
    else if (selected === node.metadata.name) provisions.push(claim)
    else return bindConflict
  }
  const excluded = new Set<string>()
  // The smallest first: it leaves the large ones.
  for (const claim of open.sort((a, b) => compareQuantity(sizeOf(a), sizeOf(b)))) {
    const volume = findMatchingVolume(claim, world.candidates(claim), { node, delayBinding: true, excluded })
    if (!volume) {
      provisions.push(claim)
      continue
    }
    excluded.add(volume.metadata.name ?? '')
    bindings.push({ claim, volume })
  }
  for (const claim of provisions) {
    const name = classOf(claim)
    const storageClass = world.class(name)
    if (!storageClass) throw new Error(`failed to find storage class ${JSON.stringify(name)}`)
    if (!storageClass.provisioner || storageClass.provisioner === noProvisioner) return bindConflict
    if (!matchesTopology(storageClass.allowedTopologies, node)) return bindConflict
    if (!world.hasCapacity(claim, storageClass, node)) return notEnoughSpace
  }
  return { bindings, provisions }
}
