/** The subsets of an Endpoints object: k8s.io/kubernetes/pkg/api/v1/endpoints. */
import type { CoreEndpointPort, EndpointAddress, EndpointSubset } from '#shared/api/core/endpoints.ts'
import { canonical } from '#shared/machinery/hash.ts'

/** One address with one port, or with none for a headless service without ports. */
export interface Backend {
  address: EndpointAddress
  port: CoreEndpointPort | undefined
  ready: boolean
}

const byAddress = (a: EndpointAddress, b: EndpointAddress): number =>
  a.ip === b.ip ? ((a.targetRef?.uid ?? '') < (b.targetRef?.uid ?? '') ? -1 : 1) : a.ip < b.ip ? -1 : 1
const portOrder = (p: CoreEndpointPort): string => canonical([p.name ?? '', p.protocol ?? 'TCP', p.port, p.appProtocol ?? ''])

/** Addresses with the same set of ports share a subset; ports, addresses and subsets are sorted, so that equal content is equal text. */
export function repack(backends: readonly Backend[]): EndpointSubset[] {
  const addresses = new Map<string, { address: EndpointAddress; ready: boolean; ports: Map<string, CoreEndpointPort> }>()
  for (const { address, port, ready } of backends) {
    const key = canonical([address.ip, address.targetRef?.uid ?? ''])
    const entry = addresses.get(key) ?? { address, ready, ports: new Map() }
    if (port) entry.ports.set(portOrder(port), port)
    addresses.set(key, entry)
  }
  const subsets = new Map<string, EndpointSubset>()
  for (const { address, ready, ports } of addresses.values()) {
    const keys = [...ports.keys()].sort()
    const subset = subsets.get(keys.join()) ?? { ...(keys.length ? { ports: keys.map(k => ports.get(k)!) } : {}) }
    const side = ready ? 'addresses' : 'notReadyAddresses'
    subset[side] = [...(subset[side] ?? []), address].sort(byAddress)
    subsets.set(keys.join(), subset)
  }
  return [...subsets.keys()].sort().map(k => {
    const { addresses, notReadyAddresses, ports } = subsets.get(k)!
    return { ...(addresses ? { addresses } : {}), ...(notReadyAddresses ? { notReadyAddresses } : {}), ...(ports ? { ports } : {}) }
  })
}

/** At most `limit` addresses over all subsets, ready ones first; says whether any were cut. */
export function truncate(subsets: readonly EndpointSubset[], limit = 1000): { subsets: EndpointSubset[]; cut: boolean } {
  const count = subsets.reduce((n, s) => n + (s.addresses?.length ?? 0) + (s.notReadyAddresses?.length ?? 0), 0)
  if (count <= limit) return { subsets: [...subsets], cut: false }
  let left = limit
  const take = (list: EndpointAddress[] | undefined): EndpointAddress[] => {
    const part = (list ?? []).slice(0, left)
    left -= part.length
    return part
  }
  const ready = subsets.map(s => take(s.addresses))
  const notReady = subsets.map(s => take(s.notReadyAddresses))
  const result = subsets.map((s, i) => ({
    ...(ready[i]!.length ? { addresses: ready[i]! } : {}),
    ...(notReady[i]!.length ? { notReadyAddresses: notReady[i]! } : {}),
    ...(s.ports ? { ports: s.ports } : {}),
  }))
  return { subsets: result.filter(s => s.addresses ?? s.notReadyAddresses), cut: true }
}
