/** Rules of what webhooks and policies match (pkg/apis/admissionregistration/validation validateRuleWithOperations). */
import { invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import type { RuleWithOperations } from './webhooks.ts'

const operations = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE']
const scopes = ['*', 'Cluster', 'Namespaced']

/** A list that must hold something, and nothing beside a `*`. */
function validateList(values: readonly string[], what: string, at: Path, emptyAllowed = false): FieldError[] {
  const errors = values.length === 0 ? [required(at)] : []
  if (values.length > 1 && values.includes('*')) errors.push(invalid(at, values, `if '*' is present, must not specify other ${what}`))
  if (!emptyAllowed) values.forEach((v, i) => v === '' && errors.push(required(at.index(i))))
  return errors
}

export function validateRule(rule: RuleWithOperations, at: Path): FieldError[] {
  const errors = validateList(rule.operations ?? [], 'operations', at.child('operations'), true)
  rule.operations?.forEach((o, i) => {
    if (!operations.includes(o)) errors.push(notSupported(at.child('operations').index(i), o, operations))
  })
  // The core group is the empty one.
  errors.push(...validateList(rule.apiGroups ?? [], 'API groups', at.child('apiGroups'), true))
  errors.push(...validateList(rule.apiVersions ?? [], 'API versions', at.child('apiVersions')))
  errors.push(...validateResources(rule.resources ?? [], at.child('resources')))
  if (rule.scope !== undefined && !scopes.includes(rule.scope)) errors.push(notSupported(at.child('scope'), rule.scope, scopes))
  return errors
}

/** What one entry covers may not be named by a later one. */
function validateResources(resources: readonly string[], at: Path): FieldError[] {
  const errors = resources.length === 0 ? [required(at)] : []
  const anySub = new Set<string>()
  const anyResource = new Set<string>()
  let plain = false
  resources.forEach((text, i) => {
    const here = at.index(i)
    if (text === '') return void errors.push(required(here))
    const slash = text.indexOf('/')
    if (slash < 0) return void (plain = text !== '*')
    const [resource, sub] = [text.slice(0, slash), text.slice(slash + 1)]
    if (anySub.has(resource)) errors.push(invalid(here, text, `if '${resource}/*' is present, must not specify ${text}`))
    if (anyResource.has(sub)) errors.push(invalid(here, text, `if '*/${sub}' is present, must not specify ${text}`))
    if (sub === '*') anySub.add(resource)
    if (resource === '*') anyResource.add(sub)
  })
  if (resources.length > 1 && resources.includes('*/*'))
    errors.push(invalid(at, resources, "if '*/*' is present, must not specify other resources"))
  if (resources.includes('*') && plain)
    errors.push(invalid(at, resources, "if '*' is present, must not specify other resources without subresources"))
  return errors
}
