/**
 * Where the `userspace` proxy listens for the cluster's services, and where each connection may go: a pure function of Services and
 * EndpointSlices.
 */
import { isIPv4 } from 'node:net'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { portEndpoints, type Place, type ProxyEndpoint } from '../endpoints.ts'
import { affinitySeconds, isProxied, loadBalancerIPs } from '../ruleset.ts'

export interface Target {
  ip: string
  port: number
}
export interface Listener {
  address: string
  port: number
  /** The Service it is for, `namespace/name`, and the name that its own users have for the port. */
  service: string
  what: string
  /** Where connections go. */
  targets: Target[]
  /** Where they go from clients that are not on this node (externalTrafficPolicy Local); absent: the same. */
  remoteTargets?: Target[]
  /** From where clients may come; absent: from anywhere. */
  sources?: string[]
  /** Session affinity: how long a client stays with its target after its last connection, ms; absent: each goes by chance. */
  stickyMs?: number
}
export interface Unproxied {
  service: string
  why: string
}

/**
 * The listeners of one Service; `slices` are its own. A port that has nowhere to go has no listener, so that the system refuses
 * connections. `nodeAddresses` are where node ports answer.
 */
export function serviceListeners(
  service: Service,
  slices: readonly EndpointSlice[],
  options: Place & { nodeAddresses: readonly string[] },
): { listeners: Listener[]; unproxied: Unproxied[] } {
  const listeners: Listener[] = []
  const unproxied: Unproxied[] = []
  if (!isProxied(service)) return { listeners, unproxied }
  const { metadata, spec } = service
  const name = `${metadata.namespace}/${metadata.name}`
  const seconds = affinitySeconds(service)
  const balancers = loadBalancerIPs(service)
  const plain = (endpoints: readonly ProxyEndpoint[]): Target[] => endpoints.map(({ ip, port }) => ({ ip, port }))
  for (const { name: portName = '', protocol = 'TCP', port, nodePort } of spec!.ports ?? []) {
    if (protocol !== 'TCP') {
      unproxied.push({ service: name, why: `port ${port}: kube-proxy's mode userspace forwards TCP, not ${protocol}` })
      continue
    }
    const endpoints = portEndpoints(slices, portName, protocol, options)
    if (endpoints.cluster.length === 0) continue
    const [anywhere, onNode] = [plain(endpoints.cluster), plain(endpoints.local)]
    const inside = spec!.internalTrafficPolicy === 'Local' ? onNode : anywhere
    const common = { service: name, ...(seconds === undefined ? {} : { stickyMs: seconds * 1000 }) }
    // A process of this node that listens on the port everywhere listens at the ClusterIP, too; a listener of ours would keep it from
    // starting again.
    const direct = inside.some(t => t.port === port && options.nodeAddresses.includes(t.ip))
    if (inside.length > 0 && !direct && isIPv4(spec!.clusterIP ?? ''))
      listeners.push({ ...common, address: spec!.clusterIP!, port, what: `ClusterIP ${spec!.clusterIP}:${port}`, targets: inside })
    const outside = { ...common, targets: anywhere, ...(spec!.externalTrafficPolicy === 'Local' ? { remoteTargets: onNode } : {}) }
    const sources = spec!.loadBalancerSourceRanges?.map(range => range.trim())
    for (const address of [...(spec!.externalIPs ?? []), ...balancers].filter(isIPv4))
      listeners.push({
        ...outside,
        address,
        port,
        what: `external address ${address}:${port}`,
        ...(sources?.length && balancers.includes(address) ? { sources } : {}),
      })
    if (nodePort)
      for (const address of options.nodeAddresses)
        listeners.push({ ...outside, address, port: nodePort, what: `node port ${address}:${nodePort}` })
  }
  return { listeners, unproxied }
}

export const listenerKey = ({ address, port }: Pick<Listener, 'address' | 'port'>): string => `${address}:${port}`

/** All services' listeners by where they listen; of two services that want the same place the first gets it. */
export function mergeListeners(of: Iterable<readonly Listener[]>): Map<string, Listener> {
  const all = new Map<string, Listener>()
  for (const listeners of of)
    for (const listener of listeners) if (!all.has(listenerKey(listener))) all.set(listenerKey(listener), listener)
  return all
}
