/**
 * node-ipam-controller: gives a Node that has none the addresses of its pods, a range of the cluster's (pkg/controller/nodeipam/ipam,
 * range_allocator.go). Nodes of `cox up` know theirs, counted from the first on; others get those from the last on, so that both can grow.
 */
import type { Node } from '#shared/api/core/node.ts'
import { nodes } from '#shared/api/kinds.ts'
import { source, splitKey } from '#shared/client/controller.ts'
import { exponential, type ComponentMetrics } from '#shared/component/counts.ts'
import { isNotFound, isStatus } from '#shared/machinery/status.ts'
import type { NewController } from '../context.ts'

const toNumber = (ip: string): number => ip.split('.').reduce((n, part) => n * 256 + Number(part), 0)
const toAddress = (n: number): string => [24, 16, 8, 0].map(shift => Math.floor(n / 2 ** shift) % 256).join('.')
const parse = (cidr: string): { first: number; last: number } => {
  const [ip = '', prefix] = cidr.split('/')
  const size = 2 ** (32 - Number(prefix))
  const first = Math.floor(toNumber(ip) / size) * size
  return { first, last: first + size - 1 }
}

/** The last range of `maskSize` bits in `clusterCIDR` that overlaps none of `taken`; undefined when all are. The very first is nobody's. */
export function freeRange(clusterCIDR: string, maskSize: number, taken: Iterable<string>): string | undefined {
  const { first, last } = parse(clusterCIDR)
  const size = 2 ** (32 - maskSize)
  const used = [...taken].map(parse)
  for (let at = last + 1 - size; at > first; at -= size)
    if (!used.some(u => u.first < at + size && u.last >= at)) return `${toAddress(at)}/${maskSize}`
  return undefined
}

/** What upstream counts of a cluster's ranges (pkg/controller/nodeipam/ipam/cidrset). */
function rangeMetrics(metrics: ComponentMetrics, clusterCIDR: string, most: number, used: () => number) {
  const named = (name: string): string => `node_ipam_controller_${name}`
  const labels = { clusterCIDR }
  const gauge = (name: string, help: string, value: () => number): void =>
    metrics.gauge(named(name), `[ALPHA] ${help}`, () => [{ labels, value: value() }])
  const given = metrics.counter(named('cidrset_cidrs_allocations_total'), '[ALPHA] Counter measuring total number of CIDR allocations.')
  const released = metrics.counter(named('cidrset_cidrs_releases_total'), '[ALPHA] Counter measuring total number of CIDR releases.')
  // Upstream's own name.
  gauge('cirdset_max_cidrs', 'Maximum number of CIDRs that can be allocated.', () => most)
  gauge('cidrset_usage_cidrs', 'Gauge measuring percentage of allocated CIDRs.', () => used() / most)
  const tries = metrics.histogram(
    named('cidrset_allocation_tries_per_request'),
    '[ALPHA] Number of CIDRs that were looked at for one that is free',
    exponential(1, 5, 5),
  )
  return { given: () => given.add(labels), released: () => released.add(labels), tried: (n: number) => tries.observe(n, labels) }
}

export const nodeIpamController: NewController = ctx => {
  const { clusterCIDR, maskSize } = ctx.settings.nodeIpam
  if (clusterCIDR === '') return []
  const all = ctx.informer(nodes)
  const events = ctx.recorder('cidrAllocator')
  const counted = rangeMetrics(ctx.metrics, clusterCIDR, 2 ** (maskSize - Number(clusterCIDR.split('/')[1])), () => takenBut('').length)
  /** Given to nodes whose Node may not show it yet. */
  const given = new Map<string, string>()
  const takenBut = (name: string): string[] => [
    ...all.list().flatMap(n => (n.metadata.name !== name && n.spec.podCIDR ? [n.spec.podCIDR] : [])),
    ...[...given].flatMap(([other, range]) => (other === name ? [] : [range])),
  ]

  return {
    name: 'node-ipam-controller',
    client: ctx.as('node-controller'),
    // One after the other: two must not find the same range free.
    workers: 1,
    sources: [
      source(all, ({ type, object, previous }) => {
        if (type === 'DELETED' && object.spec.podCIDR) counted.released()
        if (type !== 'DELETED' && object.spec.podCIDR && !previous?.spec.podCIDR) counted.given()
        return [`/${object.metadata.name}`]
      }),
    ],
    async reconcile(key, client) {
      const name = splitKey(key)[1]
      const node: Node | undefined = all.get('', name)
      if (!node || node.spec.podCIDR) return void given.delete(name)
      const range = freeRange(clusterCIDR, maskSize, takenBut(name))
      if (range === undefined) {
        events.event(node, 'Normal', 'CIDRNotAvailable', `Node ${name} status is now: CIDRNotAvailable`)
        return { requeueAfterMs: 10_000 }
      }
      given.set(name, range)
      counted.tried((parse(clusterCIDR).last - parse(range).last) / 2 ** (32 - maskSize))
      try {
        const { uid } = node.metadata
        await client.patch(nodes, '', name, 'merge', { metadata: { uid }, spec: { podCIDR: range, podCIDRs: [range] } })
        ctx.log.info({ node: name, podCIDR: range }, 'gave a node the range of its pods')
      } catch (e) {
        given.delete(name)
        if (!isNotFound(e) && !isStatus(e, 'Conflict')) throw e
      }
    },
    log: ctx.log,
  }
}
