/** What the names of resources mean, in containers, quotas and limit ranges (pkg/apis/core/helper, pkg/apis/core/validation). */
import { invalid, type FieldError, type Path } from '../../machinery/field.ts'
import { isQualifiedName } from '../../machinery/names.ts'
import { compareQuantity, isIntegerQuantity } from '../../machinery/quantity.ts'
import { qualifiedName } from './podspec/formats.ts'

const integerResources = new Set([
  'pods',
  'resourcequotas',
  'services',
  'replicationcontrollers',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
  'services.nodeports',
  'services.loadbalancers',
])
const containerResources = ['cpu', 'memory', 'ephemeral-storage']
const quotaResources = new Set([
  ...containerResources,
  ...containerResources.map(name => `requests.${name}`),
  ...containerResources.map(name => `limits.${name}`),
  'requests.storage',
  ...integerResources,
])

export const isHugePages = (name: string): boolean => name.startsWith('hugepages-')
const isQuotaHugePages = (name: string): boolean => isHugePages(name) || name.startsWith('requests.hugepages-')
/** Without a domain, or in kubernetes.io. */
export const isNativeResource = (name: string): boolean => !name.includes('/') || name.includes('kubernetes.io/')
/** A device that a plugin counts: outside kubernetes.io, and usable in a quota as `requests.<name>`. */
export const isExtendedResource = (name: string): boolean =>
  !isNativeResource(name) && !name.startsWith('requests.') && isQualifiedName(`requests.${name}`).length === 0
/** Whether a request may be below its limit. */
export const isOvercommitAllowed = (name: string): boolean => isNativeResource(name) && !isHugePages(name)
/** A name without a domain that quotas know. */
export const isStandardQuotaResource = (name: string): boolean => quotaResources.has(name) || isQuotaHugePages(name)
const isStandardResource = (name: string): boolean => isStandardQuotaResource(name) || name === 'storage'

/** A name that is standard somewhere, or has a domain. */
export function resourceName(name: string, at: Path): FieldError[] {
  const errors = qualifiedName(name, at)
  if (errors.length > 0 || name.includes('/') || isStandardResource(name)) return errors
  return [invalid(at, name, 'must be a standard resource type or fully qualified')]
}

/** A name that a container may request. */
export function containerResourceName(name: string, at: Path): FieldError[] {
  const errors = resourceName(name, at)
  if (!name.includes('/')) {
    if (!containerResources.includes(name) && !isHugePages(name))
      errors.push(invalid(at, name, 'must be a standard resource for containers'))
  } else if (!isNativeResource(name) && !isExtendedResource(name))
    errors.push(invalid(at, name, "doesn't follow extended resource name standard"))
  return errors
}

/** A name that a quota may limit. */
export function quotaResourceName(name: string, at: Path): FieldError[] {
  const errors = resourceName(name, at)
  if (!name.includes('/') && !isStandardQuotaResource(name)) errors.push(invalid(at, name, 'must be a standard resource for quota'))
  return errors
}

/** A quantity of a resource: not negative, whole for what is counted. */
export function resourceQuantityRules(name: string, quantity: string, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (compareQuantity(quantity, '0') < 0) errors.push(invalid(at, quantity, 'must be greater than or equal to 0'))
  if ((integerResources.has(name) || isExtendedResource(name)) && !isIntegerQuantity(quantity))
    errors.push(invalid(at, quantity, 'must be an integer'))
  return errors
}
