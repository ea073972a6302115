/** ServiceCIDRs as ranges to take addresses from (pkg/registry/core/service/ipallocator/cidrallocator.go). */
import type { ServiceCIDR } from '#shared/api/networking/servicecidr.ts'
import { parseCIDR, type IPFamily } from '#shared/machinery/ip.ts'
import type { Registry, Stored, Table } from '../registry/registry.ts'
import { addressRange, type AddressRange } from './ranges.ts'

export const serviceCidrs: Table = { group: 'networking.k8s.io', plural: 'servicecidrs' }

/** Without the condition it is ready: the controller that sets it may not run. */
export function isReady({ metadata, status }: ServiceCIDR): boolean {
  const ready = status?.conditions?.find(c => c.type === 'Ready')
  return metadata.deletionTimestamp === undefined && (ready === undefined || ready.status === 'True')
}

const parsed = new WeakMap<Stored, readonly AddressRange[]>()

function rangesOf(stored: Stored): readonly AddressRange[] {
  let ranges = parsed.get(stored)
  if (ranges === undefined) {
    const cidr = stored.object as ServiceCIDR
    // One of a single address has none for services.
    ranges = isReady(cidr) ? (cidr.spec.cidrs ?? []).filter(hasRoom).map(addressRange) : []
    parsed.set(stored, ranges)
  }
  return ranges
}

function hasRoom(text: string): boolean {
  const cidr = parseCIDR(text)
  return cidr !== undefined && cidr.width - cidr.prefix >= (cidr.width === 32 ? 2 : 1)
}

/** The ranges of a family that addresses may be taken from now. */
export const readyRanges = (registry: Registry, family: IPFamily): readonly AddressRange[] =>
  registry.list(serviceCidrs).flatMap(stored => rangesOf(stored).filter(r => r.family === family))
