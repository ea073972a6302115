/**
 * Writes: compare-and-swap by publishing with the sequence that is replaced. A write is done when the cache has applied it, which its write
 * id tells; the acknowledgement is needed for refusals only. Publishing again after a lost answer is safe: the server swaps once.
 */
import { createInbox, nuid, type Msg } from 'nats'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { BusConnection } from '#shared/bus/connection.ts'
import { inboxPrefix } from '#shared/bus/subjects.ts'
import { ShortLived } from '#shared/machinery/shortlived.ts'
import { timeout, tooLarge, unavailable } from '#shared/machinery/status.ts'
import { WriteConflict, type Stored } from './registry.ts'
import { lastMessage, writeHeaders, wrongLastSequence } from './stream.ts'

type Outcome =
  | { kind: 'applied'; stored: Stored }
  | { kind: 'stored' }
  | { kind: 'conflict' }
  | { kind: 'refused'; why: string }
  | { kind: 'absent' }
  | { kind: 'unknown' }

interface Pending {
  readonly object: KubeObject | undefined
  applied: Stored | undefined
  settle: ((outcome: Outcome) => void) | undefined
  /** When the present attempt counts as lost, by performance.now(). */
  until: number
}

/** What the writer needs of the cache. */
export interface WriterView {
  /** The live object of the subject now. */
  current(): Stored | undefined
  tombstone(): number
  fresh(): Promise<void>
}

const attemptMs = 2_000
/** Room for the headers and the subject of a message. */
const headerBytes = 4096
const shuttingDown: Outcome = { kind: 'refused', why: 'the API server is shutting down' }

export class Writer {
  /** Begins every write id of this process. */
  readonly id = nuid.next()
  readonly #connection: BusConnection
  readonly #deadlineMs: number
  readonly #pending = new ShortLived<string, Pending>()
  readonly #inbox: string
  readonly #stop: (() => void)[] = []
  #count = 0
  #closed = false
  /** A write was given up without a word from the store, and there was none since. */
  #unanswered = false
  /** When it last said anything of a write, ms. */
  #heard = 0

  constructor(connection: BusConnection, deadlineMs: number) {
    this.#connection = connection
    this.#deadlineMs = deadlineMs
    this.#inbox = createInbox(inboxPrefix(connection.identity))
    const subscription = connection.nats.subscribe(`${this.#inbox}.*`, { callback: (e, m) => e ?? this.#acknowledged(m) })
    const timer = setInterval(() => this.#expire(performance.now()), 100)
    timer.unref()
    // What was in flight when the connection broke is unknown: ask as soon as there is somebody to ask.
    this.#stop.push(
      () => subscription.unsubscribe(),
      () => clearInterval(timer),
      connection.onChange(connected => {
        if (!connected) return
        this.#unanswered = false
        this.#expire(Infinity)
      }),
    )
  }

  /** False when the store does not answer writes: a nats-server whose disk was full may answer all else. */
  get answered(): boolean {
    return !this.#unanswered
  }

  close(): void {
    this.#closed = true
    for (const stop of this.#stop) stop()
    for (const p of this.#pending.values()) p.settle?.(shuttingDown)
  }

  /** The object behind a write id, when it is a write of this process that is not settled. */
  objectOf(writeId: string): KubeObject | undefined {
    return this.#pending.get(writeId)?.object
  }

  isPending(writeId: string): boolean {
    return this.#pending.has(writeId)
  }

  /** The cache has applied a write: what it stored, or for a removal the last object with the removal's version. */
  applied(writeId: string, stored: Stored): void {
    const p = this.#pending.get(writeId)
    if (!p) return
    p.applied = stored
    p.settle?.({ kind: 'applied', stored })
  }

  /**
   * Writes `data` (empty removes) over the version `expected`, 0 for none. Throws WriteConflict; 413 when it is too large, 503 or 504 when
   * the store did not answer in time, the write may then have happened.
   */
  async write(subject: string, data: Uint8Array, object: KubeObject | undefined, expected: number, view: WriterView): Promise<Stored> {
    // With its headers it must fit into one message.
    if (data.length + headerBytes > (this.#connection.nats.info?.max_payload ?? Infinity))
      throw tooLarge('etcdserver: request is too large')
    const known = view.current()
    if (expected === 0 ? known : known && known.version > expected) {
      // The cache is never ahead of the stream: a newer version is certain. An existing one may be gone by now.
      if (expected === 0) await view.fresh()
      const now = view.current()
      if (now) throw new WriteConflict(now)
    }
    const id = `${this.id}.${++this.#count}`
    const pending: Pending = { object, applied: undefined, settle: undefined, until: 0 }
    this.#pending.set(id, pending)
    try {
      return await this.#attempts(subject, data, expected, view, id, pending)
    } finally {
      this.#pending.delete(id)
    }
  }

  async #attempts(subject: string, data: Uint8Array, expected: number, view: WriterView, id: string, pending: Pending): Promise<Stored> {
    const began = performance.now()
    const end = began + this.#deadlineMs
    let after = expected || view.tombstone()
    let known = false
    for (let wait = 20; performance.now() < end; wait = Math.min(wait * 2, 500)) {
      const outcome = await this.#publish(subject, data, expected, after, id, pending, end)
      if (outcome.kind === 'applied') return outcome.stored
      if (outcome.kind === 'absent' || outcome.kind === 'unknown') this.#connection.elsewhere(performance.now() - began)
      if (outcome.kind === 'refused') throw unavailable(`the store refused the write: ${outcome.why}`)
      if (outcome.kind === 'absent') {
        await sleep(wait)
        continue
      }
      if (outcome.kind !== 'stored') {
        const last = await lastMessage(this.#connection.nats, subject, Math.max(50, Math.min(1_000, end - performance.now()))).catch(
          () => null,
        )
        if (pending.applied) return pending.applied
        if (last === null) {
          await sleep(wait)
          continue
        }
        if (last?.writeId !== id) {
          // Not stored yet: publish again. It may still be under way, but only one of the two can win.
          if ((last?.seq ?? 0) === after) {
            await sleep(wait)
            continue
          }
          // A leader that was cut off or is new may speak of what was before: what the cache has, once it is fresh, decides.
          await view.fresh()
          if (pending.applied) return pending.applied
          const now = view.current()
          if ((now?.version ?? 0) !== expected) throw new WriteConflict(now)
          if (expected === 0) after = last?.seq ?? 0
          await sleep(wait)
          continue
        }
      }
      known = true
      const applied = await this.#settled(pending, end)
      if (applied.kind === 'applied') return applied.stored
      if (applied.kind === 'refused') break
    }
    if (known) throw timeout('the write is stored, but this API server lags behind')
    this.#unanswered ||= this.#heard < began
    throw timeout('the store did not answer in time; the outcome of the write is unknown')
  }

  async #publish(
    subject: string,
    data: Uint8Array,
    replaces: number,
    after: number,
    id: string,
    pending: Pending,
    end: number,
  ): Promise<Outcome> {
    const settled = this.#settled(pending, Math.min(end, performance.now() + attemptMs))
    if (pending.applied || this.#closed) return settled
    const token = id.slice(id.indexOf('.') + 1)
    const refused = (e: Error) => pending.settle?.({ kind: 'refused', why: e.message })
    this.#connection.publish(subject, data, { reply: `${this.#inbox}.${token}`, headers: writeHeaders(id, replaces, after) }, refused)
    return settled
  }

  #settled(pending: Pending, until: number): Promise<Outcome> {
    if (pending.applied) return Promise.resolve({ kind: 'applied', stored: pending.applied })
    if (this.#closed) return Promise.resolve(shuttingDown)
    return new Promise(resolve => {
      pending.until = until
      pending.settle = outcome => {
        pending.settle = undefined
        resolve(outcome)
      }
    })
  }

  #acknowledged(m: Msg): void {
    if (m.headers?.code !== 503) {
      this.#heard = performance.now()
      this.#unanswered = false
    }
    const p = this.#pending.get(`${this.id}.${m.subject.slice(this.#inbox.length + 1)}`)
    if (!p) return
    if (m.headers?.code === 503) return p.settle?.({ kind: 'absent' })
    const answer = parseAck(m)
    if (answer === undefined) return
    if (!answer.error) p.settle?.({ kind: 'stored' })
    else if (answer.error.err_code === wrongLastSequence) p.settle?.({ kind: 'conflict' })
    else if (answer.error.code === 503) p.settle?.({ kind: 'absent' })
    else p.settle?.({ kind: 'refused', why: answer.error.description })
  }

  #expire(now: number): void {
    for (const p of this.#pending.values()) if (p.until < now) p.settle?.({ kind: 'unknown' })
  }
}

interface PubAck {
  error?: { code: number; err_code?: number; description: string }
}
function parseAck(m: Msg): PubAck | undefined {
  try {
    return m.json<PubAck>()
  } catch {
    return undefined
  }
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
