/**
 * The local cloud: instances are the nodes that `cox up` runs on this machine, load balancers are addresses that the machine routes to
 * them.
 */
import type { Node } from '#shared/api/core/node.ts'
import type { SharedInformers } from '#shared/client/sharedinformers.ts'
import { endpointSlices, services } from '#shared/api/kinds.ts'
import type { Logger } from '#shared/component/log.ts'
import type { IPFamily } from '#shared/machinery/ip.ts'
import { hopTo, machineOf } from '#shared/network/machine.ts'
import type { Cloud } from '../cloud.ts'
import { trackConnections, untracked } from './connections.ts'
import { followConfig, readConfig, type LocalInstance } from './config.ts'
import { isLocal, nodeLoadBalancers, nodesWithEndpoints, pooledLoadBalancers } from './loadbalancers.ts'
import { machineEgress } from './egress.ts'
import { machineRoutes, reachOf } from './machines.ts'
import { routeAnnouncer, silentAnnouncer, wayBy, wayTo } from './routes.ts'
import { internalIP } from '../nodes.ts'

export const providerName = 'local'
export const loadBalancerClass = 'coxswain.io/local'

/** Reads what the cloud consists of and follows it until `signal` aborts. Rejects when it cannot be read. */
export async function localCloud(file: string, informer: SharedInformers['get'], log: Logger, signal: AbortSignal): Promise<Cloud> {
  let config = await readConfig(file)
  const listeners: (() => void)[] = []
  const tell = (): void => listeners.forEach(l => l())
  followConfig(
    file,
    next => {
      config = next
      tell()
    },
    log,
    signal,
  )
  const find = ({ metadata }: Node): LocalInstance | undefined =>
    config.instances
      ? config.instances.find(i => i.name === metadata.name)
      : { name: metadata.name ?? '', zone: config.zone, type: config.type, running: true }
  const isOurs = ({ spec }: Node): boolean => spec.providerID?.startsWith(`${providerName}://`) ?? false
  const runs = (node: Node): boolean => find(node)?.running ?? true

  // Which node has endpoints is told by no node and no Service.
  const slices = informer(endpointSlices)
  const all = informer(services)
  slices.subscribe(({ object, previous, type }) => {
    const service = all.get(object.metadata.namespace ?? '', object.metadata.labels?.['kubernetes.io/service-name'] ?? '')
    if (!service || service.spec.type !== 'LoadBalancer' || !isLocal(service)) return
    const names = (s: typeof object | undefined): string => (s ? [...nodesWithEndpoints([s])].sort().join() : '')
    if (type !== 'MODIFIED' || names(previous) !== names(object)) tell()
  })

  const { loadBalancers } = config
  const options = { informer, runs }
  const device = loadBalancers.by === 'pool' ? loadBalancers.device : undefined
  const { machine } = config
  const reach = machine && reachOf(machine)
  const isHere = (node: Node): boolean => !reach || find(node) !== undefined
  const way = (node: Node, family: IPFamily): string | undefined => {
    const ip = internalIP(node, family)
    if (ip === undefined || device === undefined) return ip
    return isHere(node) ? wayBy(ip, device) : wayTo(hopTo(reach!, machineOf(node) ?? ip, ip))
  }
  const links = [...(device === undefined ? [] : [device]), ...(machine ? [machine.vxlan.link] : [])]
  const announcer =
    device === undefined || loadBalancers.by !== 'pool'
      ? silentAnnouncer()
      : await Promise.all([
          trackConnections(device, 'IPv4', loadBalancers.range),
          loadBalancers.range6 === undefined ? untracked : trackConnections(device, 'IPv6', loadBalancers.range6),
        ])
          .then(([IPv4, IPv6]) => routeAnnouncer(links, { IPv4, IPv6 }))
          .catch((e: Error) => {
            log.warn({ err: e.message }, 'connections through an address do not stay with their node when it moves')
            return routeAnnouncer(links)
          })
  // What went while nobody looked.
  void Promise.all([all.synced]).then(() => {
    const used = new Set(all.list().flatMap(s => (s.status?.loadBalancer?.ingress ?? []).flatMap(i => i.ip ?? [])))
    for (const address of announcer.addresses())
      if (!used.has(address))
        announcer.announce(address, undefined).catch((e: Error) => log.warn({ address, err: e.message }, 'a route of nobody stays'))
  })
  const routes = config.machine && (await machineRoutes(config.machine, node => find(node) !== undefined))
  return {
    name: providerName,
    loadBalancerClass,
    instances: {
      instanceExists: async node => config.deputy || !isOurs(node) || find(node) !== undefined,
      instanceShutdown: async node => !runs(node),
      instanceMetadata: async node => {
        const instance = find(node)
        if (!instance) return undefined
        const { zone, type, name } = instance
        return { providerID: `${providerName}:///${zone}/${name}`, instanceType: type, zone, region: config.region }
      },
    },
    loadBalancers:
      loadBalancers.by === 'pool'
        ? pooledLoadBalancers(loadBalancers.range, loadBalancers.range6, announcer, { ...options, isHere, way })
        : nodeLoadBalancers(options),
    routes,
    egress: config.egress && machineEgress(config.egress),
    onChange: changed => void listeners.push(changed),
  }
}
