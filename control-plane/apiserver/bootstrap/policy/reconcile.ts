/**
 * Brings stored roles and bindings to what they should at least allow (k8s.io/component-helpers/auth/rbac/reconciliation): what is missing
 * is added, nothing is taken away, and what its owner has marked with `autoupdate: "false"` is left alone.
 */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { semanticEqual } from '#shared/api/meta/validation.ts'
import type { ClusterRole } from '#shared/api/rbac/clusterrole.ts'
import type { ClusterRoleBinding } from '#shared/api/rbac/clusterrolebinding.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { uncovered } from '../../authz/rbac/covers.ts'

const autoUpdate = 'rbac.authorization.kubernetes.io/autoupdate'
const isProtected = ({ metadata }: KubeObject): boolean => metadata.annotations?.[autoUpdate] === 'false'

/** What the owner has set stays. */
function withLabels<T extends KubeObject>(next: T, expected: T): T {
  const { labels, annotations } = expected.metadata
  next.metadata.labels = { ...labels, ...next.metadata.labels }
  next.metadata.annotations = { ...annotations, ...next.metadata.annotations }
  return next
}

/** The role as it should be; undefined when it is to be left as it is. */
export function reconciledRole(existing: ClusterRole, expected: ClusterRole): ClusterRole | undefined {
  if (isProtected(existing)) return undefined
  const next = withLabels(clone(existing), expected)
  next.rules = [...(next.rules ?? []), ...uncovered(next.rules ?? [], expected.rules ?? [])]
  const wanted = expected.aggregationRule?.clusterRoleSelectors ?? []
  if (wanted.length === 0) delete next.aggregationRule
  else {
    const there = next.aggregationRule?.clusterRoleSelectors ?? []
    const missing = wanted.filter(w => !there.some(s => semanticEqual(s, w)))
    next.aggregationRule = { clusterRoleSelectors: [...there, ...missing] }
  }
  return semanticEqual(next, existing) ? undefined : next
}

/** The binding as it should be; `recreate` when it is one of another role, which cannot be changed. Undefined: leave it. */
export function reconciledBinding(existing: ClusterRoleBinding, expected: ClusterRoleBinding): ClusterRoleBinding | 'recreate' | undefined {
  if (isProtected(existing)) return undefined
  if (!semanticEqual(existing.roleRef, expected.roleRef)) return 'recreate'
  const next = withLabels(clone(existing), expected)
  const there = next.subjects ?? []
  const missing = (expected.subjects ?? []).filter(w => !there.some(s => semanticEqual(s, w)))
  if (missing.length > 0) next.subjects = [...there, ...missing]
  return semanticEqual(next, existing) ? undefined : next
}
