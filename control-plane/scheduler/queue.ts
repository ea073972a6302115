/**
 * Pods that wait for a node. Each is in exactly one place: active (by QueueSort), backing off after a failed attempt, unschedulable until a
 * change that may help (gated pods among them), or in flight.
 * https://github.com/kubernetes/community/blob/master/contributors/devel/sig-scheduling/scheduling_code_hierarchy_overview.md
 */
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { pods as podKind } from '#shared/api/kinds.ts'
import { eventLabel, podChanges, resourceOf, type ClusterEvent } from './clusterevent.ts'
import type { EventToRegister, Plugin } from './framework.ts'
import { Heap } from './heap.ts'
import { InFlight } from './inflight.ts'
import { podInfo, type PodInfo } from './podinfo.ts'
import { UnschedulablePods, type Group } from './unschedulablepods.ts'

/** A pod is tried again after this even when nothing happened, ms. */
const maxUnschedulableMs = 5 * 60_000
const longestTimerMs = 60_000

export interface QueuedPod {
  info: PodInfo
  /** performance.now() when it entered the queue, or came back after an attempt. */
  since: number
  /** Its place among those that came at the same time. */
  readonly order: number
  attempts: number
  /** How often it was turned down, and how many attempts have failed since: its back-off grows with them. */
  rejections: number
  failures: number
  /** performance.now() when it became active first, and when its last attempt began. */
  came: number
  began: number
  /** When it may be tried again after the last attempt. */
  notBefore: number
  /** Names of the plugins that rejected it last; their hints decide which changes wake it. With none, every change does. */
  rejectedBy: ReadonlySet<string>
  /** A PreEnqueue plugin holds it back. */
  gated: boolean
}

/** What the queue asks of a profile. */
export interface QueueProfile {
  readonly plugins: readonly Plugin[]
}

const podResource = resourceOf(podKind)
/** Why a pod comes back to the queue after an attempt. */
const failure = 'ScheduleAttemptFailure'
const nobody: ReadonlySet<string> = new Set()
const uidOf = (pod: Pod): string => pod.metadata.uid ?? ''

/** How long a pod waits after its first failed attempt, doubled with each more, and at most. */
export interface Backoff {
  readonly initialMs: number
  readonly maxMs: number
}
const usualBackoff: Backoff = { initialMs: 1000, maxMs: 10_000 }

export interface QueueOptions {
  backoff?: Backoff
  /** By spec.schedulerName. */
  profiles: ReadonlyMap<string, QueueProfile>
  less: (a: QueuedPod, b: QueuedPod) => boolean
  /** Names of others than plugins who turn pods down: any change may help whom they rejected. */
  unhinted?: readonly string[]
  /** Called when there is something to pop. */
  wake: () => void
  /** Called when a pod comes to a place, with upstream's name of why. */
  incoming?: (queue: 'active' | 'backoff' | 'unschedulable', why: string) => void
  /** performance.now unless a test has its own clock. */
  now?: () => number
}

export class SchedulingQueue {
  readonly #active: Heap<QueuedPod>
  /** By when it ends: of pods that did not fit, which may go earlier when nothing else is to be done, and of those whose attempt failed. */
  readonly #backoff = new Heap<QueuedPod>(keyOf, sooner)
  readonly #errorBackoff = new Heap<QueuedPod>(keyOf, sooner)
  readonly #unschedulable = new UnschedulablePods()
  readonly #inFlight = new InFlight()
  readonly #profiles: ReadonlyMap<string, QueueProfile>
  /** Plugin and what it registered, by profile and resource. */
  readonly #registered = new Map<string, Map<string, { plugin: string; event: EventToRegister }[]>>()
  /** All actions that anybody registered, by resource. */
  readonly #actions = new Map<string, number>()
  /** Plugins that registered nothing: any change may help whom they rejected. */
  readonly #wantsAll: ReadonlySet<string>
  readonly #backoffs: Backoff
  readonly #wake: () => void
  readonly #incoming: NonNullable<QueueOptions['incoming']>
  readonly #now: () => number
  #order = 0
  #timer: NodeJS.Timeout | undefined
  #due = Infinity

  constructor(options: QueueOptions) {
    const { profiles, less, wake, incoming = () => {}, backoff = usualBackoff, unhinted = [], now = () => performance.now() } = options
    this.#incoming = incoming
    this.#backoffs = backoff
    this.#active = new Heap(keyOf, less)
    this.#profiles = profiles
    this.#wake = wake
    this.#now = now
    const silent = new Set<string>(unhinted)
    for (const [name, { plugins }] of profiles) {
      const registered = new Map<string, { plugin: string; event: EventToRegister }[]>()
      this.#registered.set(name, registered)
      for (const plugin of plugins) {
        if (!plugin.events && rejects(plugin)) silent.add(plugin.name)
        for (const event of plugin.events ?? []) {
          const resource = resourceOf(event.kind)
          registered.set(resource, [...(registered.get(resource) ?? []), { plugin: plugin.name, event }])
          this.#actions.set(resource, (this.#actions.get(resource) ?? 0) | event.action)
        }
      }
    }
    this.#wantsAll = silent
  }

  /** How many wait where. */
  get sizes(): { active: number; backoff: number; unschedulable: number; gated: number; inFlight: number } {
    let gated = 0
    for (const { pods } of this.#unschedulable.groups()) for (const queued of pods.values()) if (queued.gated) gated++
    return {
      active: this.#active.size,
      backoff: this.#backoff.size + this.#errorBackoff.size,
      unschedulable: this.#unschedulable.size - gated,
      gated,
      inFlight: this.#inFlight.size,
    }
  }
  /** How many pods wait that a plugin turned down, by profile and plugin. A pod counts for each plugin that did. */
  get rejected(): ReadonlyMap<string, ReadonlyMap<string, number>> {
    const counts = new Map<string, Map<string, number>>()
    const count = (profile: string, plugins: ReadonlySet<string>, pods: number): void => {
      const own = counts.get(profile) ?? new Map<string, number>()
      counts.set(profile, own)
      for (const plugin of plugins) own.set(plugin, (own.get(plugin) ?? 0) + pods)
    }
    for (const { profile, rejectedBy, pods } of this.#unschedulable.groups()) count(profile, rejectedBy, pods.size)
    for (const heap of [this.#active, this.#backoff])
      for (const { info, rejectedBy } of heap.values()) count(info.pod.spec.schedulerName ?? 'default-scheduler', rejectedBy, 1)
    return counts
  }
  /** Where the pod is. */
  placeOf(uid: string): 'active' | 'backoff' | 'unschedulable' | 'inFlight' | undefined {
    if (this.#active.get(uid)) return 'active'
    if (this.#backoff.get(uid) ?? this.#errorBackoff.get(uid)) return 'backoff'
    if (this.#unschedulable.get(uid)) return 'unschedulable'
    return this.#inFlight.has(uid) ? 'inFlight' : undefined
  }
  isInFlight(uid: string): boolean {
    return this.#inFlight.has(uid)
  }

  /** A new or changed pod without a node. An unschedulable one is tried again when the change may help it. */
  add(pod: Pod): void {
    const uid = uidOf(pod)
    if (this.#inFlight.has(uid)) return this.#inFlight.updated(uid, pod)
    for (const heap of [this.#active, this.#backoff, this.#errorBackoff]) {
      const known = heap.get(uid)
      if (!known) continue
      known.info = podInfo(pod)
      // Its place in the queue may have changed.
      return heap.push(known)
    }
    const waiting = this.#unschedulable.get(uid)
    if (!waiting) return this.#enqueue(this.#newlyQueued(pod), 'UnschedulablePodAdd')
    const old = waiting.info.pod
    const action = podChanges(pod, old)
    waiting.info = podInfo(pod)
    const event = { resource: podResource, action, old, object: pod }
    if (waiting.gated || this.#helps(waiting, event)) this.#move(uid, waiting, eventLabel(event).replace('AssignedPod', 'UnschedulablePod'))
  }

  remove(uid: string): void {
    this.#active.delete(uid)
    this.#backoff.delete(uid)
    this.#errorBackoff.delete(uid)
    this.#unschedulable.delete(uid)
    this.#inFlight.gone(uid)
  }

  /** The pod to schedule next. One that backs off because it did not fit is taken early when no other waits. */
  pop(): QueuedPod | undefined {
    let next = this.#active.pop()
    if (!next) {
      next = this.#backoff.pop()
      if (!next) return undefined
      this.#incoming('active', 'PopFromBackoffQ')
    }
    this.#inFlight.start(next.info.uid)
    next.attempts++
    next.began = this.#now()
    return next
  }

  /** The pod has its node and is about to be bound: it stays in flight, but no change matters to it any more. */
  decided(uid: string): void {
    this.#inFlight.decided(uid)
  }

  /** The attempt is over and the pod needs no further one. */
  done(uid: string): void {
    this.#inFlight.finish(uid)
  }

  /** The pod was rejected: it waits for a change that may help. Nothing when it went away meanwhile. */
  unschedulable(queued: QueuedPod, rejectedBy: ReadonlySet<string>): void {
    queued.rejections++
    queued.failures = 0
    const missed = this.#comesBack(queued)
    if (!missed) return
    queued.rejectedBy = rejectedBy
    const helped = missed.events === 'all' || missed.events.some(e => this.#helps(queued, e))
    const { old, object } = missed
    if (helped || (object && this.#helps(queued, { resource: podResource, action: podChanges(object, old), old, object })))
      return this.#enqueue(queued, failure)
    this.#unschedulable.add(queued)
    this.#incoming('unschedulable', failure)
    this.#schedule(this.#now() + maxUnschedulableMs)
  }

  /** The attempt failed for no fault of the cluster (an API error): it is tried again after the back-off. */
  failed(queued: QueuedPod): void {
    queued.failures++
    if (!this.#comesBack(queued)) return
    queued.rejectedBy = nobody
    this.#errorBackoff.push(queued)
    this.#incoming('backoff', failure)
    this.#schedule(queued.notBefore)
  }

  /** Moves the pods that the change may help; of those that wait for one only pods of a priority up to `upTo`. */
  happened(event: ClusterEvent, upTo = Infinity): void {
    if (this.#wantsAll.size === 0 && ((this.#actions.get(event.resource) ?? 0) & event.action) === 0) return
    this.#inFlight.happened(event)
    // First all, then moved: one that a plugin still holds back comes back into the map, behind those that are yet to be asked.
    const helped: QueuedPod[] = []
    for (const group of this.#unschedulable.groups()) {
      if (!this.#mayHelp(group, event)) continue
      for (const queued of group.pods.values()) if (queued.info.priority <= upTo && this.#helps(queued, event)) helped.push(queued)
    }
    const why = helped.length > 0 ? eventLabel(event) : ''
    for (const queued of helped) this.#move(queued.info.uid, queued, why)
  }

  /** Moves pods that back off or are unschedulable to the active queue, because a plugin says so. */
  activate(uids: Iterable<string>): void {
    for (const uid of uids) {
      const queued = this.#unschedulable.get(uid) ?? this.#backoff.get(uid) ?? this.#errorBackoff.get(uid)
      if (!queued) continue
      queued.notBefore = 0
      this.#unschedulable.delete(uid)
      this.#backoff.delete(uid)
      this.#errorBackoff.delete(uid)
      this.#enqueue(queued, 'ForceActivate')
    }
  }

  /** Makes active whose back-off has ended, and those that have been unschedulable for too long. The timer calls it. */
  release(): void {
    const now = this.#now()
    for (const heap of [this.#backoff, this.#errorBackoff])
      for (let first = heap.peek(); first && first.notBefore <= now; first = heap.peek()) this.#enqueue(heap.pop()!, 'BackoffComplete')
    for (let oldest = this.#unschedulable.oldest; oldest && oldest.since + maxUnschedulableMs <= now; oldest = this.#unschedulable.oldest)
      this.#move(oldest.info.uid, oldest, 'UnschedulableTimeout')
    this.#due = Infinity
    const ends = [this.#backoff.peek()?.notBefore, this.#errorBackoff.peek()?.notBefore]
    const { oldest } = this.#unschedulable
    if (oldest) ends.push(oldest.since + maxUnschedulableMs)
    this.#schedule(Math.min(...ends.filter(e => e !== undefined)))
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  #newlyQueued(pod: Pod): QueuedPod {
    const now = this.#now()
    const info = podInfo(pod)
    const counts = { attempts: 0, rejections: 0, failures: 0 }
    return { info, since: now, came: now, began: now, order: this.#order++, ...counts, notBefore: 0, rejectedBy: nobody, gated: false }
  }

  /** Ends the attempt: with the newest version of the pod, and what its cycle missed. Undefined when the pod is not to come back. */
  #comesBack(queued: QueuedPod) {
    const missed = this.#inFlight.finish(queued.info.uid)
    if (!missed || missed.gone) return undefined
    const old = queued.info.pod
    queued.since = this.#now()
    const { initialMs, maxMs } = this.#backoffs
    queued.notBefore = queued.since + Math.min(initialMs * 2 ** ((queued.failures || queued.rejections) - 1), maxMs)
    if (missed.latest) queued.info = podInfo(missed.latest)
    return { events: missed.events, old, object: missed.latest }
  }

  #enqueue(queued: QueuedPod, why: string): void {
    const plugins = this.#profiles.get(queued.info.pod.spec.schedulerName ?? 'default-scheduler')?.plugins ?? []
    const gate = plugins.find(p => p.preEnqueue?.(queued.info.pod))
    queued.gated = gate !== undefined
    if (gate) {
      // Whoever rejected it before still knows what helps.
      queued.rejectedBy = new Set([...queued.rejectedBy, gate.name])
      queued.since = this.#now()
      this.#unschedulable.add(queued)
      this.#incoming('unschedulable', why)
      this.#schedule(queued.since + maxUnschedulableMs)
    } else if (queued.notBefore > this.#now()) {
      this.#backoff.push(queued)
      this.#incoming('backoff', why)
      this.#schedule(queued.notBefore)
      // It may be taken early.
      this.#wake()
    } else {
      // How long it was gated counts for nothing.
      if (queued.attempts === 0) queued.came = this.#now()
      this.#active.push(queued)
      this.#incoming('active', why)
      this.#wake()
    }
  }

  #move(uid: string, queued: QueuedPod, why: string): void {
    this.#unschedulable.delete(uid)
    this.#enqueue(queued, why)
  }

  /** One timer, for the next back-off or leftover that ends. */
  #schedule(due: number): void {
    if (due >= this.#due) return
    this.#due = due
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.release(), Math.min(Math.max(0, due - this.#now()) + 1, longestTimerMs))
    this.#timer.unref()
  }

  /** Whether it may help one of a group's pods, whatever a hint says of each. */
  #mayHelp({ profile, rejectedBy }: Group, event: ClusterEvent): boolean {
    if (rejectedBy.size === 0) return true
    if (this.#wantsAll.size > 0) for (const plugin of rejectedBy) if (this.#wantsAll.has(plugin)) return true
    const registered = this.#registered.get(profile)?.get(event.resource) ?? []
    return registered.some(({ plugin, event: wanted }) => rejectedBy.has(plugin) && (wanted.action & event.action) !== 0)
  }

  /** Whether the change may make the pod schedulable: a plugin that rejected it registered it and its hint agrees. */
  #helps(queued: QueuedPod, event: ClusterEvent): boolean {
    const { rejectedBy, info } = queued
    if (rejectedBy.size === 0) return true
    if (this.#wantsAll.size > 0) for (const plugin of rejectedBy) if (this.#wantsAll.has(plugin)) return true
    const registered = this.#registered.get(info.pod.spec.schedulerName ?? 'default-scheduler')?.get(event.resource)
    if (!registered) return false
    for (const { plugin, event: wanted } of registered) {
      if (!rejectedBy.has(plugin) || (wanted.action & event.action) === 0) continue
      if (!wanted.hint || wanted.hint(info.pod, event.old, event.object)) return true
    }
    return false
  }
}

/** Whether the plugin can turn a pod down. */
const rejects = (p: Plugin): boolean => [p.preEnqueue, p.preFilter, p.filter, p.reserve, p.permit, p.preBind].some(Boolean)

function keyOf(queued: QueuedPod): string {
  return queued.info.uid
}
function sooner(a: QueuedPod, b: QueuedPod): boolean {
  return a.notBefore < b.notBefore
}
