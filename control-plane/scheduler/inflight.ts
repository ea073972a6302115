/**
 * Pods that are being scheduled, and what happened since each of them was popped: its cycle may have missed it. The events are in one list,
 * of which each pod has a position.
 */
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import type { ClusterEvent } from './clusterevent.ts'

/** With more events than this the oldest are forgotten, and who needed them is tried again instead. */
const maxEvents = 10_000

interface Attempt {
  /** The newest version of the pod that came meanwhile. */
  latest?: Pod
  /** Deleted, bound, or of no interest any more: it must not come back. */
  gone: boolean
}
export interface Missed {
  latest: Pod | undefined
  gone: boolean
  /** 'all' when it is not known any more what was missed. */
  events: readonly ClusterEvent[] | 'all'
}

export class InFlight {
  readonly #attempts = new Map<string, Attempt>()
  /** Of the pods for which events are kept, oldest first. */
  readonly #positions = new Map<string, number>()
  #events: ClusterEvent[] = []
  /** The position of the first event in the list. */
  #first = 0

  get size(): number {
    return this.#attempts.size
  }
  /** How many events are held. */
  get held(): number {
    return this.#events.length
  }
  has(uid: string): boolean {
    return this.#attempts.has(uid)
  }
  start(uid: string): void {
    this.#attempts.set(uid, { gone: false })
    this.#positions.set(uid, this.#first + this.#events.length)
  }
  /** The pod changed meanwhile. */
  updated(uid: string, pod: Pod): void {
    const attempt = this.#attempts.get(uid)
    if (!attempt) return
    attempt.latest = pod
    attempt.gone = false
  }
  gone(uid: string): void {
    const attempt = this.#attempts.get(uid)
    if (attempt) attempt.gone = true
  }
  happened(event: ClusterEvent): void {
    if (this.#positions.size === 0) return
    this.#events.push(event)
    if (this.#events.length > maxEvents) this.#drop(maxEvents / 2)
  }
  /** The pod has its node: no event can help it any more, and none is kept for it. */
  decided(uid: string): void {
    if (this.#positions.delete(uid)) this.#prune()
  }
  /** The attempt is over. Undefined when the pod is not in flight. */
  finish(uid: string): Missed | undefined {
    const attempt = this.#attempts.get(uid)
    if (!attempt) return undefined
    this.#attempts.delete(uid)
    const position = this.#positions.get(uid)
    const events = position === undefined ? [] : position < this.#first ? 'all' : this.#events.slice(position - this.#first)
    this.decided(uid)
    return { latest: attempt.latest, gone: attempt.gone, events }
  }

  #prune(): void {
    const oldest = this.#positions.values().next().value
    const unused = oldest === undefined ? this.#events.length : oldest - this.#first
    // Not at every pod, so that it costs nothing for each.
    if (unused === this.#events.length || unused > 1000) this.#drop(unused)
  }
  #drop(count: number): void {
    if (count <= 0) return
    this.#events.splice(0, count)
    this.#first += count
  }
}
