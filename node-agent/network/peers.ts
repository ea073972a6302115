/** Keeps the routes to other nodes' pods as the API tells them. */
import type { Node } from '#shared/api/core/node.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { Logger } from '#shared/component/log.ts'
import { setRoutes } from './routes.ts'

/** For an informer's `strip`: of another node only its route is of interest, a few dozen bytes instead of some kilobytes. */
export function keepRoute(node: Node): void {
  const { name, uid, resourceVersion } = node.metadata
  node.metadata = { name, uid, resourceVersion } as Node['metadata']
  node.spec = node.spec.podCIDR === undefined ? {} : { podCIDR: node.spec.podCIDR }
  node.status = { addresses: (node.status?.addresses ?? []).filter(a => a.type === 'InternalIP') }
}

/** Pod range to node address, for every node but our own. */
export function peerRoutes(nodes: readonly Node[], own: string): Map<string, string> {
  return new Map(
    nodes.flatMap(node => {
      const ip = node.status?.addresses?.find(a => a.type === 'InternalIP')?.address
      return node.metadata.name === own || !ip || !node.spec.podCIDR ? [] : [[node.spec.podCIDR, ip] as const]
    }),
  )
}

/** Follows the nodes until `signal` aborts. */
export async function keepRoutes(nodes: Informer<Node>, own: string, log: Logger, signal: AbortSignal): Promise<void> {
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
  while (!signal.aborted) {
    if (!dirty) await new Promise<void>(resolve => (wake = resolve))
    dirty = false
    const routes = peerRoutes(nodes.list(), own)
    const text = JSON.stringify([...routes].sort())
    // Heartbeats change nodes all the time, but not where they are.
    if (text === set || signal.aborted) continue
    try {
      await setRoutes(routes)
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
