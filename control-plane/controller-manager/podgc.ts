/**
 * Removes pods that nothing else will: too many that ended, those bound to nodes that are gone, terminating ones that never got a node, and
 * terminating ones on nodes that are out of service. pkg/controller/podgc
 */
import type { Node } from '#shared/api/core/node.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { nodes, pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { source, splitKey } from '#shared/client/controller.ts'
import type { InformerEvent } from '#shared/client/informer.ts'
import { isStatus } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { NewController } from './context.ts'
import { hasEnded, isReady, isTerminating } from './podcontrol/pods.ts'

/** The pods to delete so that at most `threshold` ended ones are kept: evicted ones first, then the oldest. */
export function surplus(ended: readonly LeanPod[], threshold: number): LeanPod[] {
  const created = (p: LeanPod) => p.metadata.creationTimestamp ?? ''
  const evicted = (p: LeanPod) => Number(p.status?.phase === 'Failed' && p.status.reason === 'Evicted')
  const byText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  const order = (a: LeanPod, b: LeanPod) =>
    evicted(b) - evicted(a) || byText(created(a), created(b)) || byText(a.metadata.name ?? '', b.metadata.name ?? '')
  return threshold > 0 && ended.length > threshold ? [...ended].sort(order).slice(0, ended.length - threshold) : []
}
const outOfService = (node: Node | undefined): boolean =>
  Boolean(node?.spec.taints?.some(t => t.key === 'node.kubernetes.io/out-of-service')) && !nodeReady(node)
const nodeReady = (node: Node | undefined): boolean =>
  node?.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True') ?? false

/** Why a pod goes, as upstream's metrics name it. */
type Reason = 'out-of-service' | 'orphaned' | 'terminated' | 'unscheduled'

/** Keys are `node/NAME`, `terminated/` and `unscheduled/NAMESPACE/NAME`: here the part before the first slash says what to look at. */
export const podGarbageCollector: NewController = ctx => {
  const nodeInformer = ctx.informer(nodes)
  const podInformer = ctx.informer(pods)
  podInformer.addIndex('node', p => [p.spec.nodeName ?? ''])
  podInformer.addIndex('ended', p => (hasEnded(p) ? [''] : []))
  const deletions = ctx.metrics.counter(
    'pod_gc_collector_force_delete_pods_total',
    '[ALPHA] Number of pods that are being forcefully deleted since the Pod GC Controller started.',
  )
  const failures = ctx.metrics.counter(
    'pod_gc_collector_force_delete_pod_errors_total',
    '[ALPHA] Number of errors encountered when forcefully deleting the pods since the Pod GC Controller started.',
  )
  const missingSince = new Map<string, number>()

  function* ofPod({ type, object: pod }: InformerEvent<LeanPod>): Iterable<string> {
    const { nodeName } = pod.spec
    if (type === 'DELETED') return
    if (nodeName && !nodeInformer.get('', nodeName)) yield `node/${nodeName}`
    if (nodeName && isTerminating(pod) && outOfService(nodeInformer.get('', nodeName))) yield `node/${nodeName}`
    if (!nodeName && isTerminating(pod)) yield `unscheduled/${pod.metadata.namespace}/${pod.metadata.name}`
    if (hasEnded(pod) && podInformer.countByIndex('ended', '') > ctx.settings.terminatedPodThreshold) yield 'terminated/'
  }

  /** Removes at once; a pod that has not ended is marked failed first, so that whoever counts outcomes sees one. */
  async function remove(client: Client, pod: LeanPod, reason: Reason, disruption?: string): Promise<void> {
    const { namespace = '', name = '', uid } = pod.metadata
    deletions.add({ namespace, reason })
    try {
      if (!hasEnded(pod)) {
        const condition = {
          type: 'DisruptionTarget',
          status: 'True',
          reason: 'DeletionByPodGC',
          message: disruption,
          lastTransitionTime: formatTime(),
        }
        const status = { phase: 'Failed', ...(disruption ? { conditions: [condition] } : {}) }
        await client.patch(pods, namespace, name, 'strategic', { metadata: { uid }, status }, 'status')
      }
      await client.delete(pods, namespace, name, { gracePeriodSeconds: 0, ...(uid ? { preconditions: { uid } } : {}) })
    } catch (e) {
      if (isStatus(e, 'NotFound') || isStatus(e, 'Conflict')) return
      failures.add({ namespace, reason })
      throw e
    }
  }

  async function ofNode(client: Client, name: string): Promise<void | { requeueAfterMs: number }> {
    const node = nodeInformer.get('', name)
    const bound = podInformer.byIndex('node', name)
    if (node) {
      missingSince.delete(name)
      if (outOfService(node)) for (const pod of bound) if (isTerminating(pod) && !isReady(pod)) await remove(client, pod, 'out-of-service')
      return
    }
    if (bound.length === 0) return void missingSince.delete(name)
    const since = missingSince.get(name) ?? performance.now()
    missingSince.set(name, since)
    const left = since + ctx.settings.podQuarantineMs - performance.now()
    if (left > 0) return { requeueAfterMs: left }
    // The cache may be behind; only the API knows.
    const gone = await client.get(nodes, '', name).then(
      () => false,
      (e: unknown) => (isStatus(e, 'NotFound') ? true : Promise.reject(e)),
    )
    if (!gone) return
    ctx.log.info({ node: name, pods: bound.length }, 'removing pods of a node that is gone')
    for (const pod of bound) await remove(client, pod, 'orphaned', 'PodGC: node no longer exists')
  }

  return {
    name: 'pod-garbage-collector-controller',
    client: ctx.as('pod-garbage-collector'),
    workers: 1,
    sources: [source(podInformer, ofPod), source(nodeInformer, e => [`node/${e.object.metadata.name}`])],
    async reconcile(key, client) {
      const [what, rest] = splitKey(key)
      if (what === 'node') return ofNode(client, rest)
      if (what === 'terminated') {
        for (const pod of surplus(podInformer.byIndex('ended', ''), ctx.settings.terminatedPodThreshold))
          await remove(client, pod, 'terminated')
        return
      }
      const [namespace, name] = splitKey(rest)
      const pod = podInformer.get(namespace, name)
      if (pod && isTerminating(pod) && !pod.spec.nodeName) await remove(client, pod, 'unscheduled')
    },
    log: ctx.log,
  }
}
