/**
 * The RBAC authorizer: what one of the roles that are bound to the user or its groups allows, it allows; it never denies
 * (plugin/pkg/auth/authorizer/rbac). https://kubernetes.io/docs/reference/access-authn-authz/rbac/
 */
import type { PolicyRule } from '#shared/api/rbac/policyrule.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import { noOpinion, type Attributes, type Authorizer, type Decision, type Rules } from '../authorizer.ts'
import { allows } from './matching.ts'
import { compiledOf, groupKey, subjectsOf, userKey, type Grant, type Policy } from './policy.ts'

export function rbacAuthorizer(policy: Policy): Authorizer {
  /** Bindings whose role is not there are noted in `missing`. */
  const decide = (subject: string, namespace: string, a: Attributes, resource: string, missing: string[]): Decision | undefined => {
    const grants = policy.grants(subject, namespace)
    if (grants === undefined) return undefined
    for (const grant of grants.values()) {
      const role = policy.role(grant.role)
      if (role === undefined) missing.push(notFound(grant))
      else if (allows(compiledOf(role), a, resource)) return grant.allowed
    }
    return undefined
  }
  const within = (namespace: string, a: Attributes, resource: string, missing: string[]): Decision | undefined => {
    const { name, groups } = a.user
    const own = decide(userKey(name), namespace, a, resource, missing)
    if (own !== undefined) return own
    for (const group of groups) {
      const decision = decide(groupKey(group), namespace, a, resource, missing)
      if (decision !== undefined) return decision
    }
    return undefined
  }
  return {
    authorize(a) {
      const resource = a.subresource === '' ? a.resource : `${a.resource}/${a.subresource}`
      const missing: string[] = []
      const decision = within('', a, resource, missing) ?? (a.namespace === '' ? undefined : within(a.namespace, a, resource, missing))
      if (decision !== undefined) return decision
      return missing.length === 0 ? noOpinion : { decision: 'no opinion', reason: `RBAC: ${aggregate(missing)}` }
    },
    rulesFor(user, namespace): Rules {
      const { rules, errors } = rulesOf(policy, user, namespace)
      const resourceRules = rules.filter(r => r.resources?.length)
      return {
        resourceRules: resourceRules.map(({ verbs, apiGroups = [], resources = [], resourceNames }) => ({
          verbs,
          apiGroups,
          resources,
          ...(resourceNames?.length ? { resourceNames } : {}),
        })),
        nonResourceRules: rules.flatMap(({ verbs, nonResourceURLs }) => (nonResourceURLs?.length ? [{ verbs, nonResourceURLs }] : [])),
        incomplete: false,
        ...(errors.length > 0 ? { evaluationError: aggregate(errors) } : {}),
      }
    },
  }
}

/** As Go prints several errors: each once. */
function aggregate(errors: readonly string[]): string {
  const different = [...new Set(errors)]
  return different.length === 1 ? different[0]! : `[${different.join(', ')}]`
}

export interface UserRules {
  readonly rules: readonly PolicyRule[]
  /** Roles that are bound but not there, in upstream's words. */
  readonly errors: readonly string[]
}

/** Everything that is allowed to a user in a namespace, and everywhere. */
export function rulesOf(policy: Policy, user: UserInfo, namespace: string): UserRules {
  const rules: PolicyRule[] = []
  const errors: string[] = []
  for (const scope of namespace === '' ? [''] : ['', namespace]) {
    const seen = new Set<string>()
    for (const subject of subjectsOf(user))
      for (const grant of policy.grants(subject, scope)?.values() ?? []) {
        // A binding counts once, whatever the user is its subject as.
        if (seen.has(grant.binding)) continue
        seen.add(grant.binding)
        const role = policy.role(grant.role)
        if (role) rules.push(...role.rules)
        else errors.push(notFound(grant))
      }
  }
  return { rules, errors }
}

const notFound = ({ kind, roleName }: Grant): string =>
  `${kind === 'Role' ? 'role' : 'clusterrole'}.rbac.authorization.k8s.io ${JSON.stringify(roleName)} not found`
