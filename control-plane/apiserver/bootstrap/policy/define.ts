/** How the roles of every cluster are written down. */
import type { ClusterRole } from '#shared/api/rbac/clusterrole.ts'
import type { ClusterRoleBinding } from '#shared/api/rbac/clusterrolebinding.ts'
import { rbacGroup, type PolicyRule } from '#shared/api/rbac/policyrule.ts'
import type { Role } from '#shared/api/rbac/role.ts'
import type { RoleBinding } from '#shared/api/rbac/rolebinding.ts'
import type { Subject } from '#shared/api/rbac/subject.ts'

const apiVersion = `${rbacGroup}/v1`
const words = (text: string): string[] => text.split(' ').sort()

export const read = 'get list watch'
export const write = 'create delete deletecollection patch update'
export const readWrite = `${read} ${write}`

/** A rule; words are separated by spaces, and `core` stands for the core group. */
export const on = (groups: string, resources: string, verbs: string, names?: string): PolicyRule => ({
  verbs: words(verbs),
  apiGroups: words(groups).map(group => (group === 'core' ? '' : group)),
  resources: words(resources),
  ...(names === undefined ? {} : { resourceNames: words(names) }),
})
export const paths = (urls: string): PolicyRule => ({ verbs: ['get'], nonResourceURLs: words(urls) })
export const events = on('core events.k8s.io', 'events', 'create update patch')
/** Questions to the API server: whom a token belongs to, and who may do what. */
export const delegation = [
  on('authentication.k8s.io', 'tokenreviews', 'create'),
  on('authorization.k8s.io', 'subjectaccessreviews', 'create'),
]

const metadata = (name: string, namespace?: string, labels: Record<string, string> = {}) => ({
  name,
  ...(namespace === undefined ? {} : { namespace }),
  labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults', ...labels },
  annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'true' },
})

const aggregateTo = (role: string) => `rbac.authorization.k8s.io/aggregate-to-${role}`
export interface Extra {
  /** The role that it is a part of. */
  readonly partOf?: string
  /** The role is put together from those that are part of this one. */
  readonly gathers?: string
}

export const clusterRole = (name: string, rules: PolicyRule[], { partOf, gathers }: Extra = {}): ClusterRole => ({
  kind: 'ClusterRole',
  apiVersion,
  metadata: metadata(name, undefined, partOf === undefined ? {} : { [aggregateTo(partOf)]: 'true' }),
  rules,
  ...(gathers === undefined ? {} : { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [aggregateTo(gathers)]: 'true' } }] } }),
})
export const role = (namespace: string, name: string, rules: PolicyRule[]): Role => ({
  kind: 'Role',
  apiVersion,
  metadata: metadata(name, namespace),
  rules,
})

export const group = (name: string): Subject => ({ kind: 'Group', apiGroup: rbacGroup, name })
export const user = (name: string): Subject => ({ kind: 'User', apiGroup: rbacGroup, name })
export const account = (name: string): Subject => ({ kind: 'ServiceAccount', name, namespace: 'kube-system' })

export const clusterBinding = (name: string, subjects: Subject[], of = name): ClusterRoleBinding => ({
  kind: 'ClusterRoleBinding',
  apiVersion,
  metadata: metadata(name),
  ...(subjects.length > 0 ? { subjects } : {}),
  roleRef: { apiGroup: rbacGroup, kind: 'ClusterRole', name: of },
})
export const binding = (namespace: string, name: string, subjects: Subject[], of = name): RoleBinding => ({
  kind: 'RoleBinding',
  apiVersion,
  metadata: metadata(name, namespace),
  subjects,
  roleRef: { apiGroup: rbacGroup, kind: 'Role', name: of },
})
