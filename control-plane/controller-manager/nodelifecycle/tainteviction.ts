/** Deletes pods from nodes whose NoExecute taints they do not, or no longer, tolerate. pkg/controller/tainteviction */
import type { Toleration } from '#shared/api/core/podspec/scheduling.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { nodes, pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import { isStatus } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { toleratesTaint } from '#shared/scheduling/taints.ts'
import type { NewController } from '../context.ts'
import { isTerminating } from '../podcontrol/pods.ts'
import type { Taint } from './taints.ts'

/** How long a pod may stay with these NoExecute taints, in ms: 0 when it does not tolerate one, undefined for ever. */
export function stay(tolerations: readonly Toleration[], taints: readonly Taint[]): number | undefined {
  const used: Toleration[] = []
  for (const taint of taints) {
    const toleration = tolerations.find(t => toleratesTaint(t, taint))
    if (!toleration) return 0
    used.push(toleration)
  }
  const limits = used.flatMap(t => (t.tolerationSeconds === undefined ? [] : [Math.max(0, t.tolerationSeconds) * 1000]))
  return limits.length ? Math.min(...limits) : undefined
}

export const taintEvictionController: NewController = ctx => {
  const recorder = ctx.recorder('taint-eviction-controller')
  const nodeInformer = ctx.informer(nodes)
  const podInformer = ctx.informer(pods)
  podInformer.addIndex('node', p => [p.spec.nodeName ?? ''])
  const deletions = ctx.metrics.counter(
    'taint_eviction_controller_pod_deletions_total',
    '[ALPHA] Total number of Pods deleted by TaintEvictionController since its start.',
  )
  const latency = ctx.metrics.histogram(
    'taint_eviction_controller_pod_deletion_duration_seconds',
    '[ALPHA] Latency, in seconds, between the time when a taint effect has been activated for the Pod and its deletion via TaintEvictionController.',
    [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240],
  )
  /** When a pod's time began to run, by key (monotonic ms): on this leader's clock, so that a new leader grants it anew. */
  const since = new Map<string, { uid: string; at: number }>()
  const noExecute = (node: string): Taint[] => nodeInformer.get('', node)?.spec.taints?.filter(t => t.effect === 'NoExecute') ?? []

  async function evict(client: Client, pod: LeanPod): Promise<void> {
    const { namespace = '', name = '', uid } = pod.metadata
    ctx.log.info({ namespace, pod: name, node: pod.spec.nodeName }, 'evicting: a taint is not tolerated')
    recorder.event(pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${namespace}/${name}`)
    const message = 'Taint manager: deleting due to NoExecute taint'
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'DeletionByTaintManager',
      message,
      lastTransitionTime: formatTime(),
    }
    try {
      await client.patch(pods, namespace, name, 'strategic', { metadata: { uid }, status: { conditions: [condition] } }, 'status')
      await client.delete(pods, namespace, name, uid ? { preconditions: { uid } } : {})
    } catch (e) {
      if (!isStatus(e, 'NotFound') && !isStatus(e, 'Conflict')) throw e
    }
  }

  return {
    name: 'taint-eviction-controller',
    client: ctx.as('node-controller'),
    workers: 8,
    sources: [
      source(podInformer, e => (e.object.spec.nodeName ? [keyOf(e.object)] : [])),
      source(nodeInformer, function* (e) {
        const taints = (n: typeof e.object | undefined) => JSON.stringify(n?.spec.taints?.filter(t => t.effect === 'NoExecute') ?? [])
        if (e.type === 'MODIFIED' && taints(e.object) === taints(e.previous)) return
        for (const pod of podInformer.byIndex('node', e.object.metadata.name ?? '')) yield keyOf(pod)
      }),
    ],
    async reconcile(key, client) {
      const [namespace, name] = splitKey(key)
      const pod = podInformer.get(namespace, name)
      if (!pod) return void since.delete(key)
      const uid = pod.metadata.uid ?? ''
      if (since.get(key)?.uid !== uid) since.delete(key)
      const taints = noExecute(pod.spec.nodeName ?? '')
      const limit = taints.length && !isTerminating(pod) ? stay(pod.spec.tolerations ?? [], taints) : undefined
      if (limit === undefined) {
        if (since.delete(key) && !isTerminating(pod))
          recorder.event(pod, 'Normal', 'TaintManagerEviction', `Cancelling deletion of Pod ${namespace}/${name}`)
        return
      }
      const start = since.get(key) ?? { uid, at: performance.now() }
      since.set(key, start)
      const left = start.at + limit - performance.now()
      if (left > 0) return { requeueAfterMs: left }
      await evict(client, pod)
      deletions.add({})
      latency.observe(-left / 1000)
      since.delete(key)
    },
    log: ctx.log,
  }
}
