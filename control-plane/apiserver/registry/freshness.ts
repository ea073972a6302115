/** Waiting for the cache to pass a point of the stream, and finding the point that makes a read current. */
import { nuid, type Msg } from 'nats'
import type { BusConnection } from '#shared/bus/connection.ts'
import { atEndOfTurn } from '#shared/bus/endofturn.ts'
import { timeout } from '#shared/machinery/status.ts'
import { Question } from './question.ts'
import { lastSequenceOf, streamInfo } from './stream.ts'

interface Waiter {
  readonly version: number
  readonly resolve: () => void
  readonly timer: NodeJS.Timeout
}

/** Those who wait for the cache. */
export class Reached {
  #waiters: Waiter[] = []
  #lowest = Infinity

  wait(version: number, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter(w => w !== waiter)
        reject(timeout(`the watch cache did not reach version ${version} in time`))
      }, timeoutMs)
      const waiter: Waiter = { version, resolve, timer }
      this.#waiters.push(waiter)
      this.#lowest = Math.min(this.#lowest, version)
    })
  }

  passed(version: number): void {
    if (version < this.#lowest) return
    const waiters = this.#waiters
    this.#waiters = []
    this.#lowest = Infinity
    for (const w of waiters) {
      if (w.version > version) {
        this.#waiters.push(w)
        this.#lowest = Math.min(this.#lowest, w.version)
        continue
      }
      clearTimeout(w.timer)
      w.resolve()
    }
  }
}

/** Readers wait this long at most for others to share their question, ms. */
const gatherMs = 1

/**
 * The newest sequence, for any number of readers at once: one question serves all who asked before it was put. A question costs as much as
 * several reads, so it is put at the end of a turn of the event loop, and only when about half of those who read lately are there again:
 * while their question is under way the others gather. One who reads alone waits for nobody. With several servers the one that answers may
 * be behind, so a marker is published instead: what was acknowledged before it comes before it.
 */
export class Newest {
  readonly #connection: BusConnection
  readonly #question: Question
  readonly #sequenceOf: (answer: Msg) => number
  readonly #deadlineMs: number
  /** Those whose question is not put yet. */
  #next: PromiseWithResolvers<number> | undefined
  #waiting = 0
  /** How many shared the last question, and the one before. */
  #last = 0
  #before = 0
  #asking = false
  #late: NodeJS.Timeout | undefined
  /** The question will be put at the end of the turn. */
  #endOfTurn = false

  constructor(connection: BusConnection, replicas: number, deadlineMs: number) {
    this.#connection = connection
    this.#question = new Question(connection, replicas > 1 ? markerSubject : streamInfo, 1_000)
    this.#sequenceOf = replicas > 1 ? markerSequence : lastSequenceOf
    this.#deadlineMs = deadlineMs
  }

  sequence(): Promise<number> {
    this.#next ??= Promise.withResolvers()
    this.#waiting++
    this.#consider()
    return this.#next.promise
  }

  #consider(): void {
    if (this.#waiting === 0 || this.#asking || this.#endOfTurn) return
    if (2 * this.#waiting >= this.#last + this.#before) {
      this.#endOfTurn = true
      atEndOfTurn(() => this.#endOfTurn && this.#put())
    } else this.#late ??= setTimeout(() => this.#put(), gatherMs)
  }

  #put(): void {
    clearTimeout(this.#late)
    this.#late = undefined
    this.#endOfTurn = false
    const { resolve, reject } = this.#next!
    this.#before = this.#last
    this.#last = this.#waiting
    this.#next = undefined
    this.#waiting = 0
    this.#asking = true
    const answered = () => {
      this.#asking = false
      this.#consider()
    }
    this.#ask().then(resolve, reject).finally(answered)
  }

  async #ask(): Promise<number> {
    const began = performance.now()
    const end = began + this.#deadlineMs
    for (;;) {
      try {
        return this.#sequenceOf(await this.#question.ask())
      } catch (e) {
        if (performance.now() > end || this.#connection.nats.isClosed())
          throw timeout(`the store did not answer in time: ${(e as Error).message}`)
        this.#connection.elsewhere(performance.now() - began)
        await new Promise(resolve => setTimeout(resolve, 50))
      }
    }
  }

  close(): void {
    this.#question.close()
  }
}

const markerSubject = `registry.marker.${nuid.next()}`

function markerSequence(answer: Msg): number {
  const { seq, error } = answer.json<{ seq?: number; error?: { description: string } }>()
  if (seq === undefined) throw new Error(error?.description ?? 'no sequence')
  return seq
}
