/** The claim that a template gives a pod. */
import { pods } from '#shared/api/kinds.ts'
import type { ResourceClaim } from '#shared/api/resource/resourceclaim.ts'
import type { ResourceClaimTemplate } from '#shared/api/resource/resourceclaimtemplate.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { podClaimName } from '#shared/scheduling/resourceclaims.ts'
import { controllerRef } from '../podcontrol/ownership.ts'

/** Of a generated name: that leaves five letters of the 63 that a label has, and the dash before them. */
const longestPrefix = 57

/** What a claim's name begins with: names that are too long are both cut, in proportion. */
function prefixOf(pod: string, entry: string): string {
  const whole = `${pod}-${entry}-`
  const cut = (name: string): string => name.slice(0, Math.trunc((name.length * longestPrefix) / whole.length))
  return whole.length > longestPrefix ? `${cut(pod)}-${cut(entry)}` : whole
}

/** `entry`: the pod's own name for it. */
export function claimFrom(template: ResourceClaimTemplate, pod: LeanPod, entry: string): ResourceClaim {
  const { metadata, spec } = template.spec
  const { blockOwnerDeletion: _, ...owner } = controllerRef(pods, pod)
  return {
    apiVersion: 'resource.k8s.io/v1',
    kind: 'ResourceClaim',
    metadata: {
      generateName: prefixOf(pod.metadata.name ?? '', entry),
      namespace: pod.metadata.namespace,
      ...(metadata?.labels ? { labels: metadata.labels } : {}),
      annotations: { ...metadata?.annotations, [podClaimName]: entry },
      // Whoever deletes its pod in the foreground need not wait for it.
      ownerReferences: [owner],
    },
    spec: spec ?? {},
  } as ResourceClaim
}
