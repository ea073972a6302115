/** What claims and volumes say of each other: k8s.io/component-helpers/storage/volume. */
import { storageClassAnnotation } from '../api/core/accessmodes.ts'
import type { Node } from '../api/core/node.ts'
import type { PersistentVolume } from '../api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '../api/core/persistentvolumeclaim.ts'
import type { StorageClass } from '../api/storage/storageclass.ts'
import { matchesTerm } from '../scheduling/nodeaffinity.ts'
import { bindCompleted, boundByController, hasAnnotation, selectedNode } from './annotations.ts'

type ClassedMeta = { readonly metadata: PersistentVolume['metadata']; readonly spec: { storageClassName?: string | undefined } }

/** The storage class of a claim or volume; empty for none. */
export const classOf = ({ metadata, spec }: ClassedMeta): string =>
  metadata.annotations?.[storageClassAnnotation] ?? spec.storageClassName ?? ''
/** Whether a claim says anything about its class, also that it wants none. */
export const namesClass = ({ metadata, spec }: ClassedMeta): boolean =>
  metadata.annotations?.[storageClassAnnotation] !== undefined || spec.storageClassName !== undefined

export const claimKey = ({ metadata }: PersistentVolumeClaim): string => `${metadata.namespace}/${metadata.name}`
/** The key of the claim that a volume is for; undefined when it is for none. */
export const claimRefKey = ({ spec: { claimRef: ref } }: PersistentVolume): string | undefined =>
  ref ? `${ref.namespace ?? ''}/${ref.name ?? ''}` : undefined

/** Whether the volume is for this very claim: by name, and by UID where its reference has one. */
export function isVolumeBoundToClaim({ spec: { claimRef: ref } }: PersistentVolume, { metadata }: PersistentVolumeClaim): boolean {
  return ref?.name === metadata.name && ref?.namespace === metadata.namespace && (!ref?.uid || ref.uid === metadata.uid)
}
export const isFullyBound = (claim: PersistentVolumeClaim): boolean => Boolean(claim.spec.volumeName) && hasAnnotation(claim, bindCompleted)

/** Whether the claim's volume waits for its first pod. */
export const isDelayBinding = (claim: PersistentVolumeClaim, classNamed: (name: string) => StorageClass | undefined): boolean =>
  classNamed(classOf(claim))?.volumeBindingMode === 'WaitForFirstConsumer'
/** Whether the scheduler has chosen a node for which a volume is to be made. */
export const isDelayBindingProvisioning = (claim: PersistentVolumeClaim): boolean => hasAnnotation(claim, selectedNode)

/** Whether the volume can be reached from the node. */
export function isReachableFrom({ spec }: PersistentVolume, node: Node): boolean {
  const terms = spec.nodeAffinity?.required?.nodeSelectorTerms
  return !spec.nodeAffinity?.required || (terms ?? []).some(term => matchesTerm(term, node))
}

const annotated = (metadata: PersistentVolume['metadata'], added: Record<string, string>): PersistentVolume['metadata'] => ({
  ...metadata,
  annotations: { ...metadata.annotations, ...added },
})

/** The volume bound to the claim; undefined when it is already. */
export function volumeBoundTo(volume: PersistentVolume, claim: PersistentVolumeClaim): PersistentVolume | undefined {
  const { namespace, name, uid, resourceVersion } = claim.metadata
  const mark = !isVolumeBoundToClaim(volume, claim) && !hasAnnotation(volume, boundByController)
  const isRef = isVolumeBoundToClaim(volume, claim) && volume.spec.claimRef?.uid === uid
  if (!mark && isRef) return undefined
  return {
    ...volume,
    metadata: mark ? annotated(volume.metadata, { [boundByController]: 'yes' }) : volume.metadata,
    spec: isRef
      ? volume.spec
      : { ...volume.spec, claimRef: { kind: 'PersistentVolumeClaim', apiVersion: 'v1', namespace, name, uid, resourceVersion } },
  }
}

/** The claim bound to the volume; undefined when it is already. */
export function claimBoundTo(claim: PersistentVolumeClaim, volume: PersistentVolume): PersistentVolumeClaim | undefined {
  const other = claim.spec.volumeName !== volume.metadata.name
  const added = {
    ...(other && !hasAnnotation(claim, boundByController) ? { [boundByController]: 'yes' } : {}),
    ...(hasAnnotation(claim, bindCompleted) ? {} : { [bindCompleted]: 'yes' }),
  }
  if (!other && Object.keys(added).length === 0) return undefined
  return { ...claim, metadata: annotated(claim.metadata, added), spec: { ...claim.spec, volumeName: volume.metadata.name } }
}
