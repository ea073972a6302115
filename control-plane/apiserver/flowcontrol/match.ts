/** Which FlowSchema a request belongs to, as k8s.io/apiserver/pkg/util/flowcontrol/rule.go finds it. */
import type {
  FlowSchema,
  NonResourcePolicyRule,
  PolicyRulesWithSubjects,
  ResourcePolicyRule,
  Subject,
} from '#shared/api/flowcontrol/flowschema.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import type { RequestInfo } from '../chain/requestinfo.ts'

/** In the order in which they are asked: by precedence, then by name. */
export const inOrder = (schemas: readonly FlowSchema[]): FlowSchema[] =>
  [...schemas].sort(
    (a, b) =>
      (a.spec.matchingPrecedence ?? 0) - (b.spec.matchingPrecedence ?? 0) || ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1),
  )

export const matchesSchema = ({ spec }: FlowSchema, user: UserInfo, info: RequestInfo): boolean =>
  spec.rules?.some(rule => matchesRule(rule, user, info)) === true

function matchesRule(rule: PolicyRulesWithSubjects, user: UserInfo, info: RequestInfo): boolean {
  if (!rule.subjects.some(subject => matchesSubject(subject, user))) return false
  return info.isResource
    ? rule.resourceRules?.some(r => matchesResource(r, info)) === true
    : rule.nonResourceRules?.some(r => matchesPath(r, info)) === true
}

const accountPrefix = 'system:serviceaccount:'

function matchesSubject(subject: Subject, user: UserInfo): boolean {
  switch (subject.kind) {
    case 'User':
      return subject.user?.name === '*' || subject.user?.name === user.name
    case 'Group':
      return subject.group !== undefined && (subject.group.name === '*' || user.groups.includes(subject.group.name))
    case 'ServiceAccount': {
      if (!subject.serviceAccount || !user.name.startsWith(accountPrefix)) return false
      const { namespace, name } = subject.serviceAccount
      return name === '*'
        ? user.name.startsWith(`${namespace}:`, accountPrefix.length)
        : user.name === `${accountPrefix}${namespace}:${name}`
    }
    default:
      return false
  }
}

const has = (list: readonly string[], value: string): boolean => (list.length === 1 && list[0] === '*') || list.includes(value)

function matchesResource({ verbs, apiGroups, resources, clusterScope, namespaces = [] }: ResourcePolicyRule, info: RequestInfo): boolean {
  if (!has(verbs, info.verb) || !has(apiGroups, info.group)) return false
  if (!has(resources, info.subresource === '' ? info.resource : `${info.resource}/${info.subresource}`)) return false
  return info.namespace === '' ? clusterScope === true : has(namespaces, info.namespace)
}

const matchesPath = ({ verbs, nonResourceURLs }: NonResourcePolicyRule, info: RequestInfo): boolean =>
  has(verbs, info.verb) &&
  nonResourceURLs.some(url => {
    if (url === '*' || url === info.path) return true
    const prefix = url.replace(/\*$/, '')
    return info.path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`)
  })
