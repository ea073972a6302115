/** Rules of webhook configurations (pkg/apis/admissionregistration/validation). */
import { duplicate, invalid, notSupported, required, tooMany, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1035Label, isDNS1123Subdomain, isQualifiedName } from '../../machinery/names.ts'
import { validateLabelSelector } from '../meta/labelselector.ts'
import { validateRule } from './rulevalidation.ts'
import { validateClientConfig } from './webhookclientvalidation.ts'
import type { MatchCondition, Webhook } from './webhooks.ts'

export const failurePolicies = ['Fail', 'Ignore']
export const matchPolicies = ['Equivalent', 'Exact']
const sideEffects = ['None', 'NoneOnDryRun']
const reinvocationPolicies = ['IfNeeded', 'Never']
const reviewVersions = ['v1', 'v1beta1']

/** A value that may be absent must be one of some. */
export const oneOf = (value: string | undefined, values: readonly string[], at: Path): FieldError[] =>
  value === undefined || values.includes(value) ? [] : [notSupported(at, value, values)]

export function validateWebhooks(webhooks: readonly Webhook[], at: Path): FieldError[] {
  const names = new Set<string>()
  return webhooks.flatMap((webhook, i) => {
    const here = at.index(i)
    const errors = validateWebhook(webhook, here)
    if (webhook.name && names.has(webhook.name)) errors.push(duplicate(here.child('name'), webhook.name))
    names.add(webhook.name)
    return errors
  })
}

function validateWebhook(webhook: Webhook, at: Path): FieldError[] {
  const errors = validateName(webhook.name ?? '', at.child('name'))
  webhook.rules?.forEach((rule, i) => errors.push(...validateRule(rule, at.child('rules').index(i))))
  errors.push(
    ...oneOf(webhook.failurePolicy, failurePolicies, at.child('failurePolicy')),
    ...oneOf(webhook.matchPolicy, matchPolicies, at.child('matchPolicy')),
    ...oneOf(webhook.sideEffects, sideEffects, at.child('sideEffects')),
    ...oneOf(webhook.reinvocationPolicy, reinvocationPolicies, at.child('reinvocationPolicy')),
  )
  if (webhook.sideEffects === undefined) errors.push(required(at.child('sideEffects'), `must specify one of ${sideEffects.join(', ')}`))
  const seconds = webhook.timeoutSeconds
  if (seconds !== undefined && (seconds > 30 || seconds < 1))
    errors.push(invalid(at.child('timeoutSeconds'), seconds, 'the timeout value must be between 1 and 30 seconds'))
  return [
    ...errors,
    ...validateLabelSelector(webhook.namespaceSelector, {}, at.child('namespaceSelector')),
    ...validateLabelSelector(webhook.objectSelector, {}, at.child('objectSelector')),
    ...validateClientConfig(webhook.clientConfig ?? {}, at.child('clientConfig')),
    ...validateMatchConditions(webhook.matchConditions ?? [], at.child('matchConditions')),
    ...validateReviewVersions(webhook.admissionReviewVersions ?? [], at.child('admissionReviewVersions')),
  ]
}

function validateName(name: string, at: Path): FieldError[] {
  if (name === '') return [required(at)]
  const errors = isDNS1123Subdomain(name)
  if (errors.length > 0) return [invalid(at, name, errors.join(','))]
  return name.split('.').length < 3 ? [invalid(at, name, 'should be a domain with at least three segments separated by dots')] : []
}

/** Of AdmissionReview, or of ConversionReview: `known` are those that this server can send. */
export function validateReviewVersions(versions: readonly string[], at: Path, known: readonly string[] = reviewVersions): FieldError[] {
  if (versions.length === 0) return [required(at, `must specify one of ${known.join(', ')}`)]
  const errors = versions.flatMap((v, i) => {
    if (versions.indexOf(v) < i) return [invalid(at.index(i), v, 'duplicate version')]
    return isDNS1035Label(v).map(m => invalid(at.index(i), v, m))
  })
  if (!versions.some(v => known.includes(v))) errors.push(invalid(at, versions, `must include at least one of ${known.join(', ')}`))
  return errors
}

export function validateMatchConditions(conditions: readonly MatchCondition[], at: Path): FieldError[] {
  const errors = conditions.length > 64 ? [tooMany(at, conditions.length, 64)] : []
  const names = new Set<string>()
  conditions.forEach(({ name, expression }, i) => {
    const here = at.index(i)
    if (!expression?.trim()) errors.push(required(here.child('expression')))
    if (!name) return void errors.push(required(here.child('name')))
    errors.push(...isQualifiedName(name).map(m => invalid(here.child('name'), name, m)))
    if (names.has(name)) errors.push(duplicate(here.child('name'), name))
    names.add(name)
  })
  return errors
}
