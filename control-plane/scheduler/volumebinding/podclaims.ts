/** The claims of a pod, by whether they are bound and who binds them. */
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { isDelayBinding, isFullyBound } from '#shared/storage/volume.ts'
import { unresolvable, type Status } from '../framework.ts'

export interface PodClaims {
  readonly bound: readonly PersistentVolumeClaim[]
  /** Volumes are chosen, or made, for the node of the pod. */
  readonly delayed: readonly PersistentVolumeClaim[]
}
interface NamedClaim {
  readonly name: string
  readonly ephemeral: boolean
}

/** Names of the claims that the pod uses. */
export function claimNames({ metadata, spec }: Pod): NamedClaim[] {
  if (!spec.volumes?.length) return []
  return spec.volumes.flatMap((v): NamedClaim[] => {
    if (v.persistentVolumeClaim) return [{ name: v.persistentVolumeClaim.claimName, ephemeral: false }]
    return v.ephemeral ? [{ name: `${metadata.name}-${v.name}`, ephemeral: true }] : []
  })
}
export const usesClaims = ({ spec }: Pod): boolean => spec.volumes?.some(v => v.persistentVolumeClaim || v.ephemeral) ?? false
export const isOwner = (pod: Pod, claim: PersistentVolumeClaim): boolean =>
  claim.metadata.ownerReferences?.some(o => o.controller && o.uid === pod.metadata.uid) ?? false

/** Rejects the pod, in upstream's words, when one of them is not there, is going, or is bound by nobody yet. */
export function podClaims(
  pod: Pod,
  claimNamed: (namespace: string, name: string) => PersistentVolumeClaim | undefined,
  classNamed: (name: string) => StorageClass | undefined,
): PodClaims | Status {
  const namespace = pod.metadata.namespace ?? ''
  const bound: PersistentVolumeClaim[] = []
  const delayed: PersistentVolumeClaim[] = []
  let immediate = false
  for (const { name, ephemeral } of claimNames(pod)) {
    const claim = claimNamed(namespace, name)
    const quoted = JSON.stringify(name)
    if (!claim && ephemeral) return unresolvable(`waiting for ephemeral volume controller to create the persistentvolumeclaim ${quoted}`)
    if (!claim) return unresolvable(`persistentvolumeclaim ${quoted} not found`)
    if (claim.status?.phase === 'Lost')
      return unresolvable(
        `persistentvolumeclaim ${quoted} bound to non-existent persistentvolume ${JSON.stringify(claim.spec.volumeName ?? '')}`,
      )
    if (claim.metadata.deletionTimestamp) return unresolvable(`persistentvolumeclaim ${quoted} is being deleted`)
    if (ephemeral && !isOwner(pod, claim))
      return unresolvable(`PVC ${namespace}/${name} was not created for pod ${namespace}/${pod.metadata.name} (pod is not owner)`)
    if (isFullyBound(claim)) bound.push(claim)
    else if (!claim.spec.volumeName && isDelayBinding(claim, classNamed)) delayed.push(claim)
    else immediate = true
  }
  return immediate ? unresolvable('pod has unbound immediate PersistentVolumeClaims') : { bound, delayed }
}
