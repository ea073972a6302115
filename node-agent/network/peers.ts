/** Keeps the routes to other nodes' pods as the API tells them. */
import type { Node } from '#shared/api/core/node.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { Logger } from '#shared/component/log.ts'
import { ipFamily, parseCIDR } from '#shared/machinery/ip.ts'
import { setRoutes, type Hop } from '#shared/linux/routes.ts'
import { setIPv6Routes } from './ipv6.ts'
import { hopTo, machineAnnotation, routesToNodes, type Reach } from '#shared/network/machine.ts'

/** For an informer's `strip`: of another node only its route is of interest, a few dozen bytes instead of some kilobytes. */
export function keepRoute(node: Node): void {
  const { name, uid, resourceVersion, annotations } = node.metadata
  const machine = annotations?.[machineAnnotation]
  const kept = machine === undefined ? {} : { annotations: { [machineAnnotation]: machine } }
  node.metadata = { name, uid, resourceVersion, ...kept } as Node['metadata']
  const { podCIDR, podCIDRs } = node.spec
  node.spec = { ...(podCIDR === undefined ? {} : { podCIDR }), ...(podCIDRs && podCIDRs.length > 1 ? { podCIDRs } : {}) }
  node.status = { addresses: (node.status?.addresses ?? []).filter(a => a.type === 'InternalIP') }
}

export interface Peers {
  /** The name of this node. */
  readonly own: string
  readonly reach: Reach
  /** Ranges that are behind other machines, besides pods. */
  readonly behind?: readonly (readonly [range: string, machine: string])[]
  /** What this node has in the pods' network, towards other machines. */
  readonly source?: string | undefined
  /** Whether nodes have both families. */
  readonly ipv6?: boolean
}

/** Range to the way there. */
export function peerRoutes(nodes: readonly Node[], { own, reach, behind = [] }: Peers): Map<string, Hop> {
  const ranges = behind.map(([range, machine]) => [range, hopTo(reach, machine, machine)] as const)
  return new Map([...ranges, ...routesToNodes(nodes, reach, n => n.metadata.name === own)])
}

/** Range to address, of IPv6: of nodes of this machine. */
export function ipv6Routes(nodes: readonly Node[], own: string): Map<string, string> {
  return new Map(
    nodes.flatMap(({ metadata, spec, status }) => {
      const ip = status?.addresses?.find(a => a.type === 'InternalIP' && ipFamily(a.address) === 'IPv6')?.address
      const range = (spec.podCIDRs ?? []).find(cidr => parseCIDR(cidr)?.family === 'IPv6')
      return metadata.name === own || !ip || !range ? [] : [[range, ip] as const]
    }),
  )
}

/** Follows the nodes until `signal` aborts. */
export async function keepRoutes(nodes: Informer<Node>, peers: Peers, log: Logger, signal: AbortSignal): Promise<void> {
  await nodes.synced
  const pause = backoff(200, 10_000)
  let set = ''
  let wake = (): void => {}
  let dirty = true
  const stop = nodes.subscribe(() => {
    dirty = true
    wake()
  })
  signal.addEventListener('abort', () => wake(), { once: true })
  const options = peers.source === undefined ? {} : { source: peers.source }
  while (!signal.aborted) {
    if (!dirty) await new Promise<void>(resolve => (wake = resolve))
    dirty = false
    const routes = peerRoutes(nodes.list(), peers)
    const second = peers.ipv6 ? ipv6Routes(nodes.list(), peers.own) : undefined
    const text = JSON.stringify([[...routes].sort(), [...(second ?? [])].sort()])
    // Heartbeats change nodes all the time, but not where they are.
    if (text === set || signal.aborted) continue
    try {
      await setRoutes(routes, options, peers.reach.vxlan)
      if (second) await setIPv6Routes(second)
      set = text
      pause.reset()
    } catch (e) {
      log.warn({ err: (e as Error).message }, 'routes to other nodes not set')
      dirty = true
      await sleep(pause.next(), signal)
    }
  }
  stop()
}
