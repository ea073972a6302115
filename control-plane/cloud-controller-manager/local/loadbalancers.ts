/** Load balancers of the local cloud: an address of a pool, announced by one node, whose kube-proxy does the rest. */
import { createHash } from 'node:crypto'
import type { Node } from '#shared/api/core/node.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { endpointSlices, services } from '#shared/api/kinds.ts'
import { keyOf } from '#shared/client/controller.ts'
import type { SharedInformers } from '#shared/client/sharedinformers.ts'
import type { LoadBalancers, LoadBalancerStatus } from '../cloud.ts'
import { counterpart, ipFamily, type IPFamily } from '#shared/machinery/ip.ts'
import { internalIP } from '../nodes.ts'
import { chooseAddress, clash, parseRange, statusAddress } from './addresses.ts'
import type { Announcer } from './routes.ts'

const weight = (address: string, node: string): string => createHash('sha256').update(`${address} ${node}`).digest('hex')

/** Names of nodes with an endpoint that serves: what a cloud's health checks of `healthCheckNodePort` find. */
export function nodesWithEndpoints(slices: readonly EndpointSlice[]): Set<string> {
  return new Set(slices.flatMap(s => (s.endpoints ?? []).flatMap(e => (e.conditions?.ready !== false && e.nodeName ? [e.nodeName] : []))))
}

/**
 * Of the nodes, or the ways to them, that may, the one that announced it before, else one by the address: others keep theirs when a node
 * goes.
 */
export function chooseNode(address: string, candidates: readonly string[], before: string | undefined): string | undefined {
  if (before !== undefined && candidates.includes(before)) return before
  return [...candidates].sort((a, b) => (weight(address, a) < weight(address, b) ? -1 : 1))[0]
}

const status = (ips: readonly string[]): LoadBalancerStatus => ({ ingress: ips.map(ip => ({ ip, ipMode: 'VIP' })) })

/** Those endpoints decide where externalTrafficPolicy is Local. */
export const isLocal = ({ spec }: Service): boolean => spec.externalTrafficPolicy === 'Local'

interface Options {
  informer: SharedInformers['get']
  /** Whether the node's processes run, as far as is known. */
  runs: (node: Node) => boolean
}
interface PoolOptions extends Options {
  /** Whether the node is on this machine. Those of others announce only what no node here has endpoints of. */
  isHere: (node: Node) => boolean
  /** How the machine sends packets to the node, as `Announcer` has it; undefined without an address of that family. */
  way: (node: Node, family: IPFamily) => string | undefined
}

/** Index by Service of its slices, for those that ask by it. */
function slicesOf(informer: SharedInformers['get']): (service: Service) => EndpointSlice[] {
  const slices = informer(endpointSlices)
  slices.addIndex('load-balancer', s => [`${s.metadata.namespace}/${s.metadata.labels?.['kubernetes.io/service-name'] ?? ''}`])
  return service => slices.byIndex('load-balancer', keyOf(service))
}

/** The nodes that a Service's connections may come in by: where all those that share its address can be served. */
function entries(nodes: readonly Node[], sharing: readonly Service[], endpoints: (service: Service) => EndpointSlice[]): Node[] {
  const local = sharing.filter(isLocal).map(s => nodesWithEndpoints(endpoints(s)))
  const all = nodes.filter(n => local.every(names => names.has(n.metadata.name ?? '')))
  // There may be no node that has endpoints of all.
  return all.length > 0 ? all : nodes.filter(n => local.length === 0 || local.some(names => names.has(n.metadata.name ?? '')))
}

/**
 * Each has an address from `range`, by which it is known here; what Services of both families are reached at besides, or of IPv6 alone
 * instead, is the address with the same number in `range6`.
 */
export function pooledLoadBalancers(
  rangeText: string,
  range6: string | undefined,
  announcer: Announcer,
  { informer, runs, isHere, way }: PoolOptions,
): LoadBalancers {
  const range = parseRange(rangeText)
  const toIPv6 = range6 === undefined ? undefined : counterpart(rangeText, range6)
  const toIPv4 = (ip: string): string => (range6 === undefined || ipFamily(ip) === 'IPv4' ? ip : counterpart(range6, rangeText)(ip))
  const shown = (service: Service, ip: string): string[] => {
    const families = toIPv6 ? (service.spec.ipFamilies ?? ['IPv4']) : ['IPv4']
    return families.map(family => (family === 'IPv6' ? toIPv6!(ip) : ip))
  }
  const all = informer(services)
  const endpoints = slicesOf(informer)
  /** What was given to a Service whose status may not show it yet, or any more. */
  const held = new Map<string, string>()
  /** An address that was given back comes again only after all others. */
  let cursor = 1

  const addressOf = (s: Service): string | undefined => held.get(keyOf(s)) ?? (s.spec.type === 'LoadBalancer' ? statusIPv4(s) : undefined)
  const statusIPv4 = (s: Service): string | undefined => {
    const ip = statusAddress(s)
    return ip === undefined ? undefined : toIPv4(ip)
  }
  async function withdraw(address: string): Promise<void> {
    await Promise.all([address, ...(toIPv6 ? [toIPv6(address)] : [])].map(ip => announcer.announce(ip, undefined)))
  }
  function holders(except: string): Map<string, Service[]> {
    const by = new Map<string, Service[]>()
    for (const other of all.list()) {
      const ip = keyOf(other) === except ? undefined : addressOf(other)
      if (ip !== undefined) by.set(ip, [...(by.get(ip) ?? []), other])
    }
    return by
  }
  return {
    getLoadBalancer: async service => {
      const ip = addressOf(service)
      return ip === undefined ? undefined : status(shown(service, ip))
    },
    async ensureLoadBalancer(service, nodes) {
      const key = keyOf(service)
      const others = holders(key)
      const had = addressOf(service)
      const address = chooseAddress(service, range, others, had, cursor)
      held.set(key, address)
      if (had === undefined) cursor++
      if (had !== undefined && had !== address && !others.get(had)?.length) await withdraw(had)
      const sharing = [service, ...(others.get(address) ?? [])]
      const alive = nodes.filter(runs)
      const near = entries(alive.filter(isHere), sharing, endpoints)
      const ways = new Map(
        (near.length > 0 ? near : entries(alive, sharing, endpoints)).flatMap(n => {
          const found = way(n, 'IPv4')
          return found === undefined ? [] : [[found, n] as const]
        }),
      )
      for (const family of toIPv6 ? (['IPv4', 'IPv6'] as const) : (['IPv4'] as const))
        await announcer.keep(family, new Set(alive.flatMap(n => way(n, family) ?? [])))
      const chosen = chooseNode(address, [...ways.keys()], announcer.via(address))
      const second = chosen === undefined ? undefined : way(ways.get(chosen)!, 'IPv6')
      await Promise.all([announcer.announce(address, chosen), toIPv6 && announcer.announce(toIPv6(address), second)])
      return status(shown(service, address))
    },
    async ensureLoadBalancerDeleted(service) {
      const key = keyOf(service)
      const address = addressOf(service)
      if (address !== undefined && !holders(key).get(address)?.length) await withdraw(address)
      held.delete(key)
    },
  }
}

/** Each is at the addresses of all nodes, which hand out their ports: where the cloud has no addresses of its own. */
export function nodeLoadBalancers({ informer, runs }: Options): LoadBalancers {
  const all = informer(services)
  const endpoints = slicesOf(informer)
  const hasAddress = (s: Service): boolean => s.spec.type === 'LoadBalancer' && statusAddress(s) !== undefined
  return {
    getLoadBalancer: async s => (hasAddress(s) ? s.status?.loadBalancer : undefined),
    async ensureLoadBalancer(service, nodes) {
      for (const other of all.list()) {
        const port = keyOf(other) === keyOf(service) || !hasAddress(other) ? undefined : clash(service, other)
        if (port !== undefined) throw new Error(`Service ${keyOf(other)} has the nodes' port ${port}`)
      }
      const ips = entries(nodes.filter(runs), [service], endpoints).flatMap(n => internalIP(n) ?? [])
      return status([...new Set(ips)].sort())
    },
    ensureLoadBalancerDeleted: async () => {},
  }
}
