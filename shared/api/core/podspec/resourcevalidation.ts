/** Rules of requests, limits and claims, and what the names of compute resources mean. */
import { forbidden, invalid, notFound, duplicate, required, type FieldError, type Path } from '../../../machinery/field.ts'
import { compareQuantity, normalQuantity, parseQuantity } from '../../../machinery/quantity.ts'
import { dns1123Label, qualifiedName } from './formats.ts'
import type { ResourceRequirements } from './resourcerequirements.ts'

const integerResources = [
  'pods',
  'resourcequotas',
  'services',
  'replicationcontrollers',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
  'services.nodeports',
  'services.loadbalancers',
]
const containerResources = ['cpu', 'memory', 'ephemeral-storage']
/** Unprefixed names that are standard somewhere (quota, nodes, claims). */
const standardResources = [
  ...containerResources,
  'limits.cpu',
  'limits.memory',
  'limits.ephemeral-storage',
  'requests.cpu',
  'requests.memory',
  'requests.ephemeral-storage',
  'requests.storage',
  'storage',
  ...integerResources,
]

export const isHugePages = (name: string): boolean => name.startsWith('hugepages-')
/** Without a domain, or in kubernetes.io. */
export const isNativeResource = (name: string): boolean => !name.includes('/') || name.includes('kubernetes.io/')
/** A device that a plugin counts: outside kubernetes.io, and usable in a quota as `requests.<name>`. */
export const isExtendedResource = (name: string): boolean =>
  !isNativeResource(name) && !name.startsWith('requests.') && !/^[^/]*[A-Z]/.test(name) && name.split('/').length === 2
/** Whether a request may be below its limit. */
const mayOvercommit = (name: string): boolean => isNativeResource(name) && !isHugePages(name)

function nameRules(name: string, at: Path): FieldError[] {
  const errors = qualifiedName(name, at)
  if (errors.length > 0) return errors
  if (!name.includes('/')) {
    if (!standardResources.includes(name) && !isHugePages(name))
      errors.push(invalid(at, name, 'must be a standard resource type or fully qualified'))
    if (!containerResources.includes(name) && !isHugePages(name))
      errors.push(invalid(at, name, 'must be a standard resource for containers'))
  } else if (!isNativeResource(name) && !isExtendedResource(name))
    errors.push(invalid(at, name, "doesn't follow extended resource name standard"))
  return errors
}

const podResources = ['cpu', 'memory']
const podNameRules = (name: string, at: Path): FieldError[] => {
  const errors = qualifiedName(name, at)
  if (errors.length > 0) return errors
  return podResources.includes(name) || isHugePages(name) ? [] : [invalid(at, name, 'must be a standard resource for pods')]
}

/** A quantity of a resource: not negative, whole for what is counted. */
export function resourceQuantityRules(name: string, quantity: string, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (compareQuantity(quantity, '0') < 0) errors.push(invalid(at, quantity, 'must be greater than or equal to 0'))
  if ((integerResources.includes(name) || isExtendedResource(name)) && parseQuantity(quantity).nanos % 1_000_000_000n !== 0n)
    errors.push(invalid(at, quantity, 'must be an integer'))
  return errors
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
  const names = forPod ? podNameRules : nameRules
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
      if (order !== 0 && !mayOvercommit(name))
        errors.push(invalid(path.child('requests'), quantity, `must be equal to ${name} limit of ${limit}`))
      else if (order > 0) errors.push(invalid(path.child('requests'), quantity, `must be less than or equal to ${name} limit of ${limit}`))
    } else if (!mayOvercommit(name)) errors.push(required(path.child('limits'), 'Limit must be set for non overcommitable resources'))
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
