/** What scheduler, kubelet and resource claim controller agree on about claims. */
import type { ResourceClaim } from '../api/resource/resourceclaim.ts'
import type { LeanPod as Pod } from '../client/leanpod.ts'

/** Keeps a claim as long as it has devices: the finalizer of resource.k8s.io. */
export const deleteProtection = 'resource.kubernetes.io/delete-protection'
/** Of a claim that was made from a template: which of the pod's claims it is. */
export const podClaimName = 'resource.kubernetes.io/pod-claim-name'

/** How many may use a claim: upstream's ResourceClaimReservedForMaxSize. */
export const mostConsumers = 256

/** Whether a claim was made for a pod. */
export const isMadeFor = (pod: Pod, { metadata }: ResourceClaim): boolean =>
  metadata.ownerReferences?.some(o => o.controller && o.uid === pod.metadata.uid) === true

interface ClaimName {
  /** As the pod's containers call it. */
  readonly entry: string
  /** Undefined as long as the claim is not made. */
  readonly name: string | undefined
  readonly generated: boolean
}
/** The names of the claims of a pod; of a template none may have been needed. */
export function claimNamesOf(pod: Pod): ClaimName[] {
  return (pod.spec.resourceClaims ?? []).flatMap(({ name: entry, resourceClaimName }): ClaimName[] => {
    if (resourceClaimName !== undefined) return [{ entry, name: resourceClaimName, generated: false }]
    const status = pod.status?.resourceClaimStatuses?.find(s => s.name === entry)
    return status && status.resourceClaimName === undefined ? [] : [{ entry, name: status?.resourceClaimName, generated: true }]
  })
}
