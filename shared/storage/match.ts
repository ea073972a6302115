/** Which volume a claim gets: the smallest that satisfies it. FindMatchingVolume of k8s.io/component-helpers/storage/volume. */
import type { Node } from '../api/core/node.ts'
import type { PersistentVolume } from '../api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '../api/core/persistentvolumeclaim.ts'
import { selects } from '../machinery/labels.ts'
import { compareQuantity } from '../machinery/quantity.ts'
import { classOf, isReachableFrom, isVolumeBoundToClaim } from './volume.ts'

const sizeOf = ({ spec }: PersistentVolume): string => spec.capacity?.['storage'] ?? '0'
const wanted = ({ spec }: PersistentVolumeClaim): string => spec.resources?.requests?.['storage'] ?? '0'
const modesMatch = (claim: PersistentVolumeClaim, volume: PersistentVolume): boolean =>
  (claim.spec.accessModes ?? []).every(mode => volume.spec.accessModes?.includes(mode))
export const volumeModesMatch = (claim: PersistentVolumeClaim, volume: PersistentVolume): boolean =>
  (claim.spec.volumeMode ?? 'Filesystem') === (volume.spec.volumeMode ?? 'Filesystem')
const attributesMatch = (claim: PersistentVolumeClaim, volume: PersistentVolume): boolean =>
  (claim.spec.volumeAttributesClassName ?? '') === (volume.spec.volumeAttributesClassName ?? '')

export interface MatchOptions {
  /** The node of the pod: the scheduler asks. Without it the binder does, which leaves claims that wait for a pod to the scheduler. */
  readonly node?: Node
  readonly delayBinding?: boolean
  /** Volumes that others are about to get, by name. */
  readonly excluded?: { has(name: string): boolean }
}

/**
 * The volume among `volumes` that the claim is to get, or has already. Of those that fit the one with the fewest further access modes, then
 * the smallest, then the first by name.
 */
export function findMatchingVolume(
  claim: PersistentVolumeClaim,
  volumes: Iterable<PersistentVolume>,
  { node, delayBinding = false, excluded }: MatchOptions = {},
): PersistentVolume | undefined {
  const className = classOf(claim)
  let best: PersistentVolume | undefined
  for (const volume of volumes) {
    if (excluded?.has(volume.metadata.name ?? '')) continue
    const bound = isVolumeBoundToClaim(volume, claim)
    if (volume.spec.claimRef && !bound) continue
    if (compareQuantity(sizeOf(volume), wanted(claim)) < 0 || !volumeModesMatch(claim, volume) || !attributesMatch(claim, volume)) continue
    if (volume.metadata.deletionTimestamp || !modesMatch(claim, volume)) continue
    const reachable = !node || isReachableFrom(volume, node)
    if (bound) return reachable ? volume : undefined
    if ((!node && delayBinding) || !reachable) continue
    if (volume.status?.phase !== 'Available' || classOf(volume) !== className) continue
    if (claim.spec.selector && !selects(claim.spec.selector, volume.metadata.labels)) continue
    if (!best || isBetter(volume, best)) best = volume
  }
  return best
}

function isBetter(a: PersistentVolume, b: PersistentVolume): boolean {
  const modes = (v: PersistentVolume): number => v.spec.accessModes?.length ?? 0
  if (modes(a) !== modes(b)) return modes(a) < modes(b)
  const bySize = compareQuantity(sizeOf(a), sizeOf(b))
  return bySize === 0 ? (a.metadata.name ?? '') < (b.metadata.name ?? '') : bySize < 0
}

/** Why a claim cannot have the volume that it names; undefined when it can. In upstream's words. */
export function whyUnsatisfied(claim: PersistentVolumeClaim, volume: PersistentVolume): string | undefined {
  if (compareQuantity(sizeOf(volume), wanted(claim)) < 0) return 'requested PV is too small'
  if (classOf(volume) !== classOf(claim)) return 'storageClassName does not match'
  if (!volumeModesMatch(claim, volume)) return 'incompatible volumeMode'
  if (!attributesMatch(claim, volume)) return 'volumeAttributesClassName does not match'
  if (!modesMatch(claim, volume)) return 'incompatible accessMode'
  return undefined
}
