/**
 * audit.k8s.io/v1 Policy: which requests are recorded, and how much of them. The first rule that matches decides; what none matches is not
 * recorded. https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
 */
import { typeMeta, objectMeta } from '#shared/api/meta/objectmeta.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import { Path, invalid, notSupported, required, type FieldError } from '#shared/machinery/field.ts'
import { nameIsDNSSubdomain } from '#shared/machinery/names.ts'
import { bool, list, obj, opt, req, str, type Infer } from '#shared/machinery/schema.ts'
import type { RequestInfo } from '../chain/requestinfo.ts'
import type { ConfigKind } from '#shared/component/configfile.ts'

export const levels = ['None', 'Metadata', 'Request', 'RequestResponse'] as const
export type Level = (typeof levels)[number]
export const stages = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'] as const
export type Stage = (typeof stages)[number]

const name = (kind: string): string => `io.k8s.apiserver.pkg.apis.audit.v1.${kind}`
const groupResources = obj(name('GroupResources'), '', () => ({
  group: opt(1, str()),
  resources: opt(2, list(str())),
  resourceNames: opt(3, list(str())),
}))
const policyRule = obj(name('PolicyRule'), '', () => ({
  level: req(1, str()),
  users: opt(2, list(str())),
  userGroups: opt(3, list(str())),
  verbs: opt(4, list(str())),
  resources: opt(5, list(groupResources)),
  namespaces: opt(6, list(str())),
  nonResourceURLs: opt(7, list(str())),
  omitStages: opt(8, list(str())),
  omitManagedFields: opt(9, bool()),
}))
const schema = obj(name('Policy'), '', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta),
  rules: req(2, list(policyRule)),
  omitStages: opt(3, list(str())),
  omitManagedFields: opt(4, bool()),
}))
export type Policy = Infer<typeof schema>
type PolicyRule = Infer<typeof policyRule>

export const auditPolicy: ConfigKind<typeof schema> = { kind: 'Policy', apiVersion: 'audit.k8s.io/v1', schema, validate }

/** The rules of k8s.io/apiserver/pkg/apis/audit/validation. */
function validate({ rules, omitStages }: Policy): FieldError[] {
  const at = new Path('rules')
  if (rules.length === 0) return [required(at, 'loaded illegal policy with 0 rules')]
  return [...stagesOf(omitStages, new Path('omitStages')), ...rules.flatMap((rule, i) => validateRule(rule, at.index(i)))]
}

function validateRule(rule: PolicyRule, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (rule.level === '') errors.push(required(at.child('level')))
  else if (!levels.includes(rule.level as Level)) errors.push(notSupported(at.child('level'), rule.level, levels))
  rule.nonResourceURLs?.forEach((url, i) => {
    const here = at.child('nonResourceURLs').index(i)
    if (url === '*') return
    if (!url.startsWith('/')) errors.push(invalid(here, url, "non-resource URL rules must begin with a '/' character"))
    if (url.slice(0, -1).includes('*'))
      errors.push(invalid(here, url, "non-resource URL wildcards '*' must be the final character of the rule"))
  })
  for (const { group, resources, resourceNames } of rule.resources ?? []) {
    const wrong = group ? nameIsDNSSubdomain(group, false) : []
    if (wrong.length > 0) errors.push(invalid(at.child('resources', 'group'), group, wrong.join(',')))
    if (resourceNames?.length && !resources?.length)
      errors.push(invalid(at.child('resources', 'resourceNames'), resourceNames, 'using resourceNames requires at least one resource'))
  }
  errors.push(...stagesOf(rule.omitStages, at.child('omitStages')))
  if (rule.nonResourceURLs?.length && (rule.resources?.length || rule.namespaces?.length))
    errors.push(
      invalid(at.child('nonResourceURLs'), rule.nonResourceURLs, 'rules cannot apply to both regular resources and non-resource URLs'),
    )
  return errors
}

const stagesOf = (given: readonly string[] | undefined, at: Path): FieldError[] =>
  (given ?? []).flatMap((stage, i) =>
    stages.includes(stage as Stage) ? [] : [invalid(at.index(i), stage, `allowed stages are ${stages.join(',')}`)],
  )

/** How a request is recorded. */
export interface Verdict {
  readonly level: Level
  readonly omitStages: ReadonlySet<string>
  readonly omitManagedFields: boolean
}
export type Evaluate = (user: UserInfo | undefined, info: RequestInfo) => Verdict

/** A policy as a function of who asks for what. The user is absent when nobody knows who it is. */
export function evaluator(policy: Policy): Evaluate {
  const rules = policy.rules.map(rule => ({
    rule,
    verdict: {
      level: rule.level as Level,
      omitStages: new Set([...(policy.omitStages ?? []), ...(rule.omitStages ?? [])]),
      omitManagedFields: rule.omitManagedFields ?? policy.omitManagedFields ?? false,
    },
  }))
  const none: Verdict = { level: 'None', omitStages: new Set(policy.omitStages), omitManagedFields: policy.omitManagedFields ?? false }
  return (user, info) => rules.find(({ rule }) => matches(rule, user, info))?.verdict ?? none
}

function matches(rule: PolicyRule, user: UserInfo | undefined, info: RequestInfo): boolean {
  if (rule.users?.length && !(user && rule.users.includes(user.name))) return false
  if (rule.userGroups?.length && !user?.groups.some(group => rule.userGroups!.includes(group))) return false
  if (rule.verbs?.length && !rule.verbs.includes(info.verb)) return false
  if (rule.namespaces?.length || rule.resources?.length) return info.isResource && matchesResource(rule, info)
  if (rule.nonResourceURLs?.length) return !info.isResource && rule.nonResourceURLs.some(url => matchesPath(url, info.path))
  return true
}

const matchesPath = (url: string, path: string): boolean =>
  url === '*' || url === path || (url.endsWith('*') && path.startsWith(url.replace(/\*+$/, '')))

function matchesResource({ namespaces, resources }: PolicyRule, info: RequestInfo): boolean {
  if (namespaces?.length && !namespaces.includes(info.namespace)) return false
  if (!resources?.length) return true
  const whole = info.subresource === '' ? info.resource : `${info.resource}/${info.subresource}`
  return resources.some(given => {
    if ((given.group ?? '') !== info.group) return false
    if (!given.resources?.length) return true
    if (given.resourceNames?.length && !given.resourceNames.includes(info.name)) return false
    return given.resources.some(
      r => r === '*' || r === whole || (info.subresource !== '' && r === `*/${info.subresource}`) || r === `${info.resource}/*`,
    )
  })
}
