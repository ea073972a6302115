/** Rules of requests, limits and claims. */
import { forbidden, invalid, notFound, duplicate, required, type FieldError, type Path } from '../../../machinery/field.ts'
import { compareQuantity, normalQuantity, parseQuantity } from '../../../machinery/quantity.ts'
import { containerResourceName, isHugePages, isOvercommitAllowed, resourceQuantityRules } from '../resourcenames.ts'
import { dns1123Label, qualifiedName } from './formats.ts'
import type { ResourceRequirements } from './resourcerequirements.ts'

const podResources = ['cpu', 'memory']
const podNameRules = (name: string, at: Path): FieldError[] => {
  const errors = qualifiedName(name, at)
  if (errors.length > 0) return errors
  return podResources.includes(name) || isHugePages(name) ? [] : [invalid(at, name, 'must be a standard resource for pods')]
}

/** The size of a page is in the resource's name, `hugepages-2Mi`. */
function hugePageRules(name: string, quantity: string, at: Path): FieldError[] {
  if (!isHugePages(name)) return []
  const size = name.slice('hugepages-'.length)
  const whole =
    normalQuantity(size) !== undefined && compareQuantity(size, '0') > 0 && parseQuantity(quantity).nanos % parseQuantity(size).nanos === 0n
  return whole ? [] : [invalid(at, quantity, `${quantity} is not positive integer multiple of ${name}`)]
}

/** Requests, limits and claims of a container (or, with `forPod`, of a pod). `claims` are the names in spec.resourceClaims. */
export function validateResources(
  r: ResourceRequirements | undefined,
  claims: ReadonlySet<string>,
  path: Path,
  forPod = false,
): FieldError[] {
  if (!r) return []
  const errors: FieldError[] = []
  const names = forPod ? podNameRules : containerResourceName
  const limits = r.limits ?? {}
  const requests = r.requests ?? {}
  for (const [name, quantity] of Object.entries(limits)) {
    const at = path.child('limits').key(name)
    errors.push(...names(name, at), ...resourceQuantityRules(name, quantity, at), ...hugePageRules(name, quantity, at))
  }
  for (const [name, quantity] of Object.entries(requests)) {
    const at = path.child('requests').key(name)
    errors.push(...names(name, at), ...resourceQuantityRules(name, quantity, at))
    const limit = limits[name]
    if (limit !== undefined) {
      const order = compareQuantity(quantity, limit)
      if (order !== 0 && !isOvercommitAllowed(name))
        errors.push(invalid(path.child('requests'), quantity, `must be equal to ${name} limit of ${limit}`))
      else if (order > 0) errors.push(invalid(path.child('requests'), quantity, `must be less than or equal to ${name} limit of ${limit}`))
    } else if (!isOvercommitAllowed(name)) errors.push(required(path.child('limits'), 'Limit must be set for non overcommitable resources'))
    errors.push(...hugePageRules(name, quantity, at))
  }
  const all = [...Object.keys(limits), ...Object.keys(requests)]
  if (all.some(isHugePages) && !all.includes('cpu') && !all.includes('memory'))
    errors.push(forbidden(path, 'HugePages require cpu or memory'))
  return [...errors, ...validateClaims(r.claims, claims, path.child('claims'))]
}

/** A claim may be named once as a whole, or once for each of its requests. */
function validateClaims(claims: ResourceRequirements['claims'], known: ReadonlySet<string>, path: Path): FieldError[] {
  const seen = new Set<string>()
  return (claims ?? []).flatMap(({ name, request }, i) => {
    const at = path.index(i)
    if (!name) return [required(at)]
    const errors: FieldError[] = []
    if (seen.has(name)) errors.push(duplicate(at, name))
    else {
      const key = request ? `${name}/${request}` : name
      if (request) errors.push(...dns1123Label(request, at.child('request')))
      if (seen.has(key)) errors.push(duplicate(at, key))
      else if (!request) for (const other of seen) if (other.startsWith(`${name}/`)) errors.push(duplicate(at, name))
      seen.add(key)
    }
    if (!known.has(name)) {
      const error = notFound(at, name)
      const which = known.size === 0 ? ' which is empty' : `: ${[...known].sort().join(', ')}`
      errors.push({ ...error, message: `${error.message}: must be one of the names in pod.spec.resourceClaims${which}` })
    }
    return errors
  })
}
