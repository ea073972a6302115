/** The claims that a pod uses. */
import type { LeanPod } from '#shared/client/leanpod.ts'

/** Names of claims in the pod's namespace, those of its ephemeral volumes among them. */
export function claimsOf({ metadata, spec }: Pick<LeanPod, 'metadata' | 'spec'>): string[] {
  return (spec.volumes ?? []).flatMap(v => {
    if (v.persistentVolumeClaim) return [v.persistentVolumeClaim.claimName]
    return v.ephemeral ? [`${metadata.name}-${v.name}`] : []
  })
}
