/**
 * Rules of validating admission policies and their bindings (pkg/apis/admissionregistration/validation). CEL expressions must be there; they
 * are not looked into.
 */
import { duplicate, forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1035Label, isDNS1123Subdomain, isQualifiedName, nameIsPathSegment } from '../../machinery/names.ts'
import { validateLabelSelector } from '../meta/labelselector.ts'
import { validateConditions } from '../meta/validation.ts'
import { validateRule } from './rulevalidation.ts'
import type {
  MatchResources,
  NamedRuleWithOperations,
  ParamKind,
  ValidatingAdmissionPolicySpec,
  ValidatingAdmissionPolicyStatus,
  Validation,
} from './validatingadmissionpolicy.ts'
import type { ValidatingAdmissionPolicyBindingSpec } from './validatingadmissionpolicybinding.ts'
import { failurePolicies, matchPolicies, oneOf, validateMatchConditions } from './webhookvalidation.ts'

const maxAuditAnnotations = 20
const celIdentifier = /^[_a-zA-Z][_a-zA-Z0-9]*$/
// prettier-ignore
const celReserved = new Set([
  'true', 'false', 'null', 'in', 'as', 'break', 'const', 'continue', 'else', 'for', 'function', 'if', 'import', 'let', 'loop', 'package',
  'namespace', 'return', 'var', 'void', 'while',
])
const reasons = ['Forbidden', 'Invalid', 'RequestEntityTooLarge', 'Unauthorized']

/** `name` is the policy's, which is part of the keys of its audit annotations. */
export function validatePolicy(name: string, spec: ValidatingAdmissionPolicySpec, at: Path): FieldError[] {
  const errors = oneOf(spec.failurePolicy, failurePolicies, at.child('failurePolicy'))
  if (spec.paramKind) errors.push(...validateParamKind(spec.paramKind, at.child('paramKind')))
  const match = at.child('matchConstraints')
  if (!spec.matchConstraints) errors.push(required(match))
  else {
    errors.push(...validateMatchResources(spec.matchConstraints, match))
    if (!spec.matchConstraints.resourceRules?.length) errors.push(required(match.child('resourceRules')))
  }
  errors.push(...validateMatchConditions(spec.matchConditions ?? [], at.child('matchConditions')))
  spec.variables?.forEach((v, i) => {
    const here = at.child('variables').index(i)
    if (!v.name?.trim()) errors.push(required(here.child('name'), 'name is not specified'))
    else if (!celIdentifier.test(v.name) || celReserved.has(v.name))
      errors.push(invalid(here.child('name'), v.name, 'name is not a valid CEL identifier'))
    if (!v.expression?.trim()) errors.push(required(here.child('expression'), 'expression is not specified'))
  })
  if (!spec.validations?.length && !spec.auditAnnotations?.length)
    for (const field of ['validations', 'auditAnnotations'])
      errors.push(required(at.child(field), 'validations or auditAnnotations must contain at least one item'))
  spec.validations?.forEach((v, i) => errors.push(...validateValidation(v, at.child('validations').index(i))))
  return [...errors, ...validateAuditAnnotations(name, spec.auditAnnotations ?? [], at.child('auditAnnotations'))]
}

function validateParamKind({ apiVersion = '', kind = '' }: ParamKind, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const versionAt = at.child('apiVersion')
  const parts = apiVersion.split('/')
  const version = parts.pop()!
  if (apiVersion === '') errors.push(required(versionAt))
  else if (parts.length > 1) errors.push(invalid(versionAt, apiVersion, `unexpected GroupVersion string: ${apiVersion}`))
  else {
    const [group = ''] = parts
    const badGroup = group === '' ? [] : isDNS1123Subdomain(group)
    if (badGroup.length > 0) errors.push(invalid(versionAt, group, badGroup.join(',')))
    const badVersion = version === '' ? [] : isDNS1035Label(version)
    if (version === '') errors.push(invalid(versionAt, apiVersion, 'version must be specified'))
    else if (badVersion.length > 0) errors.push(invalid(versionAt, version, badVersion.join(',')))
  }
  const badKind = isDNS1035Label(kind.toLowerCase())
  if (kind === '') errors.push(required(at.child('kind')))
  else if (badKind.length > 0)
    errors.push(invalid(at.child('kind'), kind, `may have mixed case, but should otherwise match: ${badKind.join(',')}`))
  return errors
}

function validateMatchResources(match: MatchResources, at: Path): FieldError[] {
  const rules = (field: 'resourceRules' | 'excludeResourceRules'): FieldError[] =>
    (match[field] ?? []).flatMap((rule, i) => validateNamedRule(rule, at.child(field).index(i)))
  return [
    ...oneOf(match.matchPolicy, matchPolicies, at.child('matchPolicy')),
    ...validateLabelSelector(match.namespaceSelector, {}, at.child('namespaceSelector')),
    ...validateLabelSelector(match.objectSelector, {}, at.child('objectSelector')),
    ...rules('resourceRules'),
    ...rules('excludeResourceRules'),
  ]
}

function validateNamedRule(rule: NamedRuleWithOperations, at: Path): FieldError[] {
  const names = rule.resourceNames ?? []
  const errors = names.flatMap((name, i) => {
    const here = at.child('resourceNames').index(i)
    const bad = nameIsPathSegment(name, false).map(m => invalid(here, name, m))
    return names.indexOf(name) < i ? [...bad, duplicate(here, name)] : bad
  })
  return [...errors, ...validateRule(rule, at)]
}

function validateValidation({ expression, message, messageExpression, reason }: Validation, at: Path): FieldError[] {
  const errors = expression?.trim() ? [] : [required(at.child('expression'), 'expression is not specified')]
  if (messageExpression && !messageExpression.trim())
    errors.push(invalid(at.child('messageExpression'), messageExpression, 'must be non-empty if specified'))
  if (message && !message.trim()) errors.push(invalid(at.child('message'), message, 'message must be non-empty if specified'))
  else if (/[\n\r]/.test(message?.trim() ?? '')) errors.push(invalid(at.child('message'), message, 'message must not contain line breaks'))
  return [...errors, ...oneOf(reason, reasons, at.child('reason'))]
}

function validateAuditAnnotations(
  policy: string,
  annotations: readonly { key: string; valueExpression: string }[],
  at: Path,
): FieldError[] {
  const errors =
    annotations.length > maxAuditAnnotations
      ? [invalid(at, annotations, `must not have more than ${maxAuditAnnotations} auditAnnotations`)]
      : []
  annotations.forEach(({ key, valueExpression }, i) => {
    const here = at.index(i)
    if (policy) errors.push(...isQualifiedName(`${policy}/${key}`).map(m => invalid(here.child('key'), key, m)))
    else errors.push(...isQualifiedName(key).map(m => invalid(here.child('key'), key, m)))
    if (!valueExpression?.trim()) errors.push(required(here.child('valueExpression'), 'valueExpression is not specified'))
    if (annotations.findIndex(a => a.key === key) < i) errors.push(duplicate(here.child('key'), key))
  })
  return errors
}

export const validatePolicyStatus = (status: ValidatingAdmissionPolicyStatus, at: Path): FieldError[] => [
  ...validateConditions(status.conditions, at.child('conditions')),
  ...(status.typeChecking?.expressionWarnings ?? []).flatMap((w, i) => {
    const here = at.child('typeChecking', 'expressionWarnings').index(i)
    return (['warning', 'fieldRef'] as const).filter(f => !w[f]).map(f => required(here.child(f)))
  }),
]

const actions = ['Audit', 'Deny', 'Warn']
const notFoundActions = ['Allow', 'Deny']

export function validateBinding(spec: ValidatingAdmissionPolicyBindingSpec, at: Path): FieldError[] {
  const { policyName = '', paramRef, matchResources, validationActions = [] } = spec
  const nameAt = at.child('policyName')
  const errors = policyName === '' ? [required(nameAt)] : isDNS1123Subdomain(policyName).map(m => invalid(nameAt, policyName, m))
  if (paramRef) {
    const here = at.child('paramRef')
    if (paramRef.name) {
      errors.push(...nameIsPathSegment(paramRef.name, false).map(m => invalid(here.child('name'), paramRef.name, m)))
      if (paramRef.selector) errors.push(forbidden(here.child('name'), 'name and selector are mutually exclusive'))
    }
    if (paramRef.selector) {
      errors.push(...validateLabelSelector(paramRef.selector, {}, here.child('selector')))
      if (paramRef.name) errors.push(forbidden(here.child('selector'), 'name and selector are mutually exclusive'))
    }
    if (!paramRef.name && !paramRef.selector) errors.push(required(here, 'one of name or selector must be specified'))
    if (!paramRef.parameterNotFoundAction) errors.push(required(here.child('parameterNotFoundAction')))
    else errors.push(...oneOf(paramRef.parameterNotFoundAction, notFoundActions, here.child('parameterNotFoundAction')))
  }
  // The path is misspelt upstream, too.
  if (matchResources) errors.push(...validateMatchResources(matchResources, at.child('matchResouces')))
  return [...errors, ...validateActions(validationActions, at.child('validationActions'))]
}

function validateActions(given: readonly string[], at: Path): FieldError[] {
  const errors = given.flatMap((action, i) => {
    const bad = actions.includes(action) ? [] : [notSupported(at.index(i), action, actions)]
    return given.indexOf(action) < i ? [...bad, duplicate(at.index(i), action)] : bad
  })
  if (given.includes('Deny') && given.includes('Warn'))
    errors.push(
      invalid(
        at,
        given,
        'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
      ),
    )
  return given.length === 0 ? [...errors, required(at, 'at least one validation action is required')] : errors
}
