/**
 * Who may do what. Authorizers are asked in turn; the first that has an opinion decides, and what nobody allows is refused. Everybody is
 * asked for, those without credentials too (they are system:anonymous).
 */
import type { UserInfo } from '#shared/bus/transport.ts'
import { StatusError, forbidden } from '#shared/machinery/status.ts'

/** What is asked for, as k8s.io/apiserver/pkg/authorization/authorizer has it: of a request, or of a question like SubjectAccessReview. */
export interface Attributes {
  readonly user: UserInfo
  /** `get`, `list`, `create`, `impersonate`, ...; of a path the method in lower case. */
  readonly verb: string
  /** Else it is about a path. */
  readonly isResource: boolean
  /** `''` for the core group. */
  readonly group: string
  readonly version: string
  readonly resource: string
  /** `''` for the main resource. */
  readonly subresource: string
  /** `''` for all namespaces, and for resources in none. */
  readonly namespace: string
  /** `''` for all. */
  readonly name: string
  readonly path: string
  /** To what a list, watch or deletion of many is limited, as the query has it. */
  readonly fieldSelector?: string
  readonly labelSelector?: string
}

export interface Decision {
  /** `deny` ends the matter; after `no opinion` the next authorizer is asked. */
  readonly decision: 'allow' | 'deny' | 'no opinion'
  readonly reason: string
}

/** A rule of what somebody may do, as SelfSubjectRulesReview shows it; `*` stands for all. */
export interface ResourceRule {
  readonly verbs: readonly string[]
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly resourceNames?: readonly string[]
}
export interface NonResourceRule {
  readonly verbs: readonly string[]
  readonly nonResourceURLs: readonly string[]
}
export interface Rules {
  readonly resourceRules: readonly ResourceRule[]
  readonly nonResourceRules: readonly NonResourceRule[]
  /** Not all rules could be told; `evaluationError` says why. */
  readonly incomplete: boolean
  readonly evaluationError?: string
}

export interface Authorizer {
  /** Answers at once where it can: most do on every request. */
  authorize(a: Attributes): Decision | Promise<Decision>
  /** What the user may do in a namespace and beside namespaces. */
  rulesFor(user: UserInfo, namespace: string): Rules | Promise<Rules>
}

export const allow: Decision = { decision: 'allow', reason: '' }
export const noOpinion: Decision = { decision: 'no opinion', reason: '' }

/** All authorizers as one. */
export function union(authorizers: readonly Authorizer[]): Authorizer {
  const from = (a: Attributes, start: number, reasons: readonly string[]): Decision | Promise<Decision> => {
    let said = reasons
    for (let i = start; i < authorizers.length; i++) {
      const answer = authorizers[i]!.authorize(a)
      if (answer instanceof Promise)
        return answer.then(d => (d.decision === 'no opinion' ? from(a, i + 1, d.reason === '' ? said : [...said, d.reason]) : d))
      if (answer.decision !== 'no opinion') return answer
      if (answer.reason !== '') said = [...said, answer.reason]
    }
    return said.length === 0 ? noOpinion : { decision: 'no opinion', reason: said.join('\n') }
  }
  return {
    authorize: a => from(a, 0, []),
    async rulesFor(user, namespace) {
      const all = await Promise.all(authorizers.map(a => a.rulesFor(user, namespace)))
      const errors = all.flatMap(r => r.evaluationError ?? [])
      return {
        resourceRules: all.flatMap(r => r.resourceRules),
        nonResourceRules: all.flatMap(r => r.nonResourceRules),
        incomplete: all.some(r => r.incomplete),
        ...(errors.length > 0 ? { evaluationError: errors.join(', ') } : {}),
      }
    },
  }
}

const everything: Rules = {
  resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
  nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
  incomplete: false,
}
const nothing: Rules = { resourceRules: [], nonResourceRules: [], incomplete: false }

/** Members of one group may do everything. */
export const privilegedGroup = (group: string): Authorizer => ({
  authorize: a => (a.user.groups.includes(group) ? allow : noOpinion),
  rulesFor: user => (user.groups.includes(group) ? everything : nothing),
})

/** The failure that upstream answers a refusal with. */
export function refusal(a: Attributes, { reason }: Decision): StatusError {
  const who = `User ${JSON.stringify(a.user.name)} cannot ${a.verb}`
  const tail = reason === '' ? '' : `: ${reason}`
  if (!a.isResource) return new StatusError(403, 'Forbidden', `forbidden: ${who} path ${JSON.stringify(a.path)}${tail}`, {})
  const what = JSON.stringify(a.subresource === '' ? a.resource : `${a.resource}/${a.subresource}`)
  const where = a.namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(a.namespace)}`
  const why = `${who} resource ${what} in API group ${JSON.stringify(a.group)} ${where}${tail}`
  return forbidden({ group: a.group, resource: a.resource }, a.name, why)
}
