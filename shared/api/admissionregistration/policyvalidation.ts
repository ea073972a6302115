/**
 * Rules of validating admission policies and their bindings (pkg/apis/admissionregistration/validation). CEL expressions must be there;
 * they are not looked into.
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
  Variable,
} from './validatingadmissionpolicy.ts'
import type { ParamRef, ValidatingAdmissionPolicyBindingSpec } from './validatingadmissionpolicybinding.ts'
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
  errors.push(...validateMatchConstraints(spec.matchConstraints, at.child('matchConstraints')))
  errors.push(...validateMatchConditions(spec.matchConditions ?? [], at.child('matchConditions')))
  errors.push(...validateVariables(spec.variables ?? [], at.child('variables')))
  if (!spec.validations?.length && !spec.auditAnnotations?.length)
    for (const field of ['validations', 'auditAnnotations'])
      errors.push(required(at.child(field), 'validations or auditAnnotations must contain at least one item'))
  spec.validations?.forEach((v, i) => errors.push(...validateValidation(v, at.child('validations').index(i))))
  return [...errors, ...validateAuditAnnotations(name, spec.auditAnnotations ?? [], at.child('auditAnnotations'))]
}

export function validateMatchConstraints(match: MatchResources | undefined, at: Path): FieldError[] {
  if (!match) return [required(at)]
  const errors = validateMatchResources(match, at)
  return match.resourceRules?.length ? errors : [...errors, required(at.child('resourceRules'))]
}

export const validateVariables = (variables: readonly Variable[], at: Path): FieldError[] =>
  variables.flatMap(({ name, expression }, i) => {
    const here = at.index(i)
    const errors: FieldError[] = []
    if (!name?.trim()) errors.push(required(here.child('name'), 'name is not specified'))
    else if (!celIdentifier.test(name) || celReserved.has(name))
      errors.push(invalid(here.child('name'), name, 'name is not a valid CEL identifier'))
    if (!expression?.trim()) errors.push(required(here.child('expression'), 'expression is not specified'))
    return errors
  })

export function validateParamKind({ apiVersion = '', kind = '' }: ParamKind, at: Path): FieldError[] {
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

export function validateMatchResources(match: MatchResources, at: Path): FieldError[] {
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
  const { policyName, paramRef, matchResources, validationActions = [] } = spec
  const errors = validatePolicyName(policyName, at.child('policyName'))
  if (paramRef) errors.push(...validateParamRef(paramRef, at.child('paramRef')))
  // The path is misspelt upstream, too.
  if (matchResources) errors.push(...validateMatchResources(matchResources, at.child('matchResouces')))
  return [...errors, ...validateActions(validationActions, at.child('validationActions'))]
}

export const validatePolicyName = (name: string | undefined, at: Path): FieldError[] =>
  name ? isDNS1123Subdomain(name).map(m => invalid(at, name, m)) : [required(at)]

export function validateParamRef({ name, selector, parameterNotFoundAction }: ParamRef, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (name) {
    errors.push(...nameIsPathSegment(name, false).map(m => invalid(at.child('name'), name, m)))
    if (selector) errors.push(forbidden(at.child('name'), 'name and selector are mutually exclusive'))
  }
  if (selector) {
    errors.push(...validateLabelSelector(selector, {}, at.child('selector')))
    if (name) errors.push(forbidden(at.child('selector'), 'name and selector are mutually exclusive'))
  }
  if (!name && !selector) errors.push(required(at, 'one of name or selector must be specified'))
  if (!parameterNotFoundAction) return [...errors, required(at.child('parameterNotFoundAction'))]
  return [...errors, ...oneOf(parameterNotFoundAction, notFoundActions, at.child('parameterNotFoundAction'))]
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
