/** The scheduler's loop: informers feed cache and queue, every active pod gets a decision, decisions are bound side by side. */
import type { Pod } from '#shared/api/core/pod.ts'
import { nodes, pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import { leanPod } from '#shared/client/leanpod.ts'
import { startInformer } from '#shared/client/reflector.ts'
import type { Logger } from '#shared/component/log.ts'
import { isConflict, isNotFound } from '#shared/machinery/status.ts'
import { ClusterCache } from './cache.ts'
import { fitErrorMessage } from './fiterror.ts'
import type { Plugin } from './framework.ts'
import { SchedulingQueue, type QueuedPod } from './queue.ts'
import { schedule } from './schedule.ts'

export interface SchedulerOptions {
  client: Client
  events: EventRecorder
  log: Logger
  plugins: readonly Plugin[]
  /** Pods with this spec.schedulerName are ours. */
  schedulerName: string
}

const nowText = (): string => `${new Date().toISOString().slice(0, 19)}Z`
const finished = (pod: Pod): boolean => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'

/** Schedules until `signal` aborts. */
export async function runScheduler(options: SchedulerOptions, signal: AbortSignal): Promise<void> {
  const { client, events, log, plugins, schedulerName } = options
  const cache = new ClusterCache()
  let wanted = false
  // All pods that became active in this tick are scheduled in one go, after the events that made them active.
  const wake = (): void => {
    if (wanted) return
    wanted = true
    setImmediate(() => {
      wanted = false
      drain()
    })
  }
  const queue = new SchedulingQueue(wake)
  const nodeInformer = startInformer(client, nodes, {}, signal)
  const podInformer = startInformer(client, pods, { strip: leanPod }, signal)
  let synced = false

  const waits = (pod: Pod): boolean =>
    !pod.spec.nodeName &&
    !finished(pod) &&
    !pod.metadata.deletionTimestamp &&
    (pod.spec.schedulerName ?? 'default-scheduler') === schedulerName &&
    (pod.spec.schedulingGates ?? []).length === 0

  nodeInformer.subscribe(event => {
    const name = event.object.metadata.name ?? ''
    if (event.type === 'DELETED') return cache.deleteNode(name)
    cache.setNode(event.object)
    queue.happened(
      event.type === 'MODIFIED' && event.previous
        ? { kind: 'NodeUpdate', node: event.object, previous: event.previous }
        : { kind: 'NodeAdd', node: event.object },
    )
  })
  podInformer.subscribe(event => {
    const pod = event.object
    if (event.type === 'DELETED') {
      queue.remove(pod)
      cache.deletePod(pod)
      if (pod.spec.nodeName) queue.happened({ kind: 'PodDelete', pod })
      return
    }
    const wasAssumed = cache.isAssumed(pod)
    cache.setPod(pod)
    if (waits(pod) && !wasAssumed) queue.add(pod)
    else queue.remove(pod)
    // A pod that has finished frees its place as a deleted one does.
    if (pod.spec.nodeName && finished(pod) && !(event.previous && finished(event.previous))) queue.happened({ kind: 'PodDelete', pod })
  })

  function drain(): void {
    if (!synced || signal.aborted) return
    for (let queued = queue.pop(); queued; queued = queue.pop()) {
      const decision = schedule(queued.pod, cache.snapshot(), plugins)
      if (decision.node !== undefined) {
        cache.assume(queued.pod, decision.node)
        void bind(queued, decision.node)
      } else {
        void reject(queued, fitErrorMessage(decision.rejections), decision.rejectedBy)
      }
    }
  }

  async function bind(queued: QueuedPod, node: string): Promise<void> {
    const { namespace = '', name = '', uid } = queued.pod.metadata
    try {
      await client.post(pods, namespace, name, 'binding', {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name, namespace, uid },
        target: { kind: 'Node', name: node },
      })
      queue.done(queued)
      events.event(queued.pod, 'Normal', 'Scheduled', `Successfully assigned ${namespace}/${name} to ${node}`)
      log.debug({ pod: `${namespace}/${name}`, node }, 'bound')
    } catch (e) {
      cache.forget(queued.pod)
      if (signal.aborted) return
      // Deleted, or bound by somebody else: its next event, if any, brings it back.
      if (isNotFound(e) || isConflict(e)) return queue.done(queued)
      log.warn({ pod: `${namespace}/${name}`, node, error: (e as Error).message }, 'binding failed')
      events.event(queued.pod, 'Warning', 'FailedScheduling', `binding rejected: ${(e as Error).message}`)
      queue.failed(queued)
    }
  }

  async function reject(queued: QueuedPod, message: string, rejectedBy: readonly Plugin[]): Promise<void> {
    const { namespace = '', name = '' } = queued.pod.metadata
    queue.unschedulable(queued, rejectedBy)
    events.event(queued.pod, 'Warning', 'FailedScheduling', message)
    log.info({ pod: `${namespace}/${name}`, message }, 'unschedulable')
    const had = podInformer.get(namespace, name)?.status?.conditions?.find(c => c.type === 'PodScheduled')
    if (had?.status === 'False' && had.reason === 'Unschedulable' && had.message === message) return
    const condition = {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message,
      lastProbeTime: null,
      lastTransitionTime: had?.status === 'False' && had.lastTransitionTime ? had.lastTransitionTime : nowText(),
      ...(queued.pod.metadata.generation ? { observedGeneration: queued.pod.metadata.generation } : {}),
    }
    try {
      await client.patch(pods, namespace, name, 'strategic', { status: { conditions: [condition] } }, 'status')
    } catch (e) {
      if (!isNotFound(e) && !signal.aborted)
        log.warn({ pod: `${namespace}/${name}`, error: (e as Error).message }, 'the condition could not be written')
    }
  }

  await Promise.all([nodeInformer.synced, podInformer.synced])
  synced = true
  wake()
  await new Promise<void>(resolve => (signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true })))
  queue.close()
}
