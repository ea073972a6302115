/** Rules of resource quotas (ValidateResourceQuota in pkg/apis/core/validation). */
import { invalid, required, type FieldError, type Path } from '../../machinery/field.ts'
import { immutableText } from '../meta/validation.ts'
import { isStandardQuotaResource, quotaResourceName, resourceQuantityRules } from './resourcenames.ts'
import type { ResourceQuota } from './resourcequota.ts'

const scopes = [
  'Terminating',
  'NotTerminating',
  'BestEffort',
  'NotBestEffort',
  'PriorityClass',
  'CrossNamespacePodAffinity',
  'VolumeAttributesClass',
]
/** Scopes that have no values. */
const valueless = ['Terminating', 'NotTerminating', 'BestEffort', 'NotBestEffort', 'CrossNamespacePodAffinity']
const podResources = ['pods', 'cpu', 'memory', 'limits.cpu', 'limits.memory', 'requests.cpu', 'requests.memory']

/** Whether a standard resource can be limited in a scope. */
function isValidInScope(scope: string, name: string): boolean {
  if (scope === 'BestEffort') return name === 'pods'
  if (scope === 'VolumeAttributesClass') return name === 'persistentvolumeclaims' || name === 'requests.storage'
  return !scopes.includes(scope) || podResources.includes(name)
}

export const validateAmounts = (amounts: { readonly [name: string]: string } | undefined, at: Path): FieldError[] =>
  Object.entries(amounts ?? {}).flatMap(([name, q]) => [
    ...quotaResourceName(name, at.key(name)),
    ...resourceQuantityRules(name, q, at.key(name)),
  ])

export function validateResourceQuota({ spec }: ResourceQuota, path: Path): FieldError[] {
  const at = path.child('spec')
  return [
    ...validateAmounts(spec.hard, at.child('hard')),
    ...validateScopes(spec, at),
    ...validateSelector(spec, at.child('scopeSelector')),
  ]
}

const standardOf = (spec: ResourceQuota['spec']): string[] =>
  Object.keys(spec.hard ?? {})
    .filter(isStandardQuotaResource)
    .sort()

const conflicting = (names: readonly (string | undefined)[]): number =>
  [
    ['BestEffort', 'NotBestEffort'],
    ['Terminating', 'NotTerminating'],
  ].filter(pair => pair.every(name => names.includes(name))).length

function validateScopes(spec: ResourceQuota['spec'], path: Path): FieldError[] {
  const at = path.child('scopes')
  const names = spec.scopes ?? []
  const errors: FieldError[] = []
  for (const scope of names) {
    if (!scopes.includes(scope)) errors.push(invalid(at, names, 'unsupported scope'))
    for (const name of standardOf(spec))
      if (!isValidInScope(scope, name)) errors.push(invalid(at, names, 'unsupported scope applied to resource'))
  }
  for (let i = conflicting(names); i > 0; i--) errors.push(invalid(at, names, 'conflicting scopes'))
  return errors
}

function validateSelector(spec: ResourceQuota['spec'], path: Path): FieldError[] {
  const at = path.child('matchExpressions')
  const errors: FieldError[] = []
  const requirements = spec.scopeSelector?.matchExpressions ?? []
  for (const { scopeName, operator, values = [] } of requirements) {
    if (!scopes.includes(scopeName)) errors.push(invalid(at.child('scopeName'), scopeName, 'unsupported scope'))
    for (const name of standardOf(spec))
      if (!isValidInScope(scopeName, name)) errors.push(invalid(at, spec.scopeSelector, 'unsupported scope applied to resource'))
    if (valueless.includes(scopeName) && operator !== 'Exists')
      errors.push(
        invalid(
          at.child('operator'),
          operator,
          "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
        ),
      )
    if (operator === 'In' || operator === 'NotIn') {
      if (values.length === 0)
        errors.push(required(at.child('values'), "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"))
    } else if (operator === 'Exists' || operator === 'DoesNotExist') {
      if (values.length > 0)
        errors.push(invalid(at.child('values'), values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"))
    } else errors.push(invalid(at.child('operator'), operator, 'not a valid selector operator'))
  }
  for (let i = conflicting(requirements.map(r => r.scopeName)); i > 0; i--)
    errors.push(invalid(path.child('scopes'), spec.scopes ?? [], 'conflicting scopes'))
  return errors
}

/** The scopes of a quota stay. */
export function validateScopesUnchanged(q: ResourceQuota, old: ResourceQuota, path: Path): FieldError[] {
  const [now, before] = [new Set(q.spec.scopes), new Set(old.spec.scopes)]
  if (now.size === before.size && [...now].every(s => before.has(s))) return []
  return [invalid(path.child('spec', 'scopes'), q.spec.scopes ?? [], immutableText)]
}
