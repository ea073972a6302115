/** The resource claims of a pod: named by it, or made for it from templates. k8s.io/dynamic-resource-allocation/resourceclaim */
import type { ResourceClaim } from '#shared/api/resource/resourceclaim.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { claimNamesOf, isMadeFor } from '#shared/scheduling/resourceclaims.ts'

/** `wrong`: why the pod cannot have them yet, or ever. */
export type PodClaims = { readonly claims: readonly ResourceClaim[] } | { readonly wrong: string }

export const usesResourceClaims = (pod: Pod): boolean => (pod.spec.resourceClaims?.length ?? 0) > 0

export function podResourceClaims(pod: Pod, find: (namespace: string, name: string) => ResourceClaim | undefined): PodClaims {
  const { namespace = '', name: podName = '' } = pod.metadata
  const claims: ResourceClaim[] = []
  for (const { name, generated } of claimNamesOf(pod)) {
    if (name === undefined) return { wrong: `pod ${JSON.stringify(`${namespace}/${podName}`)}: ResourceClaim not created yet` }
    const claim = find(namespace, name)
    if (!claim) return { wrong: `resourceclaim ${JSON.stringify(name)} not found` }
    if (claim.metadata.deletionTimestamp) return { wrong: `resourceclaim ${JSON.stringify(name)} is being deleted` }
    if (generated && !isMadeFor(pod, claim))
      return { wrong: `ResourceClaim ${namespace}/${name} was not created for pod ${namespace}/${podName} (pod is not owner)` }
    claims.push(claim)
  }
  return { claims }
}
