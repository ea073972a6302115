/** The body of an answer that comes in pieces. */
import { cost, windowCost } from './frames.ts'

/** The server hears of what was consumed when it is that much, by `cost`. */
const ackEvery = windowCost / 8

/** The pieces of an answer as they come; read once. */
export class Body implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array> {
  readonly #consumed: (total: number) => void
  readonly #dropped: () => void
  #pieces: Uint8Array[] = []
  #waiting: { resolve: (r: IteratorResult<Uint8Array>) => void; reject: (e: Error) => void } | undefined
  #done = false
  #error: Error | undefined
  #total = 0
  #acked = 0
  #callbacks: (() => void)[] = []

  constructor(consumed: (total: number) => void, dropped: () => void) {
    this.#consumed = consumed
    this.#dropped = dropped
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return this
  }

  whenDone(callback: () => void): void {
    if (this.#done) callback()
    else this.#callbacks.push(callback)
  }

  push(piece: Uint8Array): void {
    if (this.#done) return
    if (piece.length === 0) return
    const waiting = this.#waiting
    if (!waiting) return void this.#pieces.push(piece)
    this.#waiting = undefined
    this.#count(piece)
    waiting.resolve({ value: piece, done: false })
  }

  /** No more comes; with an error, what has come is still handed out before it. */
  finish(error?: Error): void {
    if (this.#done) return
    this.#done = true
    this.#error = error
    for (const callback of this.#callbacks) callback()
    const waiting = this.#waiting
    this.#waiting = undefined
    if (!waiting) return
    if (error) waiting.reject(error)
    else waiting.resolve({ value: undefined, done: true })
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    const piece = this.#pieces.shift()
    if (piece) {
      this.#count(piece)
      return { value: piece, done: false }
    }
    if (this.#error) {
      const error = this.#error
      this.#error = undefined
      throw error
    }
    if (this.#done) return { value: undefined, done: true }
    return new Promise((resolve, reject) => (this.#waiting = { resolve, reject }))
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.#pieces = []
    this.#error = undefined
    if (!this.#done) this.#dropped()
    return { value: undefined, done: true }
  }

  #count(piece: Uint8Array): void {
    this.#total += cost(piece.length)
    if (this.#total - this.#acked < ackEvery || this.#done) return
    this.#acked = this.#total
    this.#consumed(this.#total)
  }
}
