/** Which endpoints of a service port take traffic, out of its EndpointSlices. pkg/proxy/topology.go */
import type { Endpoint, EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { ipFamily, type IPFamily } from '#shared/machinery/ip.ts'

export interface ProxyEndpoint {
  ip: string
  port: number
  /** On this node. */
  local: boolean
}
export interface PortEndpoints {
  /** Where traffic goes that may go anywhere, in a stable order. */
  cluster: ProxyEndpoint[]
  /** Where traffic goes that must stay on the node. */
  local: ProxyEndpoint[]
  /** Whether anybody anywhere would take traffic. */
  any: boolean
}
/** Where the proxy is: its node's name, and the node's label topology.kubernetes.io/zone if there is one. */
export interface Place {
  /** Of the addresses that it is about; IPv4 when absent. */
  family?: IPFamily
  nodeName: string
  zone?: string | undefined
}

interface Candidate extends ProxyEndpoint {
  hints: Endpoint['hints']
}

/**
 * The ready endpoints of the port named `portName` and of `protocol`, of those the ones that are hinted for this node or zone when all
 * have such hints; when none is ready, those that are terminating but still serve. Cluster-wide and on this node each by itself.
 */
export function portEndpoints(slices: readonly EndpointSlice[], portName: string, protocol: string, place: Place): PortEndpoints {
  const ready = new Map<string, Candidate>()
  const serving = new Map<string, Candidate>()
  const family = place.family ?? 'IPv4'
  for (const slice of slices) {
    if (slice.addressType !== family) continue
    for (const { name, protocol: sliceProtocol, port } of slice.ports ?? []) {
      if ((name ?? '') !== portName || (sliceProtocol ?? 'TCP') !== protocol || port === undefined) continue
      for (const { addresses, conditions, nodeName: on, hints } of slice.endpoints ?? []) {
        const ip = addresses[0]
        if (ip === undefined || ipFamily(ip) !== family) continue
        const endpoint = { ip, port, local: on === place.nodeName, hints }
        const isReady = conditions?.ready ?? true
        if (isReady) ready.set(`${ip}:${port}`, endpoint)
        else if ((conditions?.serving ?? isReady) && conditions?.terminating) serving.set(`${ip}:${port}`, endpoint)
      }
    }
  }
  const sorted = (from: Iterable<Candidate>): ProxyEndpoint[] =>
    [...from].sort((a, b) => (a.ip === b.ip ? a.port - b.port : a.ip < b.ip ? -1 : 1)).map(({ ip, port, local }) => ({ ip, port, local }))
  const here = (of: Map<string, Candidate>): Candidate[] => [...of.values()].filter(e => e.local)
  const [readyHere, servingHere] = [here(ready), here(serving)]
  return {
    cluster: sorted(ready.size > 0 ? near([...ready.values()], place) : serving.values()),
    local: sorted(readyHere.length > 0 ? readyHere : servingHere),
    any: ready.size + serving.size > 0,
  }
}

/** Those that are for this node, or for its zone, if every one says whom it is for and one is for us; else all. */
function near(all: Candidate[], { nodeName, zone }: Place): Candidate[] {
  const forNode = (e: Candidate): boolean => e.hints?.forNodes?.some(h => h.name === nodeName) ?? false
  const forZone = (e: Candidate): boolean => e.hints?.forZones?.some(h => h.name === zone) ?? false
  if (all.every(e => e.hints?.forNodes?.length) && all.some(forNode)) return all.filter(forNode)
  if (all.every(e => e.hints?.forZones?.length) && all.some(forZone)) return all.filter(forZone)
  return all
}
