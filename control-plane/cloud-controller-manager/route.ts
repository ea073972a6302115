/**
 * node-route-controller: the cloud has routes to the pods of every node, and a node is told when it can be reached (k8s.io/cloud-provider,
 * controllers/route).
 */
import type { Node } from '#shared/api/core/node.ts'
import { nodes } from '#shared/api/kinds.ts'
import { source } from '#shared/client/controller.ts'
import { isNotFound, isStatus } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { internalIP, machineOf } from '#shared/network/machine.ts'
import type { NewCloudController } from './context.ts'

const type = 'NetworkUnavailable'
/** Of a Node what decides about routes: a heartbeat changes none of it. */
const routeView = (node: Node): string => JSON.stringify([node.spec.podCIDR, internalIP(node), machineOf(node)])

export const nodeRouteController: NewCloudController = ({ cloud, client, informer, log }) => {
  const all = informer(nodes)
  const isTold = ({ status }: Node): boolean => status?.conditions?.some(c => c.type === type && c.status === 'False') ?? false
  return {
    name: 'node-route-controller',
    client,
    workers: 1,
    // All routes are one thing: they are compared with what there is.
    sources: [source(all, e => (e.type === 'MODIFIED' && e.previous && routeView(e.previous) === routeView(e.object) ? [] : ['routes']))],
    start: queue => queue.add('routes'),
    async reconcile(_, client) {
      if (!cloud.routes) return
      const routed = new Set(await cloud.routes.ensureRoutes(all.list()))
      const now = formatTime()
      const condition = { type, status: 'False', reason: 'RouteCreated', message: 'RouteController created a route' }
      for (const node of all.list()) {
        const { name = '' } = node.metadata
        if (!routed.has(name) || isTold(node)) continue
        const conditions = [{ ...condition, lastHeartbeatTime: now, lastTransitionTime: now }]
        await client.patch(nodes, '', name, 'strategic', { status: { conditions } }, 'status').catch((e: unknown) => {
          if (!isNotFound(e) && !isStatus(e, 'Conflict')) throw e
        })
        log.info({ node: name, podCIDR: node.spec.podCIDR }, 'there is a route to a node of another machine')
      }
    },
    log,
  }
}
