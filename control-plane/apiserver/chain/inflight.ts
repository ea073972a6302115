/** Limits how many requests are worked on at once; the rest wait their turn in order, up to a bound, then are told to come back. */
import { StatusError } from '#shared/machinery/status.ts'

export const tooManyRequests = (): StatusError =>
  new StatusError(429, 'TooManyRequests', 'Too many requests, please try again later.', { retryAfterSeconds: 1 })

export class InFlight {
  readonly #limit: number
  readonly #queueLimit: number
  readonly #queue: (() => void)[] = []
  #active = 0
  constructor(limit: number, queueLimit: number) {
    this.#limit = limit
    this.#queueLimit = queueLimit
  }

  get active(): number {
    return this.#active
  }

  /** Takes a place at once, or a promise for one. Throws 429 when the queue is full. */
  enter(): Promise<void> | undefined {
    if (this.#active < this.#limit) {
      this.#active++
      return undefined
    }
    if (this.#queue.length >= this.#queueLimit) throw tooManyRequests()
    return new Promise(resolve => this.#queue.push(resolve))
  }

  /** Gives the place back, to the next in the queue when there is one. */
  leave(): void {
    const next = this.#queue.shift()
    if (next) next()
    else this.#active--
  }
}
