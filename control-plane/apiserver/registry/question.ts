/**
 * A question to the store that is put again and again. nats.js' own requests make a timer, several promises and, for each that is answered,
 * an error with its stack: more than the answer costs.
 */
import { createInbox, type Msg } from 'nats'
import type { BusConnection } from '#shared/bus/connection.ts'
import { inboxPrefix } from '#shared/bus/subjects.ts'

export class Question {
  readonly #connection: BusConnection
  readonly #subject: string
  readonly #timeoutMs: number
  readonly #inbox: string
  readonly #timer: NodeJS.Timeout
  #count = 0
  #settle: ((answer: Msg | Error) => void) | undefined
  /** performance.now() at which the answer counts as lost. */
  #until = 0

  constructor(connection: BusConnection, subject: string, timeoutMs: number) {
    this.#connection = connection
    this.#subject = subject
    this.#timeoutMs = timeoutMs
    this.#inbox = createInbox(inboxPrefix(connection.identity))
    connection.nats.subscribe(`${this.#inbox}.*`, { callback: (e, m) => e ?? this.#answered(m) })
    this.#timer = setInterval(() => this.#settle && performance.now() > this.#until && this.#settle(new Error('TIMEOUT')), 100)
    this.#timer.unref()
  }

  /** One at a time. Rejects when no answer came in time, nobody was there to answer, or the question could not be sent. */
  ask(): Promise<Msg> {
    const reply = `${this.#inbox}.${++this.#count}`
    return new Promise((resolve, reject) => {
      this.#until = performance.now() + this.#timeoutMs
      this.#settle = answer => {
        this.#settle = undefined
        if (answer instanceof Error) reject(answer)
        else resolve(answer)
      }
      try {
        this.#connection.nats.publish(this.#subject, '', { reply })
      } catch (e) {
        this.#settle(e as Error)
      }
    })
  }

  #answered(m: Msg): void {
    // The answer to a question that was given up is older than who asks now.
    if (m.subject.slice(this.#inbox.length + 1) !== String(this.#count)) return
    this.#settle?.(m.headers?.code === 503 ? new Error('503') : m)
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
