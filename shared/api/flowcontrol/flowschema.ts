/**
 * flowcontrol.apiserver.k8s.io/v1 FlowSchema: which requests belong together, and to which priority level they go.
 * https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
 */
import { forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1123Label, nameIsDNSSubdomain } from '../../machinery/names.ts'
import { bool, int32, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { flowSchemas } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { semanticEqual } from '../meta/validation.ts'
import { resource } from '../resource.ts'
import { flowControlCondition, statusOf, validateConditions } from './condition.ts'
import { mandatoryFlowSchemas } from './mandatory.ts'

const flowSchemaSchema = obj('io.k8s.api.flowcontrol.v1.FlowSchema', 'Requests that are alike, and how they are told apart.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, flowSchemaSpec, { doc: 'Which requests, and where they go.', default: {} }),
  status: opt(3, statusOf('FlowSchema', flowSchemaCondition), { doc: 'Whether its priority level is there.', default: {} }),
}))
export type FlowSchema = Stored<Infer<typeof flowSchemaSchema>>
const flowSchemaCondition = flowControlCondition('FlowSchema')
const name = (what: string): string => `io.k8s.api.flowcontrol.v1.${what}`

const flowSchemaSpec = obj(name('FlowSchemaSpec'), 'Which requests, and where they go.', () => ({
  priorityLevelConfiguration: req(1, priorityLevelReference, { doc: 'The priority level of its requests.', default: {} }),
  matchingPrecedence: opt(2, int32(), {
    doc: 'Of the schemas that match a request the one with the lowest counts; 1 to 10000.',
    default: 1000,
  }),
  distinguisherMethod: opt(3, distinguisherMethod, { doc: 'What makes flows of its requests; absent: all are one flow.', pointer: true }),
  rules: opt(4, list(policyRulesWithSubjects), { doc: 'Requests that match one of these match the schema.', listType: 'atomic' }),
}))
const priorityLevelReference = obj(name('PriorityLevelConfigurationReference'), 'Names a priority level.', () => ({
  name: req(1, str(), { doc: 'Name of the PriorityLevelConfiguration.', default: '' }),
}))
const distinguisherMethod = obj(name('FlowDistinguisherMethod'), 'What makes flows of requests.', () => ({
  type: req(1, str(), { doc: 'ByUser or ByNamespace.', default: '' }),
}))
const policyRulesWithSubjects = obj(name('PolicyRulesWithSubjects'), 'Who, and what.', () => ({
  subjects: req(1, list(subject), { doc: 'Who: one of these.', listType: 'atomic' }),
  resourceRules: opt(2, list(resourcePolicyRule), { doc: 'Requests for resources: one of these.', listType: 'atomic' }),
  nonResourceRules: opt(3, list(nonResourcePolicyRule), { doc: 'Requests for other paths: one of these.', listType: 'atomic' }),
}))
const subject = obj(name('Subject'), 'Who asks: a user, a group or a service account.', () => ({
  kind: req(1, str(), { doc: 'User, Group or ServiceAccount.', default: '' }),
  user: opt(2, userSubject, { doc: 'For User.', pointer: true }),
  group: opt(3, groupSubject, { doc: 'For Group.', pointer: true }),
  serviceAccount: opt(4, serviceAccountSubject, { doc: 'For ServiceAccount.', pointer: true }),
}))
const userSubject = obj(name('UserSubject'), 'A user.', () => ({ name: req(1, str(), { doc: 'Its name; * for all.', default: '' }) }))
const groupSubject = obj(name('GroupSubject'), 'A group.', () => ({ name: req(1, str(), { doc: 'Its name; * for all.', default: '' }) }))
const serviceAccountSubject = obj(name('ServiceAccountSubject'), 'A service account.', () => ({
  namespace: req(1, str(), { doc: 'Its namespace.', default: '' }),
  name: req(2, str(), { doc: 'Its name; * for all of the namespace.', default: '' }),
}))
const resourcePolicyRule = obj(name('ResourcePolicyRule'), 'Requests for resources.', () => ({
  verbs: req(1, list(str()), { doc: 'Verbs; * for all.', listType: 'set' }),
  apiGroups: req(2, list(str()), { doc: 'API groups; * for all.', listType: 'set' }),
  resources: req(3, list(str()), { doc: 'Resources, with their subresource where one is meant; * for all.', listType: 'set' }),
  clusterScope: opt(4, bool(), { doc: 'Whether requests without a namespace match.', pointer: false }),
  namespaces: opt(5, list(str()), { doc: 'Namespaces; * for every one.', listType: 'set' }),
}))
const nonResourcePolicyRule = obj(name('NonResourcePolicyRule'), 'Requests for other paths.', () => ({
  verbs: req(1, list(str()), { doc: 'Verbs; * for all.', listType: 'set' }),
  nonResourceURLs: req(6, list(str()), { doc: 'Paths, with /* at their end for what is below; * for all.', listType: 'set' }),
}))
export type FlowSchemaSpec = Infer<typeof flowSchemaSpec>
export type PolicyRulesWithSubjects = Infer<typeof policyRulesWithSubjects>
export type Subject = Infer<typeof subject>
export type ResourcePolicyRule = Infer<typeof resourcePolicyRule>
export type NonResourcePolicyRule = Infer<typeof nonResourcePolicyRule>

export const flowSchema = resource<FlowSchema>({
  ...flowSchemas,
  schema: flowSchemaSchema,
  singular: 'flowschema',
  hasStatus: true,
  statusKeeps: 'metadata',
  hasGeneration: true,
  statusResetFields: [['f:metadata'], ['f:spec']],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  columns: [
    nameColumn,
    { name: 'PriorityLevel', type: 'string', doc: 'Its priority level.', cell: f => f.spec.priorityLevelConfiguration.name },
    { name: 'MatchingPrecedence', type: 'string', doc: 'The lowest counts.', cell: f => f.spec.matchingPrecedence ?? 0 },
    { name: 'DistinguisherMethod', type: 'string', doc: 'What makes flows.', cell: f => f.spec.distinguisherMethod?.type ?? '<none>' },
    ageColumn,
    {
      name: 'MissingPL',
      type: 'string',
      doc: 'references a broken or non-existent PriorityLevelConfiguration',
      cell: f => f.status?.conditions?.find(c => c.type === 'Dangling')?.status ?? '?',
    },
  ],
  // As upstream's defaults, a zero is nothing.
  defaults: f => {
    if (!f.spec.matchingPrecedence) f.spec.matchingPrecedence = 1000
  },
  validate: (f, at) => [
    ...validateSpec(f.metadata.name ?? '', f.spec, at.child('spec')),
    ...validateMandatory(f, at.child('spec')),
    ...validateConditions(f.status?.conditions, at.child('status', 'conditions')),
  ],
})

function validateMandatory({ metadata, spec }: FlowSchema, at: Path): FieldError[] {
  const fixed = mandatoryFlowSchemas.find(m => m.metadata.name === metadata.name)
  return !fixed || semanticEqual(spec, fixed.spec) ? [] : [invalid(at, spec, `spec of '${metadata.name}' must equal the fixed value`)]
}

const maxPrecedence = 10_000
const methods = ['ByNamespace', 'ByUser']

/** pkg/apis/flowcontrol/validation: ValidateFlowSchemaSpec. */
function validateSpec(schema: string, spec: FlowSchemaSpec, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const precedence = spec.matchingPrecedence ?? 0
  const here = at.child('matchingPrecedence')
  if (precedence <= 0) errors.push(invalid(here, precedence, 'must be a positive value'))
  if (precedence > maxPrecedence) errors.push(invalid(here, precedence, `must not be greater than ${maxPrecedence}`))
  if (precedence === 1 && schema !== 'exempt')
    errors.push(invalid(here, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"))
  const method = spec.distinguisherMethod
  if (method && !methods.includes(method.type)) errors.push(notSupported(at.child('distinguisherMethod', 'type'), method, methods))
  const level = spec.priorityLevelConfiguration.name
  const levelAt = at.child('priorityLevelConfiguration', 'name')
  if (level === '') errors.push(required(levelAt, 'must reference a priority level'))
  else errors.push(...nameIsDNSSubdomain(level, false).map(e => invalid(levelAt, level, e)))
  return [...errors, ...(spec.rules ?? []).flatMap((rule, i) => validateRules(rule, at.child('rules').index(i)))]
}

function validateRules({ subjects, resourceRules = [], nonResourceRules = [] }: PolicyRulesWithSubjects, at: Path): FieldError[] {
  return [
    ...(subjects.length === 0 ? [required(at.child('subjects'), 'subjects must contain at least one value')] : []),
    ...subjects.flatMap((s, i) => validateSubject(s, at.child('subjects').index(i))),
    ...(resourceRules.length + nonResourceRules.length === 0
      ? [required(at, 'at least one of resourceRules and nonResourceRules has to be non-empty')]
      : []),
    ...resourceRules.flatMap((rule, i) => validateResourceRule(rule, at.child('resourceRules').index(i))),
    ...nonResourceRules.flatMap((rule, i) => validateNonResourceRule(rule, at.child('nonResourceRules').index(i))),
  ]
}

const subjectKinds = { User: 'user', Group: 'group', ServiceAccount: 'serviceAccount' } as const

function validateSubject(s: Subject, at: Path): FieldError[] {
  if (!Object.hasOwn(subjectKinds, s.kind)) return [notSupported(at.child('kind'), s.kind, Object.keys(subjectKinds))]
  const own = subjectKinds[s.kind as keyof typeof subjectKinds]
  const errors: FieldError[] = []
  if (!s[own]) errors.push(required(at.child(own), `${own} is required when subject kind is '${s.kind}'`))
  else {
    if (s[own].name === '') errors.push(required(at.child(own, 'name')))
    if (own === 'serviceAccount') errors.push(...validateServiceAccount(s.serviceAccount!, at.child(own)))
  }
  for (const [kind, field] of Object.entries(subjectKinds))
    if (field !== own && s[field]) errors.push(forbidden(at.child(field), `${field} is forbidden when subject kind is not '${kind}'`))
  return errors
}

function validateServiceAccount(s: NonNullable<Subject['serviceAccount']>, at: Path): FieldError[] {
  const errors = s.name === '' || s.name === '*' ? [] : nameIsDNSSubdomain(s.name, false).map(e => invalid(at.child('name'), s.name, e))
  if (s.namespace === '') return [...errors, required(at.child('namespace'), 'must specify namespace for service account')]
  return [...errors, ...isDNS1123Label(s.namespace).map(e => invalid(at.child('namespace'), s.namespace, e))]
}

const verbs = ['get', 'list', 'create', 'update', 'delete', 'deletecollection', 'patch', 'watch', 'proxy']

function validateVerbs(given: readonly string[], at: Path): FieldError[] {
  if (given.length === 0) return [required(at, 'verbs must contain at least one value')]
  if (given.includes('*')) return given.length > 1 ? [invalid(at, given, "if '*' is present, must not specify other verbs")] : []
  return given.every(verb => verbs.includes(verb)) ? [] : [notSupported(at, given, verbs)]
}

/** A list that must have members, `*` only alone. */
const validateNames = (given: readonly string[], at: Path, missing: string, others: string): FieldError[] =>
  given.length === 0
    ? [required(at, missing)]
    : given.length > 1 && given.includes('*')
      ? [invalid(at, given, `if '*' is present, must not specify other ${others}`)]
      : []

function validateResourceRule(rule: ResourcePolicyRule, at: Path): FieldError[] {
  const { apiGroups, resources, namespaces = [], clusterScope } = rule
  const errors = [
    ...validateVerbs(rule.verbs, at.child('verbs')),
    ...validateNames(apiGroups, at.child('apiGroups'), 'resource rules must supply at least one api group', 'api groups'),
    ...validateNames(resources, at.child('resources'), 'resource rules must supply at least one resource', 'resources'),
  ]
  const here = at.child('namespaces')
  if (namespaces.length === 0)
    return clusterScope
      ? errors
      : [...errors, required(here, 'resource rules that are not cluster scoped must supply at least one namespace')]
  if (namespaces.includes('*')) return [...errors, ...validateNames(namespaces, here, '', 'namespaces')]
  const intro = "each member of this list must be '*' or a DNS-1123 label; "
  return [...errors, ...namespaces.flatMap((ns, i) => isDNS1123Label(ns).map(e => invalid(here.index(i), ns, intro + e)))]
}

function validateNonResourceRule({ verbs: given, nonResourceURLs }: NonResourcePolicyRule, at: Path): FieldError[] {
  const here = at.child('nonResourceURLs')
  const errors = [
    ...validateVerbs(given, at.child('verbs')),
    ...validateNames(nonResourceURLs, here, 'nonResourceURLs must contain at least one value', 'non-resource URLs'),
  ]
  if (nonResourceURLs.includes('*')) return errors
  return [
    ...errors,
    ...nonResourceURLs.flatMap((url, i) => {
      const why = wrongPath(url)
      return why === undefined ? [] : [invalid(here.index(i), url, why)]
    }),
  ]
}

function wrongPath(path: string): string | undefined {
  if (path === '') return 'must not be empty'
  if (path === '/') return undefined
  if (!path.startsWith('/')) return 'must start with slash'
  if (path.includes(' ')) return 'must not contain white-space'
  if (path.includes('//')) return 'must not contain double slash'
  return path.includes('*') && (!path.endsWith('/*') || path.indexOf('*') < path.length - 1)
    ? 'wildcard can only do suffix matching'
    : undefined
}
