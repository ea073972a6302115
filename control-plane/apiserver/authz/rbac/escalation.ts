/**
 * Nobody gives what it does not have: who writes a role must have all of its rules, who binds one too, unless it may `escalate` or `bind`
 * (pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased).
 */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { semanticEqual } from '#shared/api/meta/validation.ts'
import type { ClusterRole } from '#shared/api/rbac/clusterrole.ts'
import { rbacGroup, type PolicyRule } from '#shared/api/rbac/policyrule.ts'
import type { RoleBinding } from '#shared/api/rbac/rolebinding.ts'
import { forbidden, notFound } from '#shared/machinery/status.ts'
import type { AdmissionPlugin, Attributes } from '../../admission/admission.ts'
import type { Authorizer } from '../authorizer.ts'
import { compact, describe, quotedList, uncovered } from './covers.ts'
import type { Policy } from './policy.ts'
import { rulesOf } from './rbac.ts'

const roleKinds = new Set(['roles', 'clusterroles'])
const bindingKinds = new Set(['rolebindings', 'clusterrolebindings'])
const everything: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
]

/** Asks before anything else is done with the object. */
export function escalationCheck(policy: Policy, authorizer: Authorizer): AdmissionPlugin {
  return {
    name: 'RBACEscalation',
    mutate(a) {
      if (a.resource.group !== rbacGroup || a.subresource !== '' || !a.object) return undefined
      if (a.user.groups.includes('system:masters') || onlyForCollector(a)) return undefined
      if (roleKinds.has(a.resource.resource)) return checkRole(policy, authorizer, a)
      return bindingKinds.has(a.resource.resource) ? checkBinding(policy, authorizer, a) : undefined
    },
  }
}

/** What the garbage collector changes gives nobody anything: owners and finalizers. */
export function onlyForCollector({ object, old }: Attributes): boolean {
  if (!object || !old) return false
  const without = ({ metadata, ...rest }: KubeObject): unknown => ({
    ...rest,
    metadata: { ...metadata, ownerReferences: undefined, finalizers: undefined, managedFields: undefined, resourceVersion: undefined },
  })
  return semanticEqual(without(object), without(old))
}

const may = async (authorizer: Authorizer, a: Attributes, verb: string, resource: string, name: string): Promise<boolean> => {
  const { user, namespace } = a
  const version = verb === 'bind' ? '*' : a.resource.version
  const asked = { user, verb, isResource: true, group: rbacGroup, version, resource, subresource: '', namespace, name, path: '' }
  return (await authorizer.authorize(asked)).decision === 'allow'
}

async function checkRole(policy: Policy, authorizer: Authorizer, a: Attributes): Promise<void> {
  const { resource } = a.resource
  if (await may(authorizer, a, 'escalate', resource, a.operation === 'CREATE' ? '' : a.name)) return
  const role = a.object as ClusterRole
  confirm(policy, a, role.rules ?? [])
  const aggregates = role.aggregationRule ?? (a.old as ClusterRole | undefined)?.aggregationRule
  // It can gather anything, and keep others from making it less.
  if (aggregates && missingOf(policy, a, everything).length > 0)
    throw forbidden(a.requestResource, nameOf(a), 'must have cluster-admin privileges to use an aggregationRule')
}

async function checkBinding(policy: Policy, authorizer: Authorizer, a: Attributes): Promise<void> {
  const { kind, name } = (a.object as RoleBinding).roleRef
  const plural = kind === 'ClusterRole' ? 'clusterroles' : 'roles'
  if (await may(authorizer, a, 'bind', plural, name)) return
  const role = policy.role(kind === 'ClusterRole' ? `/${name}` : `${a.namespace}/${name}`)
  if (!role) throw notFound({ group: rbacGroup, resource: plural }, name)
  confirm(policy, a, role.rules)
}

const nameOf = (a: Attributes): string => a.object?.metadata.name ?? a.name
const missingOf = (policy: Policy, a: Attributes, rules: readonly PolicyRule[]): PolicyRule[] =>
  uncovered(rulesOf(policy, a.user, a.namespace).rules, rules)

/** Throws 403 when the user does not have all the rules itself. */
function confirm(policy: Policy, a: Attributes, rules: readonly PolicyRule[]): void {
  const missing = missingOf(policy, a, rules)
  if (missing.length === 0) return
  const { name, groups } = a.user
  const lines = [...new Set(compact(missing).map(describe))].sort()
  const { errors } = rulesOf(policy, a.user, a.namespace)
  const who = `user ${JSON.stringify(name)} (groups=${quotedList(groups)})`
  const unresolved = errors.length === 0 ? '' : `; resolution errors: [${errors.join(' ')}]`
  const why = `${who} is attempting to grant RBAC permissions not currently held:\n${lines.join('\n')}${unresolved}`
  throw forbidden(a.requestResource, nameOf(a), why)
}
