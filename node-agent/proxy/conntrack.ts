/**
 * Connection tracking of UDP: a client that keeps its socket would go on to an endpoint that is gone, as the kernel remembers where its
 * packets went. Such entries are deleted, as kube-proxy does.
 */
import { BlockList } from 'node:net'
import { run } from '#shared/linux/run.ts'
import type { IPFamily } from '#shared/machinery/ip.ts'
import type { Ruleset } from './ruleset.ts'
import type { TableOptions } from './table.ts'

const blockListType = (family: IPFamily): 'ipv4' | 'ipv6' => (family === 'IPv6' ? 'ipv6' : 'ipv4')

export interface Flow {
  /** Whom the client addresses. */
  destination: string
  port: string
  /** Who answers, as far as the kernel knows. */
  endpoint: string
  endpointPort: string
}

/** UDP entries as `conntrack -L` prints them, a line each: first the client's direction, then that of the answers. */
export const parseFlows = (listing: string): Flow[] =>
  [...listing.matchAll(/ dst=(\S+) sport=\d+ dport=(\d+) .*?src=(\S+) dst=\S+ sport=(\d+) /g)].map(
    ([, destination = '', port = '', endpoint = '', endpointPort = '']) => ({ destination, port, endpoint, endpointPort }),
  )

/** Those that lead from a Service to what is no endpoint of it any more, or from one that is gone; each once. */
export function staleFlows(
  flows: readonly Flow[],
  udp: Ruleset['udp'],
  { family, nodeIPs, serviceCIDR }: Pick<TableOptions, 'family' | 'nodeIPs' | 'serviceCIDR'>,
): Flow[] {
  const type = blockListType(family)
  const services = new BlockList()
  const [net = '', prefix = ''] = serviceCIDR.split('/')
  services.addSubnet(net, Number(prefix), type)
  const stale = flows.filter(({ destination, port, endpoint, endpointPort }) => {
    const endpoints = udp.get(`${destination}:${port}`) ?? (nodeIPs.includes(destination) ? udp.get(`*:${port}`) : undefined)
    return endpoints ? !endpoints.has(`${endpoint}:${endpointPort}`) : services.check(destination, type)
  })
  return [...new Map(stale.map(f => [`${f.destination} ${f.port} ${f.endpoint}`, f])).values()]
}

/** Deletes what is stale and says how many; rejects when the program conntrack cannot be run. */
export async function deleteStaleFlows(
  udp: Ruleset['udp'],
  options: Pick<TableOptions, 'family' | 'nodeIPs' | 'serviceCIDR'>,
): Promise<number> {
  const family = ['-f', blockListType(options.family)]
  const listing = await run('conntrack', ['-L', '-p', 'udp', ...family], { timeoutMs: 10_000 })
  const stale = staleFlows(parseFlows(listing), udp, options)
  for (const { destination, port, endpoint } of stale) {
    const flow = ['-p', 'udp', ...family, '--orig-dst', destination, '--orig-port-dst', port, '--reply-src', endpoint]
    // It fails when nothing is left to delete: the entry has expired meanwhile.
    await run('conntrack', ['-D', ...flow], { timeoutMs: 10_000 }).catch(() => {})
  }
  return stale.length
}

/** Whether other packets of one Service may go elsewhere now than before. */
export function udpChanged(from: Ruleset['udp'] = new Map(), to: Ruleset['udp'] = new Map()): boolean {
  return (
    from.size !== to.size || [...to].some(([frontend, endpoints]) => (from.get(frontend)?.symmetricDifference(endpoints).size ?? 1) > 0)
  )
}

/** Of two Services that want the same place the first has it. */
export function mergeUdp(all: Iterable<Ruleset>): Ruleset['udp'] {
  const merged: Ruleset['udp'] = new Map()
  for (const { udp } of all) for (const [frontend, endpoints] of udp) if (!merged.has(frontend)) merged.set(frontend, endpoints)
  return merged
}
