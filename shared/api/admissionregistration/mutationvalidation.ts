/**
 * Rules of mutating admission policies and their bindings (pkg/apis/admissionregistration/validation). CEL expressions must be there; they
 * are not looked into.
 */
import { invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import type { MutatingAdmissionPolicySpec, Mutation } from './mutatingadmissionpolicy.ts'
import type { MutatingAdmissionPolicyBindingSpec } from './mutatingadmissionpolicybinding.ts'
import {
  validateMatchConstraints,
  validateMatchResources,
  validateParamKind,
  validateParamRef,
  validatePolicyName,
  validateVariables,
} from './policyvalidation.ts'
import type { MatchResources } from './validatingadmissionpolicy.ts'
import { failurePolicies, oneOf, validateMatchConditions } from './webhookvalidation.ts'

const operations = ['*', 'CONNECT', 'CREATE', 'UPDATE']
const patchTypes = ['ApplyConfiguration', 'JSONPatch']
const reinvocationPolicies = ['Never', 'IfNeeded']

export function validateMutatingPolicy(spec: MutatingAdmissionPolicySpec, at: Path): FieldError[] {
  const errors = oneOf(spec.failurePolicy, failurePolicies, at.child('failurePolicy'))
  if (spec.paramKind) errors.push(...validateParamKind(spec.paramKind, at.child('paramKind')))
  errors.push(...validateMatchConstraints(spec.matchConstraints, at.child('matchConstraints')))
  errors.push(...validateOperations(spec.matchConstraints, at.child('matchConstraints')))
  errors.push(...validateMatchConditions(spec.matchConditions ?? [], at.child('matchConditions')))
  errors.push(...validateVariables(spec.variables ?? [], at.child('variables')))
  if (!spec.mutations?.length) errors.push(required(at.child('mutations'), 'mutations must contain at least one item'))
  spec.mutations?.forEach((m, i) => errors.push(...validateMutation(m, at.child('mutations').index(i))))
  if (!spec.reinvocationPolicy) errors.push(required(at.child('reinvocationPolicy')))
  else errors.push(...oneOf(spec.reinvocationPolicy, reinvocationPolicies, at.child('reinvocationPolicy')))
  return errors
}

/** Nothing can be changed in what is deleted. The path names no item upstream, too. */
const validateOperations = (match: MatchResources | undefined, at: Path): FieldError[] =>
  (match?.resourceRules ?? []).flatMap(rule =>
    (rule.operations ?? [])
      .filter(o => !operations.includes(o))
      .map(o => notSupported(at.child('resourceRules', 'operations'), o, operations)),
  )

function validateMutation({ patchType, applyConfiguration, jsonPatch }: Mutation, at: Path): FieldError[] {
  if (!patchType) return [required(at.child('patchType'))]
  const own = { ApplyConfiguration: applyConfiguration, JSONPatch: jsonPatch }
  const fields = { ApplyConfiguration: 'applyConfiguration', JSONPatch: 'jsonPatch' } as const
  const errors: FieldError[] = []
  if (!patchTypes.includes(patchType)) return [notSupported(at.child('patchType'), patchType, patchTypes)]
  for (const type of ['ApplyConfiguration', 'JSONPatch'] as const) {
    const here = at.child(fields[type])
    const value = own[type]
    if (type !== patchType) {
      if (value) errors.push(invalid(here, `{${fields[type]}}`, `must not be specified when patchType is ${patchType}`))
    } else if (!value) errors.push(required(here, `must be specified when patchType is ${patchType}`))
    else if (!value.expression?.trim()) errors.push(required(here.child('expression')))
  }
  return errors
}

export function validateMutatingBinding(
  { policyName, paramRef, matchResources }: MutatingAdmissionPolicyBindingSpec,
  at: Path,
): FieldError[] {
  const errors = validatePolicyName(policyName, at.child('policyName'))
  if (paramRef) errors.push(...validateParamRef(paramRef, at.child('paramRef')))
  if (matchResources) errors.push(...validateMatchResources(matchResources, at.child('matchResources')))
  return [...errors, ...validateOperations(matchResources, at.child('matchResources'))]
}
