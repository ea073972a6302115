/** The scheduler's loop: informers feed cache and queue, every active pod gets a decision, decisions are bound side by side. */
import { setImmediate as turn } from 'node:timers/promises'
import type { Registry } from 'prom-client'
import { isPodFinished } from '#shared/api/core/pod.ts'
import type { Node } from '#shared/api/core/node.ts'
import { nodes, pods } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import { eventRecorder } from '#shared/client/events.ts'
import type { Informer, InformerEvent } from '#shared/client/informer.ts'
import type { LeanPod as Pod, StrippedOf } from '#shared/client/leanpod.ts'
import { sharedInformers } from '#shared/client/sharedinformers.ts'
import type { Logger } from '#shared/component/log.ts'
import { isConflict, isNotFound } from '#shared/machinery/status.ts'
import { bindingCycle, permit } from './binding.ts'
import { ClusterCache } from './cache.ts'
import { Action, nodeChanges, podChanges, resourceOf } from './clusterevent.ts'
import type { CycleState } from './cyclestate.ts'
import type { ExtenderConfig } from './config/schema.ts'
import { eventPace } from './eventpace.ts'
import { extenderName, newExtender } from './extender.ts'
import { fitErrorMessage, newDiagnosis, noteOf, type Diagnosis } from './fiterror.ts'
import { isRejected, type PostFilterResult, type Snapshot, type Status } from './framework.ts'
import { SchedulerMetrics } from './metrics.ts'
import { Nominator } from './nominator.ts'
import { podInfo } from './podinfo.ts'
import { registerPodResources } from './podresources.ts'
import { podStatusWriter } from './podstatus.ts'
import { newProfile, queueSortOf, reserve, unreserve, type Profile, type ProfileConfig } from './profile.ts'
import { SchedulingQueue, type Backoff, type QueuedPod } from './queue.ts'
import { schedule, scheduleWithExtenders, type Decision } from './schedule.ts'
import { Slots } from './slots.ts'
import { WaitingPods } from './waitingpods.ts'

export interface SchedulerOptions {
  client: Client
  log: Logger
  profiles: readonly ProfileConfig[]
  extenders?: readonly ExtenderConfig[]
  backoff?: Backoff
  /** Where its metrics are added. */
  registry?: Registry
  /** Where it tells what pods ask for. */
  resources?: Registry
}

/** For how long pods are scheduled in one turn of the event loop, ms: then the lease, watches and bindings have theirs. */
const turnMs = 5
/** How many bindings are under way at once, and how many decided pods may wait for that before no more are decided. */
const bindingsAtOnce = 100
const bindingsWaiting = 400
/** How long events may wait while there are bindings, ms: what ten thousands of pods that come at once need to be bound. */
const eventHoldMs = 60_000

/** Schedules until `signal` aborts. */
export async function runScheduler(options: SchedulerOptions, signal: AbortSignal): Promise<void> {
  const { client, log } = options
  const cache = new ClusterCache()
  const nominator = new Nominator()
  const waitingPods = new WaitingPods()
  const slots = new Slots(bindingsAtOnce)
  const shared = sharedInformers(client, signal, log)
  const informers = new Map<string, Informer<any>>() // any: of all kinds
  const informer = <T extends KubeObject>(kind: Kind<T>): Informer<StrippedOf<T>> => {
    const made = shared.get(kind)
    informers.set(resourceOf(kind), made)
    return made
  }
  let snapshot: Snapshot = cache.snapshot()
  const full = ({ metadata: { namespace = '', name = '' } }: Pod) => client.get(pods, namespace, name)
  const extenders = (options.extenders ?? []).map(e => newExtender(e, full))
  const metrics = new SchedulerMetrics()
  const handle = {
    metrics,
    extenders,
    client,
    log,
    informer,
    snapshot: () => snapshot,
    nominator,
    waitingPods,
    activate: (uids: Iterable<string>) => queue.activate(uids),
  }
  const pace = eventPace(slots)
  const recorder = (name: string) => eventRecorder(client, name, '', log, pace, eventHoldMs)
  const profiles = new Map(options.profiles.map(p => [p.schedulerName, newProfile(p, { ...handle, events: recorder(p.schedulerName) })]))
  const profileOf = (pod: Pod): Profile | undefined => profiles.get(pod.spec.schedulerName ?? 'default-scheduler')
  let wake = (): void => {}
  const queue: SchedulingQueue = new SchedulingQueue({
    profiles,
    less: queueSortOf(profiles.values()),
    wake: () => wake(),
    incoming: (name, why) => metrics.incoming(name, why),
    unhinted: extenders.length > 0 ? [extenderName] : [],
    ...(options.backoff ? { backoff: options.backoff } : {}),
  })
  if (options.registry)
    metrics.register(options.registry, {
      queues() {
        const { active, backoff, unschedulable, gated } = queue.sizes
        return { active, backoff, unschedulable, gated }
      },
      rejected: () => queue.rejected,
      batches: () => [...profiles].map(([profile, { batch }]) => ({ profile, attempts: batch.attempts })),
      cache: () => cache.sizes,
    })
  const nodeInformer = informer(nodes)
  const podInformer = informer(pods)
  if (options.resources) registerPodResources(options.resources, () => podInformer.list())
  const statuses = podStatusWriter(client, (namespace, name) => podInformer.get(namespace, name), log, signal)
  const [nodeResource, podResource] = [resourceOf(nodes), resourceOf(pods)]

  /** Times what handles the events of a kind. */
  const timed =
    <E extends InformerEvent<KubeObject>>(name: string | ((event: E) => string), handle: (event: E) => void) =>
    (event: E): void => {
      const began = performance.now()
      handle(event)
      const label = `${typeof name === 'string' ? name : name(event)}${done[event.type]}`
      metrics.eventHandling.observe((performance.now() - began) / 1000, { event: label })
    }

  const onNode = ({ type, object, previous }: InformerEvent<Node>): void => {
    if (type === 'DELETED') {
      cache.deleteNode(object.metadata.name ?? '')
      return queue.happened({ resource: nodeResource, action: Action.Delete, old: object })
    }
    const action = type === 'MODIFIED' && previous ? nodeChanges(object, previous) : Action.Add
    const cordoned = previous?.spec?.unschedulable !== object.spec?.unschedulable
    cache.setNode(object, action !== 0 || cordoned)
    if (action !== 0) queue.happened({ resource: nodeResource, action, old: previous, object })
  }
  nodeInformer.subscribe(timed('Node', onNode))

  /** Whether the pod waits for one of our profiles to give it a node. */
  const waits = (pod: Pod): boolean =>
    !pod.spec.nodeName && !isPodFinished(pod) && !pod.metadata.deletionTimestamp && profileOf(pod) !== undefined
  const takesPlace = (pod: Pod): boolean => Boolean(pod.spec.nodeName) && !isPodFinished(pod)

  const leaves = (old: Pod, upTo?: number): void => queue.happened({ resource: podResource, action: Action.Delete, old }, upTo)

  const onPod = ({ type, object: pod, previous }: InformerEvent<Pod>): void => {
    const uid = pod.metadata.uid ?? ''
    const before = previous ?? pod
    if (type === 'DELETED') {
      const assumedOn = cache.assumedOn(uid)
      queue.remove(uid)
      cache.deletePod(pod)
      if (assumedOn) leaves(placed(before, assumedOn))
      else if (takesPlace(before)) leaves(before)
      else if (nominator.delete(uid)) leaves(before, podPriority(before))
      nominator.delete(uid)
      return
    }
    const assumed = cache.isAssumed(uid)
    cache.setPod(pod)
    if (waits(pod)) {
      const was = previous?.status?.nominatedNodeName
      if (!assumed && (pod.status?.nominatedNodeName || was)) nominator.update(podInfo(pod), previous)
      if (!assumed || queue.isInFlight(uid)) queue.add(pod)
      // Its place there is free again, for those that had to leave it to the pod.
      if (!assumed && was && was !== pod.status?.nominatedNodeName) leaves(before, podPriority(before))
      return
    }
    queue.remove(uid)
    nominator.delete(uid)
    const [had, has] = [previous !== undefined && takesPlace(previous), takesPlace(pod)]
    if (had && has) queue.happened({ resource: podResource, action: podChanges(pod, before), old: before, object: pod })
    else if (has) queue.happened({ resource: podResource, action: Action.Add, object: pod })
    // A pod that has finished frees its place as a deleted one does.
    else if (had) leaves(before)
  }
  podInformer.subscribe(timed(({ object }) => (object.spec.nodeName ? 'AssignedPod' : 'UnschedulablePod'), onPod))

  for (const [resource, source] of informers)
    if (resource !== nodeResource && resource !== podResource) source.subscribe(e => queue.happened(eventOf(resource, e)))

  /** One scheduling cycle. A promise only when a plugin makes others wait. */
  function cycle(queued: QueuedPod): Promise<void> | undefined {
    const { info } = queued
    const profile = profileOf(info.pod)
    if (!profile || cache.isAssumed(info.uid)) return void queue.done(info.uid)
    snapshot = cache.snapshot()
    cycles++
    if (!extenders.some(e => e.cares(info.pod)))
      return decided(queued, profile, schedule(info, snapshot, profile, { start, cycle: cycles }))
    return scheduleWithExtenders(info, snapshot, profile, extenders, { start }).then(d => decided(queued, profile, d))
  }
  const secondsSince = (began: number): number => (performance.now() - began) / 1000
  function decided(queued: QueuedPod, profile: Profile, decision: Decision): Promise<void> | undefined {
    metrics.decision(secondsSince(queued.began))
    if (snapshot.nodes.length > 0) start = (start + decision.looked) % snapshot.nodes.length
    if (decision.node === undefined) return postFilter(queued, profile, decision.state, decision.diagnosis)
    assign(queued, profile, decision.state, decision.node)
    return undefined
  }
  let start = 0
  let cycles = 0

  /** Asks the PostFilter plugins in turn, and sends the pod back to the queue with what they say. */
  function postFilter(queued: QueuedPod, profile: Profile, state: CycleState, diagnosis: Diagnosis, from = 0): Promise<void> | undefined {
    const statuses = { explicit: diagnosis.explicit, absent: diagnosis.absent }
    // Without nodes there is nothing to make room on.
    const plugins = diagnosis.numAllNodes === 0 ? [] : profile.postFilter
    // A nomination is theirs to keep.
    let nominated = plugins.length === 0 ? '' : undefined
    const began = performance.now()
    const done = (result: PostFilterResult): boolean => {
      if (result.nominatedNode !== undefined) nominated = result.nominatedNode
      const message = result.status?.reasons.join(', ') ?? ''
      const code = result.status?.code ?? 'Success'
      profile.ended('PostFilter', code, performance.now() - began)
      // What others said counts only as long as nobody can help.
      const said = code === 'Unschedulable' ? [diagnosis.postFilterMessage, message] : [message]
      diagnosis.postFilterMessage = said.filter(Boolean).join(', ')
      return code !== 'Unschedulable'
    }
    for (let i = from; i < plugins.length; i++) {
      const result = plugins[i]!.postFilter(state, queued.info, statuses)
      if (result instanceof Promise)
        return result.then(r => (done(r) ? reject(queued, diagnosis, nominated) : postFilter(queued, profile, state, diagnosis, i + 1)))
      if (done(result)) break
    }
    return void reject(queued, diagnosis, nominated)
  }

  function reject(queued: QueuedPod, diagnosis: Diagnosis, nominatedNode: string | undefined, takesBack = false): void {
    const { pod } = queued.info
    const message = fitErrorMessage(diagnosis)
    metrics.attempt(pod.spec.schedulerName ?? '', 'unschedulable', secondsSince(queued.began))
    if (nominatedNode) nominator.set(queued.info, nominatedNode)
    else if (nominatedNode === '') nominator.delete(queued.info.uid)
    queue.unschedulable(queued, diagnosis.rejectedBy)
    profileOf(pod)?.events.event(pod, 'Warning', 'FailedScheduling', noteOf(message))
    log.info({ pod: `${pod.metadata.namespace}/${pod.metadata.name}`, message }, 'unschedulable')
    statuses.write(pod, 'Unschedulable', message, nominatedNode, takesBack)
  }

  /** Reserve or Permit turned the pod down on the node that was chosen for it. */
  function turnDown(queued: QueuedPod, status: Status, node: string, announced = false): void {
    const diagnosis = newDiagnosis(1)
    diagnosis.explicit.set(node, status)
    if (status.plugin) diagnosis.rejectedBy.add(status.plugin)
    reject(queued, diagnosis, '', announced)
  }

  /** `announced`: its node was written into status.nominatedNodeName. */
  function failed(queued: QueuedPod, error: Error, announced = false): void {
    const { pod } = queued.info
    log.warn({ pod: `${pod.metadata.namespace}/${pod.metadata.name}`, err: error }, 'scheduling failed, will retry')
    nominator.delete(queued.info.uid)
    queue.failed(queued)
    metrics.attempt(pod.spec.schedulerName ?? '', 'error', secondsSince(queued.began))
    profileOf(pod)?.events.event(pod, 'Warning', 'FailedScheduling', noteOf(error.message))
    statuses.write(pod, 'SchedulerError', error.message, '', announced)
  }

  /** Assumes the pod on the node and starts its binding. */
  function assign(queued: QueuedPod, profile: Profile, state: CycleState, node: string): void {
    const { info } = queued
    cache.assume(info, node)
    nominator.delete(info.uid)
    const undo = (): void => {
      unreserve(profile, state, info, node)
      if (cache.forget(info.uid)) leaves(placed(info.pod, node))
    }
    let held: Status | Map<string, number> | undefined
    try {
      held = reserve(profile, state, info, node) ?? permit(profile, state, info, node)
    } catch (e) {
      undo()
      return failed(queued, e as Error)
    }
    if (!(held instanceof Map)) {
      undo()
      return isRejected(held) ? turnDown(queued, held, node) : failed(queued, new Error(held.reasons.join(', ')))
    }
    let announced = false
    metrics.binding++
    const told = { decided: () => queue.decided(info.uid), announced: () => void (announced = true) }
    const options = { client, waitingPods, extenders, log, metrics, slots, signal, ...told }
    bindingCycle({ profile, state, pod: info, node, waits: held }, options).then(
      rejection => {
        metrics.binding--
        if (!rejection) return bound(queued, node)
        undo()
        turnDown(queued, rejection, node, announced)
      },
      (e: unknown) => {
        metrics.binding--
        undo()
        if (signal.aborted) return
        // Deleted, or bound by somebody else: its own events say whether it still waits.
        if (isNotFound(e) || isConflict(e)) queue.failed(queued)
        else failed(queued, e as Error, announced)
      },
    )
  }

  function bound(queued: QueuedPod, node: string): void {
    const { pod } = queued.info
    const { namespace, name, uid = '' } = pod.metadata
    metrics.attempt(pod.spec.schedulerName ?? '', 'scheduled', secondsSince(queued.began))
    metrics.bound(queued.attempts, secondsSince(queued.came))
    queue.done(uid)
    profileOf(pod)?.events.event(pod, 'Normal', 'Scheduled', `Successfully assigned ${namespace}/${name} to ${node}`)
    log.debug({ pod: `${namespace}/${name}`, node }, 'bound')
  }

  const stopped = new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(wake()), { once: true }))
  await Promise.race([stopped, Promise.all([...informers.values()].map(i => i.synced))])
  while (!signal.aborted) {
    const woken = new Promise<void>(resolve => (wake = resolve))
    for (let until = performance.now() + turnMs; !signal.aborted;) {
      if (slots.waiting > bindingsWaiting) await slots.calm()
      const queued = queue.pop()
      if (!queued) break
      try {
        const waiting = cycle(queued)
        if (waiting) await waiting
      } catch (e) {
        failed(queued, e as Error)
      }
      if (performance.now() < until) continue
      await turn()
      until = performance.now() + turnMs
    }
    if (!signal.aborted) await woken
    // All pods that become active in this turn are scheduled in one go, after the events that made them active.
    await turn()
  }
  queue.close()
}

const done = { ADDED: 'Add', MODIFIED: 'Update', DELETED: 'Delete' } as const
const podPriority = ({ spec }: Pod): number => spec.priority ?? 0
const placed = (pod: Pod, nodeName: string): Pod => ({ ...pod, spec: { ...pod.spec, nodeName } })

function eventOf(resource: string, { type, object, previous }: InformerEvent<KubeObject>) {
  if (type === 'DELETED') return { resource, action: Action.Delete, old: previous ?? object }
  return { resource, action: type === 'ADDED' ? Action.Add : Action.Update, old: previous, object }
}
