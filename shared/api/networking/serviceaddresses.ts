/** What API server and controllers must know alike of the addresses of services: names, labels and what a ServiceCIDR holds. */
import { cidrContains, ipBits, parseCIDR } from '../../machinery/ip.ts'

/** Of IPAddress objects. */
export const ipFamilyLabel = 'ipaddress.kubernetes.io/ip-family'
export const managedByLabel = 'ipaddress.kubernetes.io/managed-by'
/** The value of `managedByLabel` for those that API servers made for Services. */
export const serviceAllocator = 'ipallocator.k8s.io'

/** The ServiceCIDR that every cluster has, of the API servers' `--service-cluster-ip-range`. */
export const defaultServiceCIDR = 'kubernetes'
export const serviceCIDRFinalizer = 'networking.k8s.io/service-cidr-finalizer'
/** How long a ServiceCIDR that nothing needs stays, so that every API server knows that it is to be deleted. */
export const serviceCIDRGraceMs = 10_000

/** Whether a Service may have the address: the first one of a range, and the last one of an IPv4 range, nobody has. */
export function rangeHolds(range: string, address: string): boolean {
  const cidr = parseCIDR(range)
  const value = ipBits(address)?.value
  if (!cidr || value === undefined || !cidrContains(cidr, address) || value === cidr.base) return false
  return cidr.width === 128 || value !== cidr.base + (1n << BigInt(cidr.width - cidr.prefix)) - 1n
}

/** Whether all addresses of a range are in another one. */
export function rangeCovers(outer: string, inner: string): boolean {
  const [a, b] = [parseCIDR(outer), parseCIDR(inner)]
  return a !== undefined && b !== undefined && a.prefix <= b.prefix && overlap(outer, inner)
}

/** Whether two ranges have an address in common. */
export function overlap(one: string, other: string): boolean {
  const [a, b] = [parseCIDR(one), parseCIDR(other)]
  if (!a || !b || a.width !== b.width) return false
  const host = BigInt(a.width - Math.min(a.prefix, b.prefix))
  return a.base >> host === b.base >> host
}
