/** Which endpoints of a service port take traffic, out of its EndpointSlices. */
import { isIPv4 } from 'node:net'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'

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
}

/**
 * The ready endpoints of the port named `portName` and of `protocol`; when there is none, those that are terminating but still serve.
 * Cluster-wide and on this node each by itself.
 */
export function portEndpoints(slices: readonly EndpointSlice[], portName: string, protocol: string, nodeName: string): PortEndpoints {
  const ready = new Map<string, ProxyEndpoint>()
  const serving = new Map<string, ProxyEndpoint>()
  for (const slice of slices) {
    if (slice.addressType !== 'IPv4') continue
    for (const { name, protocol: sliceProtocol, port } of slice.ports ?? []) {
      if ((name ?? '') !== portName || (sliceProtocol ?? 'TCP') !== protocol || port === undefined) continue
      for (const { addresses, conditions, nodeName: on } of slice.endpoints ?? []) {
        const ip = addresses[0]
        if (ip === undefined || !isIPv4(ip)) continue
        const endpoint = { ip, port, local: on === nodeName }
        const isReady = conditions?.ready ?? true
        if (isReady) ready.set(`${ip}:${port}`, endpoint)
        else if ((conditions?.serving ?? isReady) && conditions?.terminating) serving.set(`${ip}:${port}`, endpoint)
      }
    }
  }
  const pick = (wanted: (e: ProxyEndpoint) => boolean): ProxyEndpoint[] => {
    const found = [...ready.values()].filter(wanted)
    return (found.length > 0 ? found : [...serving.values()].filter(wanted)).sort((a, b) =>
      a.ip === b.ip ? a.port - b.port : a.ip < b.ip ? -1 : 1,
    )
  }
  return { cluster: pick(() => true), local: pick(e => e.local) }
}
