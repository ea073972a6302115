/**
 * Pods that wait for a node: active ones by priority and age, ones that back off after a failed attempt, and ones that wait for a change
 * that may help.
 * https://github.com/kubernetes/community/blob/master/contributors/devel/sig-scheduling/scheduling_code_hierarchy_overview.md
 */
import type { Pod } from '#shared/api/core/pod.ts'
import type { ClusterEvent, Plugin } from './framework.ts'

const initialBackoffMs = 1000
const maxBackoffMs = 10_000
/** A pod is tried again after this even when nothing happened, ms. */
const maxUnschedulableMs = 5 * 60_000

export interface QueuedPod {
  pod: Pod
  /** performance.now() when it entered the queue; keeps its place over attempts. */
  since: number
  attempts: number
  /** When it may be tried again after the last attempt. */
  notBefore: number
  /** Who rejected it last; their hints decide which events wake it. */
  rejectedBy: readonly Plugin[]
}

const keyOf = (pod: Pod): string => pod.metadata.uid ?? ''

export class SchedulingQueue {
  readonly #active = new Map<string, QueuedPod>()
  readonly #backoff = new Map<string, QueuedPod>()
  readonly #unschedulable = new Map<string, QueuedPod>()
  /** Being scheduled now: events meanwhile are remembered, since the attempt may have missed them. */
  readonly #inFlight = new Map<string, ClusterEvent[]>()
  readonly #wake: () => void
  #timer: NodeJS.Timeout | undefined

  /** `wake` is called when there is something to pop. */
  constructor(wake: () => void) {
    this.#wake = wake
  }

  /** A new or changed pod without a node. A changed one is tried again, its back-off kept. */
  add(pod: Pod): void {
    const key = keyOf(pod)
    const known = this.#active.get(key) ?? this.#backoff.get(key) ?? this.#unschedulable.get(key)
    if (known && known.pod.metadata.generation === pod.metadata.generation && sameMeta(known.pod, pod)) {
      known.pod = pod
      return
    }
    if (this.#inFlight.has(key)) {
      this.#inFlight.get(key)?.push({ kind: 'PodUpdate', pod })
      return
    }
    this.#take(key)
    this.#enqueue(known ? { ...known, pod } : { pod, since: performance.now(), attempts: 0, notBefore: 0, rejectedBy: [] })
  }

  remove(pod: Pod): void {
    this.#take(keyOf(pod))
  }

  /** The pod to schedule next: the highest priority, then the longest in the queue. */
  pop(): QueuedPod | undefined {
    let best: QueuedPod | undefined
    for (const q of this.#active.values()) {
      const [a, b] = [q.pod.spec.priority ?? 0, best?.pod.spec.priority ?? 0]
      if (!best || a > b || (a === b && q.since < best.since)) best = q
    }
    if (!best) return undefined
    this.#active.delete(keyOf(best.pod))
    this.#inFlight.set(keyOf(best.pod), [])
    best.attempts++
    return best
  }

  /** The attempt is over and the pod needs no further one. */
  done(queued: QueuedPod): void {
    this.#inFlight.delete(keyOf(queued.pod))
  }

  /** The pod fits nowhere: it waits for an event that may help. */
  unschedulable(queued: QueuedPod, rejectedBy: readonly Plugin[]): void {
    const key = keyOf(queued.pod)
    const missed = this.#inFlight.get(key) ?? []
    this.#inFlight.delete(key)
    queued.rejectedBy = rejectedBy
    queued.notBefore = performance.now() + backoffOf(queued.attempts)
    const update = missed.findLast(e => e.kind === 'PodUpdate' && keyOf(e.pod) === key)
    if (update && 'pod' in update) queued.pod = update.pod
    if (missed.some(e => helps(queued, e))) this.#enqueue(queued)
    else this.#unschedulable.set(key, queued)
    this.#schedule()
  }

  /** The attempt failed for no fault of the cluster (an API error): try again after the back-off. */
  failed(queued: QueuedPod): void {
    this.#inFlight.delete(keyOf(queued.pod))
    queued.notBefore = performance.now() + backoffOf(queued.attempts)
    this.#enqueue(queued)
  }

  /** Moves the pods that the event may help. */
  happened(event: ClusterEvent): void {
    for (const events of this.#inFlight.values()) events.push(event)
    for (const [key, queued] of this.#unschedulable) {
      if (!helps(queued, event)) continue
      this.#unschedulable.delete(key)
      this.#enqueue(queued)
    }
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  #enqueue(queued: QueuedPod): void {
    if (queued.notBefore > performance.now()) {
      this.#backoff.set(keyOf(queued.pod), queued)
      this.#schedule()
    } else {
      this.#active.set(keyOf(queued.pod), queued)
      this.#wake()
    }
  }

  #take(key: string): void {
    for (const part of [this.#active, this.#backoff, this.#unschedulable]) part.delete(key)
  }

  /** One timer, for the next back-off or leftover that ends. */
  #schedule(): void {
    clearTimeout(this.#timer)
    const due = Math.min(
      ...[...this.#backoff.values()].map(q => q.notBefore),
      ...[...this.#unschedulable.values()].map(q => q.notBefore + maxUnschedulableMs),
    )
    if (due === Infinity) return
    this.#timer = setTimeout(() => this.#release(), Math.max(0, due - performance.now()) + 1)
    this.#timer.unref()
  }

  #release(): void {
    const now = performance.now()
    for (const [part, extra] of [
      [this.#backoff, 0],
      [this.#unschedulable, maxUnschedulableMs],
    ] as const) {
      for (const [key, queued] of part) {
        if (queued.notBefore + extra > now) continue
        part.delete(key)
        this.#active.set(key, queued)
      }
    }
    if (this.#active.size > 0) this.#wake()
    this.#schedule()
  }
}

const backoffOf = (attempts: number): number => Math.min(initialBackoffMs * 2 ** (attempts - 1), maxBackoffMs)

/** Status changes of a waiting pod (our own condition among them) are no reason to try again. */
const sameMeta = (a: Pod, b: Pod): boolean =>
  JSON.stringify([a.metadata.labels, a.metadata.annotations, a.metadata.deletionTimestamp, a.spec]) ===
  JSON.stringify([b.metadata.labels, b.metadata.annotations, b.metadata.deletionTimestamp, b.spec])

function helps(queued: QueuedPod, event: ClusterEvent): boolean {
  if (event.kind === 'PodUpdate' && keyOf(event.pod) === keyOf(queued.pod)) return true
  return queued.rejectedBy.length === 0 || queued.rejectedBy.some(p => p.mayHelp?.(queued.pod, event) ?? true)
}
