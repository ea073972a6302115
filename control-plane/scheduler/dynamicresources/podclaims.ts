/** The resource claims of a pod: named by it, or made for it from templates. k8s.io/dynamic-resource-allocation/resourceclaim */
import type { ResourceClaim } from '#shared/api/resource/resourceclaim.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'

/** `waits`: a claim that is yet to be made; a pod is tried again when it changes. */
export type PodClaims = { readonly claims: readonly ResourceClaim[] } | { readonly waits: string } | { readonly wrong: string }

export const usesResourceClaims = (pod: Pod): boolean => (pod.spec.resourceClaims?.length ?? 0) > 0

const isFor = (pod: Pod, { metadata }: ResourceClaim): boolean =>
  metadata.ownerReferences?.some(o => o.controller && o.uid === pod.metadata.uid) === true

interface ClaimName {
  /** Undefined as long as the claim is not made. */
  readonly name: string | undefined
  readonly generated: boolean
}
/** The names of the claims of a pod; of a template none may have been needed. */
export function claimNamesOf(pod: Pod): ClaimName[] {
  return (pod.spec.resourceClaims ?? []).flatMap(({ name: entry, resourceClaimName }): ClaimName[] => {
    if (resourceClaimName !== undefined) return [{ name: resourceClaimName, generated: false }]
    const status = pod.status?.resourceClaimStatuses?.find(s => s.name === entry)
    return status && status.resourceClaimName === undefined ? [] : [{ name: status?.resourceClaimName, generated: true }]
  })
}

export function podResourceClaims(pod: Pod, find: (namespace: string, name: string) => ResourceClaim | undefined): PodClaims {
  const { namespace = '', name: podName = '' } = pod.metadata
  const claims: ResourceClaim[] = []
  for (const { name, generated } of claimNamesOf(pod)) {
    if (name === undefined) return { waits: `pod ${JSON.stringify(`${namespace}/${podName}`)}: ResourceClaim not created yet` }
    const claim = find(namespace, name)
    if (!claim) return { waits: `resourceclaim ${JSON.stringify(name)} not found` }
    if (claim.metadata.deletionTimestamp) return { wrong: `resourceclaim ${JSON.stringify(name)} is being deleted` }
    if (generated && !isFor(pod, claim))
      return { wrong: `ResourceClaim ${namespace}/${name} was not created for pod ${namespace}/${podName} (pod is not owner)` }
    claims.push(claim)
  }
  return { claims }
}
