/** The claims of a stateful set's pods: their names, and who owns them, so that they go or stay as its retention policy says. */
import type { StatefulSet } from '#shared/api/apps/statefulset.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { pods, statefulSets } from '#shared/api/kinds.ts'
import type { OwnerReference } from '#shared/api/meta/objectmeta.ts'
import { apiVersion } from '#shared/api/resource.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { controllerRef } from '../podcontrol/ownership.ts'
import { claimName, isWanted, podName } from './identity.ts'

type Owned = Pick<PersistentVolumeClaim, 'metadata'>
const refsOf = ({ metadata }: Owned): readonly OwnerReference[] => metadata.ownerReferences ?? []
const policyOf = ({ spec }: StatefulSet) => ({
  whenDeleted: spec.persistentVolumeClaimRetentionPolicy?.whenDeleted ?? 'Retain',
  whenScaled: spec.persistentVolumeClaimRetentionPolicy?.whenScaled ?? 'Retain',
})
const isOf = (ref: OwnerReference, kind: typeof pods | typeof statefulSets, name: string | undefined): boolean =>
  ref.kind === kind.kind && ref.apiVersion === apiVersion(kind) && ref.name === name

export const claimNames = (set: StatefulSet, ordinal: number): string[] =>
  (set.spec.volumeClaimTemplates ?? []).map(t => claimName(set, t.metadata?.name ?? '', ordinal))

/** The claims of the pod with this ordinal; they go with the set where its policy says so. */
export function newClaims(set: StatefulSet, ordinal: number): PersistentVolumeClaim[] {
  const goesWithSet = policyOf(set).whenDeleted === 'Delete'
  return (set.spec.volumeClaimTemplates ?? []).map(({ metadata, spec }) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      ...metadata,
      name: claimName(set, metadata?.name ?? '', ordinal),
      namespace: set.metadata.namespace,
      labels: { ...metadata?.labels, ...set.spec.selector?.matchLabels },
      ...(goesWithSet ? { ownerReferences: [controllerRef(statefulSets, set)] } : {}),
    },
    spec,
  })) as PersistentVolumeClaim[]
}

/**
 * Whether a claim is to go with a pod that is gone: the pod that is to be created would lose it. Only where claims go when the set
 * shrinks; others are there to be used again.
 */
export function isStale(claim: Owned, set: StatefulSet, ordinal: number): boolean {
  return policyOf(set).whenScaled === 'Delete' && refsOf(claim).some(ref => isOf(ref, pods, podName(set, ordinal)))
}

/**
 * Who is to own the claim of `pod`, whose ordinal is given; undefined when that is so, or when it is not ours to decide: the claim goes
 * with a former set or pod of the name.
 */
export function ownersOf(claim: Owned, set: StatefulSet, pod: LeanPod, ordinal: number): OwnerReference[] | undefined {
  const refs = refsOf(claim)
  const ofSet = refs.find(ref => isOf(ref, statefulSets, set.metadata.name))
  const ofPod = refs.find(ref => isOf(ref, pods, pod.metadata.name))
  if ((ofSet && ofSet.uid !== set.metadata.uid) || (ofPod && ofPod.uid !== pod.metadata.uid)) return undefined
  const { whenDeleted, whenScaled } = policyOf(set)
  const others = refs.filter(ref => ref !== ofSet && ref !== ofPod)
  const condemned = whenScaled === 'Delete' && !isWanted(set, ordinal)
  const own: OwnerReference[] = []
  // Beside another controller we are none.
  if (!others.some(ref => ref.controller)) {
    if (condemned) own.push(controllerRef(pods, pod))
    else if (whenDeleted === 'Delete') own.push(controllerRef(statefulSets, set))
  }
  const now = [ofSet, ofPod].filter(ref => ref !== undefined)
  const same = now.length === own.length && own.every(o => now.some(n => n.uid === o.uid && n.controller))
  return same ? undefined : [...others, ...own]
}
