/** Load balancers of the local cloud: an address of a pool, announced by one node, whose kube-proxy does the rest. */
import { createHash } from 'node:crypto'
import type { Node } from '#shared/api/core/node.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { endpointSlices, services } from '#shared/api/kinds.ts'
import { keyOf } from '#shared/client/controller.ts'
import type { SharedInformers } from '#shared/client/sharedinformers.ts'
import type { LoadBalancers, LoadBalancerStatus } from '../cloud.ts'
import { internalIP } from '../nodes.ts'
import { chooseAddress, clash, parseRange, statusAddress } from './addresses.ts'
import type { Announcer } from './routes.ts'

const weight = (address: string, node: string): string => createHash('sha256').update(`${address} ${node}`).digest('hex')

/** Names of nodes with an endpoint that serves: what a cloud's health checks of `healthCheckNodePort` find. */
export function nodesWithEndpoints(slices: readonly EndpointSlice[]): Set<string> {
  return new Set(slices.flatMap(s => (s.endpoints ?? []).flatMap(e => (e.conditions?.ready !== false && e.nodeName ? [e.nodeName] : []))))
}

/** Of the nodes that may, the one that announced it before, else one by the address: others keep theirs when a node goes. */
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

/** Each has an address from `range`. */
export function pooledLoadBalancers(rangeText: string, announcer: Announcer, { informer, runs }: Options): LoadBalancers {
  const range = parseRange(rangeText)
  const all = informer(services)
  const endpoints = slicesOf(informer)
  /** What was given to a Service whose status may not show it yet, or any more. */
  const held = new Map<string, string>()
  /** An address that was given back comes again only after all others. */
  let cursor = 1

  const addressOf = (s: Service): string | undefined =>
    held.get(keyOf(s)) ?? (s.spec.type === 'LoadBalancer' ? statusAddress(s) : undefined)
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
      return ip === undefined ? undefined : status([ip])
    },
    async ensureLoadBalancer(service, nodes) {
      const key = keyOf(service)
      const others = holders(key)
      const had = addressOf(service)
      const address = chooseAddress(service, range, others, had, cursor)
      held.set(key, address)
      if (had === undefined) cursor++
      if (had !== undefined && had !== address && !others.get(had)?.length) await announcer.announce(had, undefined)
      const targets = new Map(
        entries(nodes.filter(runs), [service, ...(others.get(address) ?? [])], endpoints).flatMap(n => {
          const ip = internalIP(n)
          return ip === undefined ? [] : [[ip, n] as const]
        }),
      )
      await announcer.announce(address, chooseNode(address, [...targets.keys()], announcer.via(address)))
      return status([address])
    },
    async ensureLoadBalancerDeleted(service) {
      const key = keyOf(service)
      const address = addressOf(service)
      if (address !== undefined && !holders(key).get(address)?.length) await announcer.announce(address, undefined)
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
