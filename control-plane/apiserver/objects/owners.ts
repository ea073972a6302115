/** Duplicate owner references: removed, and the client is told (k8s.io/apiserver/pkg/endpoints/handlers/rest.go). */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'

const warning = (after: string, uids: string): string =>
  `.metadata.ownerReferences contains duplicate entries${after}; API server dedups owner references in 1.20+, and may reject such requests as early ` +
  `as 1.24; please fix your requests; duplicate UID(s) observed: ${uids}`

/** Removes references that are equal to one before them. `mutated` when admission has been asked already: of patches only then. */
export function dedupOwnerReferences({ metadata }: KubeObject, warnings: string[] | undefined, mutated: boolean): void {
  const refs = metadata.ownerReferences
  if (refs === undefined || refs.length < 2) return
  const kept = new Map<string, (typeof refs)[number]>()
  const uids: string[] = []
  for (const ref of refs) {
    const { apiVersion, kind, name, uid, controller, blockOwnerDeletion } = ref
    const key = JSON.stringify([apiVersion, kind, name, uid, controller, blockOwnerDeletion])
    if (kept.has(key)) uids.push(uid)
    else kept.set(key, ref)
  }
  if (uids.length === 0) return
  warnings?.push(warning(mutated ? ' after mutating admission happens' : '', uids.join(', ')))
  metadata.ownerReferences = [...kept.values()]
}
