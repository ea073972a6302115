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

/** The backends that subsets stand for; a subset without ports stands for backends without. */
export function* unpack(subsets: readonly EndpointSubset[]): Generator<Backend> {
  for (const { addresses = [], notReadyAddresses = [], ports = [] } of subsets)
    for (const port of ports.length ? ports : [undefined]) {
      for (const address of addresses) yield { address, port, ready: true }
      for (const address of notReadyAddresses) yield { address, port, ready: false }
    }
}

/**
 * Ports with the same set of addresses share a subset; ports, addresses and subsets are sorted, so that equal content is equal text. An
 * address that is said to be ready and not ready for a port is not ready.
 */
export function repack(backends: Iterable<Backend>): EndpointSubset[] {
  const addresses = new Map<string, EndpointAddress>()
  const byPort = new Map<string, { port: CoreEndpointPort | undefined; ready: Map<string, boolean> }>()
  for (const { address, port, ready } of backends) {
    const key = canonical([address.ip, address.targetRef?.uid ?? ''])
    if (!addresses.has(key)) addresses.set(key, address)
    const text = port ? portOrder(port) : ''
    let entry = byPort.get(text)
    if (!entry) byPort.set(text, (entry = { port, ready: new Map() }))
    entry.ready.set(key, ready && (entry.ready.get(key) ?? true))
  }
  const groups = new Map<string, { ports: string[]; ready: Map<string, boolean> }>()
  for (const [port, { ready }] of [...byPort].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const hosts = [...ready].map(([key, isReady]) => `${key} ${isReady}`)
    const group = groups.get(hosts.sort().join()) ?? { ports: [], ready }
    group.ports.push(port)
    groups.set(hosts.join(), group)
  }
  return [...groups.values()].map(({ ports, ready }) => {
    const side = (wanted: boolean): EndpointAddress[] =>
      [...ready]
        .filter(([, isReady]) => isReady === wanted)
        .map(([key]) => addresses.get(key)!)
        .sort(byAddress)
    const [up, down] = [side(true), side(false)]
    const listed = ports.flatMap(p => byPort.get(p)!.port ?? [])
    return {
      ...(up.length ? { addresses: up } : {}),
      ...(down.length ? { notReadyAddresses: down } : {}),
      ...(listed.length ? { ports: listed } : {}),
    }
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
