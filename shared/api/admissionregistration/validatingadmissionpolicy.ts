/**
 * admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy: rules in CEL that requests are judged by.
 * https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
 */
import { inline, int64, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { validatingAdmissionPolicies } from '../kinds.ts'
import { condition } from '../meta/condition.ts'
import { labelSelector } from '../meta/labelselector.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { defaultMatchResources } from './webhookdefaults.ts'
import { validatePolicy, validatePolicyStatus } from './policyvalidation.ts'
import { matchConditions, ruleWithOperations } from './webhooks.ts'

const validatingAdmissionPolicySchema = obj(
  'io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy',
  'Rules in CEL that requests are judged by, where a binding says so.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    spec: opt(2, validatingAdmissionPolicySpec, { doc: 'The rules.', default: {} }),
    status: opt(3, validatingAdmissionPolicyStatus, { doc: 'What was found in the rules.', default: {} }),
  }),
)
export type ValidatingAdmissionPolicy = Stored<Infer<typeof validatingAdmissionPolicySchema>>
const validatingAdmissionPolicySpec = obj(
  'io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec',
  'Rules, and what they are for.',
  () => ({
    paramKind: opt(1, paramKind, { doc: 'Kind of objects with parameters.' }),
    matchConstraints: opt(2, matchResources, { doc: 'Which requests they are for.' }),
    validations: opt(3, list(validation), { doc: 'The rules; all must hold.', listType: 'atomic' }),
    failurePolicy: opt(4, str(['Fail', 'Ignore']), {
      doc: 'What becomes of a request when a rule cannot be judged: Fail or Ignore.',
      pointer: true,
    }),
    auditAnnotations: opt(5, list(auditAnnotation), { doc: 'What is noted for the audit log.', listType: 'atomic' }),
    matchConditions: matchConditions(6),
    variables: variables(7),
  }),
)
export type ValidatingAdmissionPolicySpec = Infer<typeof validatingAdmissionPolicySpec>
export const paramKind = obj(
  'io.k8s.api.admissionregistration.v1.ParamKind',
  'A kind of objects with parameters.',
  () => ({
    apiVersion: opt(1, str(), { doc: 'Its API version.' }),
    kind: opt(2, str(), { doc: 'Its name.' }),
  }),
  { atomic: true },
)
export type ParamKind = Infer<typeof paramKind>
export const matchResources = obj(
  'io.k8s.api.admissionregistration.v1.MatchResources',
  'Which requests are meant.',
  () => ({
    namespaceSelector: opt(1, labelSelector, { doc: 'In which namespaces.' }),
    objectSelector: opt(2, labelSelector, { doc: 'About which objects.' }),
    resourceRules: opt(3, list(namedRuleWithOperations), { doc: 'Operations on resources that are meant.', listType: 'atomic' }),
    excludeResourceRules: opt(4, list(namedRuleWithOperations), { doc: 'Operations on resources that are not.', listType: 'atomic' }),
    matchPolicy: opt(7, str(['Equivalent', 'Exact']), {
      doc: 'Whether rules match other versions of a resource as well: Equivalent or Exact.',
      pointer: true,
    }),
  }),
  { atomic: true },
)
export type MatchResources = Infer<typeof matchResources>
const namedRuleWithOperations = obj(
  'io.k8s.api.admissionregistration.v1.NamedRuleWithOperations',
  'Operations on resources, or on some of their objects.',
  () => ({
    resourceNames: opt(1, list(str()), { doc: 'Names of objects; all when empty.', listType: 'atomic' }),
    ...inline(2, ruleWithOperations),
  }),
  { atomic: true },
)
export type NamedRuleWithOperations = Infer<typeof namedRuleWithOperations>
const validation = obj('io.k8s.api.admissionregistration.v1.Validation', 'A rule, and what is said when it is broken.', () => ({
  expression: req(1, str(), { doc: 'The rule in CEL.', default: '' }),
  message: opt(2, str(), { doc: 'What is said.' }),
  reason: opt(3, str(), { doc: 'Why the request fails; Invalid when absent.', pointer: true }),
  messageExpression: opt(4, str(), { doc: 'What is said, as a CEL expression.' }),
}))
export type Validation = Infer<typeof validation>
const auditAnnotation = obj('io.k8s.api.admissionregistration.v1.AuditAnnotation', 'A note for the audit log.', () => ({
  key: req(1, str(), { doc: 'Its key.', default: '' }),
  valueExpression: req(2, str(), { doc: 'Its value in CEL; null for none.', default: '' }),
}))
const variable = obj(
  'io.k8s.api.admissionregistration.v1.Variable',
  'A value that rules may use.',
  () => ({
    name: req(1, str(), { doc: 'Its name.', default: '' }),
    expression: req(2, str(), { doc: 'Its value in CEL.', default: '' }),
  }),
  { atomic: true },
)
export type Variable = Infer<typeof variable>
/** `tag` is the field's protobuf tag. */
export const variables = (tag: number) =>
  opt(tag, list(variable), {
    doc: 'Values that rules may use.',
    listType: 'map',
    listMapKeys: ['name'],
    mergeKey: 'name',
    patchStrategy: 'merge',
  })
const validatingAdmissionPolicyStatus = obj(
  'io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyStatus',
  'What was found in the rules.',
  () => ({
    observedGeneration: opt(1, int64(), { doc: 'The metadata.generation that was looked at.', pointer: false }),
    typeChecking: opt(2, typeChecking, { doc: 'What types do not fit.' }),
    conditions: opt(3, list(condition), { doc: 'Observed aspects.', listType: 'map', listMapKeys: ['type'] }),
  }),
)
export type ValidatingAdmissionPolicyStatus = Infer<typeof validatingAdmissionPolicyStatus>
const typeChecking = obj('io.k8s.api.admissionregistration.v1.TypeChecking', 'Types in expressions that do not fit.', () => ({
  expressionWarnings: opt(1, list(expressionWarning), { doc: 'What was found.', listType: 'atomic' }),
}))
const expressionWarning = obj('io.k8s.api.admissionregistration.v1.ExpressionWarning', 'Types in an expression that do not fit.', () => ({
  fieldRef: req(2, str(), { doc: 'Path of the expression.', default: '' }),
  warning: req(3, str(), { doc: 'What was found.', default: '' }),
}))

export const validatingAdmissionPolicy = resource<ValidatingAdmissionPolicy>({
  ...validatingAdmissionPolicies,
  schema: validatingAdmissionPolicySchema,
  singular: 'validatingadmissionpolicy',
  categories: ['api-extensions'],
  hasGeneration: true,
  hasStatus: true,
  statusKeeps: 'metadata',
  statusResetFields: [['f:metadata'], ['f:spec']],
  allowUnconditionalUpdate: false,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  columns: [
    nameColumn,
    { name: 'Validations', type: 'integer', doc: 'How many rules it has', cell: p => p.spec.validations?.length ?? 0 },
    { name: 'ParamKind', type: 'string', doc: 'Kind of the objects with parameters', cell: p => paramKindText(p.spec.paramKind) },
    ageColumn,
  ],
  defaults: ({ spec }) => {
    spec.failurePolicy ??= 'Fail'
    if (spec.matchConstraints) defaultMatchResources(spec.matchConstraints)
  },
  validate: (p, at) => validatePolicy(p.metadata.name ?? '', p.spec, at.child('spec')),
  validateUpdate: (p, _old, at, ctx) => (ctx.subresource === 'status' ? validatePolicyStatus(p.status ?? {}, at.child('status')) : []),
})

/** The column of the kind of a policy's parameters. */
export const paramKindText = (k: { apiVersion?: string | undefined; kind?: string | undefined } | undefined): string =>
  k ? `${k.apiVersion ?? ''}/${k.kind ?? ''}` : '<unset>'
