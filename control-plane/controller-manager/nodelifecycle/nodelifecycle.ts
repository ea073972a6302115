/**
 * Notices nodes that fall silent, says so in their conditions, taints them and marks their pods not ready. Silence counts only while this
 * process could read the API: after an outage, a pause or a change of leader every node gets a fresh grace.
 */
import type { Node } from '#shared/api/core/node.ts'
import { leases, namespaces, nodes, pods } from '#shared/api/kinds.ts'
import { sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import { source, splitKey } from '#shared/client/controller.ts'
import { exponential } from '#shared/component/counts.ts'
import type { WorkQueue } from '#shared/client/workqueue.ts'
import { isStatus } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { NewController } from '../context.ts'
import { isReady } from '../podcontrol/pods.ts'
import { condition, isSilent, observe, readiness, silentConditions, type Health } from './health.ts'
import { disruption, isEvicting, noExecuteKey, noScheduleKeys, withTaints, zoneOf } from './taints.ts'

const leaseNamespace = 'kube-node-lease'

export const nodeLifecycleController: NewController = ctx => {
  const { nodeMonitorGracePeriodMs: grace, nodeMonitorPeriodMs: period } = ctx.settings
  const recorder = ctx.recorder('node-controller')
  const own = ctx.as('node-controller')
  const all = ctx.informer(nodes)
  const leaseInformer = ctx.informer(leases)
  const podInformer = ctx.informer(pods)
  podInformer.addIndex('node', p => [p.spec.nodeName ?? ''])
  const health = new Map<string, Health>()
  /** The transition of a node's Ready condition for which its pods were marked. */
  const marked = new Map<string, string>()
  /** When the next node of a zone may be tainted NoExecute, in monotonic ms. */
  const nextEviction = new Map<string, number>()
  let total = false
  const evictions = ctx.metrics.counter(
    'node_collector_evictions_total',
    '[STABLE] Number of Node evictions that happened since current instance of NodeController started.',
  )
  const looks = ctx.metrics.histogram(
    'node_collector_update_all_nodes_health_duration_seconds',
    '[ALPHA] Duration in seconds for NodeController to update the health of all nodes.',
    exponential(0.01, 4, 8),
  )
  const looked = ctx.metrics.histogram(
    'node_collector_update_node_health_duration_seconds',
    '[ALPHA] Duration in seconds for NodeController to update the health of a single node.',
    exponential(0.001, 4, 8),
  )
  const zones = (): Map<string, Node[]> => Map.groupBy(all.list(), zoneOf)
  const ofZones = (name: string, help: string, value: (nodes: Node[]) => number): void =>
    ctx.metrics.gauge(`node_collector_${name}`, `[ALPHA] ${help}`, () =>
      [...zones()].map(([zone, nodes]) => ({ labels: { zone }, value: value(nodes) })),
    )
  const healthy = (nodes: Node[]): number => nodes.filter(n => readiness(n) === 'True').length
  ofZones('zone_size', 'Gauge measuring number of registered Nodes per zones.', nodes => nodes.length)
  ofZones('zone_health', 'Gauge measuring percentage of healthy nodes per zone.', nodes => (100 * healthy(nodes)) / nodes.length)
  ofZones('unhealthy_nodes_in_zone', 'Gauge measuring number of not Ready Nodes per zones.', nodes => nodes.length - healthy(nodes))

  async function monitorNodes(queue: WorkQueue): Promise<void> {
    let heard = performance.now()
    while (!ctx.signal.aborted) {
      await sleep(period, ctx.signal)
      if (ctx.signal.aborted) return
      if (!(await readable())) continue
      const now = performance.now()
      // Longer than two rounds: the API could not be read, or this process was stopped.
      if (now - heard > 2 * period + 1000) freshGrace(now, `no look at the API for ${Math.round(now - heard)} ms`)
      heard = now
      const { total: disrupted } = disruption(all.list())
      if (disrupted !== total) {
        total = disrupted
        ctx.log.warn({ total }, total ? 'no node is ready: nobody is evicted' : 'some node is ready again')
        if (!total) freshGrace(now, 'the disruption is over')
        for (const node of all.list()) queue.add(`/${node.metadata.name}`)
      }
      const failed = (node: Node) => (e: unknown) =>
        ctx.log.warn({ node: node.metadata.name, err: (e as Error).message }, 'could not judge a silent node')
      const began = performance.now()
      await Promise.all(all.list().map(node => timed(node).catch(failed(node))))
      looks.observe((performance.now() - began) / 1000)
    }
  }
  const readable = (): Promise<boolean> =>
    Promise.race([
      ctx.client.get(namespaces, '', 'kube-system').then(
        () => true,
        (e: unknown) => isStatus(e, 'NotFound'),
      ),
      sleep(Math.max(period, 1000), ctx.signal).then(() => false),
    ])
  function freshGrace(now: number, why: string): void {
    ctx.log.warn({ why }, 'every node gets a fresh grace period')
    for (const [name, h] of health) health.set(name, { ...h, at: now })
  }

  async function timed(node: Node): Promise<void> {
    const began = performance.now()
    await judge(node).finally(() => looked.observe((performance.now() - began) / 1000))
  }
  async function judge(cached: Node): Promise<void> {
    const name = cached.metadata.name ?? ''
    let known = observe(health.get(name), cached, leaseInformer.get(leaseNamespace, name), performance.now())
    health.set(name, known)
    if (!isSilent(known, cached, grace, performance.now()) || silentConditions(cached, 0) === cached.status?.conditions) return
    // The caches may be behind: only what the API itself shows condemns a node.
    const lease = await own
      .get(leases, leaseNamespace, name)
      .catch((e: unknown) => (isStatus(e, 'NotFound') ? undefined : Promise.reject(e)))
    const node = await own.get(nodes, '', name).catch((e: unknown) => (isStatus(e, 'NotFound') ? undefined : Promise.reject(e)))
    if (!node) return
    known = observe(known, node, lease, performance.now())
    health.set(name, known)
    if (!isSilent(known, node, grace, performance.now())) return
    const conditions = silentConditions(node, Date.now())
    await own.update(nodes, { ...node, status: { ...node.status, conditions } }, 'status')
    ctx.log.warn({ node: name, silentMs: Math.round(performance.now() - known.at) }, 'node fell silent')
    if (readiness(node) === 'True') recorder.event(node, 'Normal', 'NodeNotReady', `Node ${name} status is now: NodeNotReady`)
  }

  async function reconcile(key: string, client: Client): Promise<void | { requeueAfterMs: number }> {
    const [, name] = splitKey(key)
    const node = all.get('', name)
    if (!node) {
      for (const map of [health, marked]) map.delete(name)
      return
    }
    let noExecute = noExecuteKey(node)
    let wait: number | undefined
    // All nodes are looked at only where this one is in trouble.
    const state = noExecute ? disruption(all.list()) : undefined
    if (state?.total) noExecute = undefined
    if (noExecute && state && !isEvicting(node)) {
      const zone = zoneOf(node)
      const rate = state.rates.get(zone) ?? 0.1
      const left = (nextEviction.get(zone) ?? 0) - performance.now()
      if (rate === 0 || left > 0) {
        noExecute = undefined
        wait = rate === 0 ? period : left
      } else {
        nextEviction.set(zone, performance.now() + 1000 / rate)
        evictions.add({ zone })
      }
    }
    const taints = withTaints(node, noScheduleKeys(node), noExecute, Date.now())
    if (taints !== node.spec.taints) await client.update(nodes, { ...node, spec: { ...node.spec, taints: taints ?? [] } })
    await markPods(client, node)
    if (wait !== undefined) return { requeueAfterMs: wait }
  }

  /**
   * Pods of a node that fell silent are not ready, whatever they said last; once each time, because its kubelet has the last word when it
   * is back.
   */
  async function markPods(client: Client, node: Node): Promise<void> {
    const ready = condition(node, 'Ready')
    const name = node.metadata.name ?? ''
    const transition = `${node.metadata.uid} ${ready?.lastTransitionTime ?? ''}`
    if (ready?.status !== 'Unknown' || marked.get(name) === transition) return
    for (const pod of podInformer.byIndex('node', name).filter(isReady)) {
      const { namespace = '', name = '', uid } = pod.metadata
      const condition = { type: 'Ready', status: 'False', lastTransitionTime: formatTime() }
      try {
        await client.patch(pods, namespace, name, 'strategic', { metadata: { uid }, status: { conditions: [condition] } }, 'status')
        recorder.event(pod, 'Warning', 'NodeNotReady', 'Node is not ready')
      } catch (e) {
        if (!isStatus(e, 'NotFound') && !isStatus(e, 'Conflict')) throw e
      }
    }
    marked.set(name, transition)
  }

  function announce(type: string, node: Node): void {
    const { name = '' } = node.metadata
    if (type === 'ADDED') recorder.event(node, 'Normal', 'RegisteredNode', `Node ${name} event: Registered Node ${name} in Controller`)
    if (type === 'DELETED') recorder.event(node, 'Normal', 'RemovingNode', `Node ${name} event: Removing Node ${name} from Controller`)
  }

  return {
    name: 'node-lifecycle-controller',
    client: own,
    workers: 4,
    sources: [
      source(all, e => {
        announce(e.type, e.object)
        return [`/${e.object.metadata.name}`]
      }),
    ],
    start: queue => void monitorNodes(queue).catch((e: unknown) => ctx.log.error({ err: e }, 'node monitor stopped')),
    reconcile,
    log: ctx.log,
  }
}
