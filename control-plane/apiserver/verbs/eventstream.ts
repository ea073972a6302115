/** The body of a watch: bytes queued for a reader who takes them at its own pace, up to a bound. */

/** A reader who is further behind than this is dropped: it lists and watches again, as after a lost connection. */
const maxQueuedBytes = 32 * 1024 * 1024
/** Small events are handed over together. */
const maxPiece = 64 * 1024

export class EventStream implements AsyncIterableIterator<Uint8Array> {
  #queue: Buffer[] = []
  #bytes = 0
  #ended = false
  #wake: (() => void) | undefined
  readonly #closers: (() => void)[] = []
  #closed = false

  /** Adds bytes in parts; `bounded` is false for what is sent at the start, which is as long as it is. */
  push(parts: readonly Buffer[], bounded = true): void {
    if (this.#ended) return
    if (bounded && this.#bytes > maxQueuedBytes) return this.drop()
    for (const part of parts) {
      this.#queue.push(part)
      this.#bytes += part.length
    }
    this.#wake?.()
  }

  /** No more comes; what is queued is still delivered. */
  end(): void {
    this.#ended = true
    this.#close()
    this.#wake?.()
  }

  /** Ends at once and forgets what is queued. */
  drop(): void {
    this.#queue = []
    this.#bytes = 0
    this.end()
  }

  /** Calls `closer` once when the stream has ended, by either side. */
  onClose(closer: () => void): void {
    if (this.#closed) closer()
    else this.#closers.push(closer)
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const closer of this.#closers) closer()
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    for (;;) {
      const piece = this.#take()
      if (piece) return { done: false, value: piece }
      if (this.#ended) return { done: true, value: undefined }
      await new Promise<void>(resolve => (this.#wake = resolve))
      this.#wake = undefined
    }
  }

  #take(): Uint8Array | undefined {
    const queue = this.#queue
    if (queue.length === 0) return undefined
    if (queue.length === 1) {
      this.#queue = []
      this.#bytes = 0
      return queue[0]
    }
    let count = 0
    let size = 0
    while (count < queue.length && (count === 0 || size + queue[count]!.length <= maxPiece)) size += queue[count++]!.length
    const taken = queue.splice(0, count)
    this.#bytes -= size
    return taken.length === 1 ? taken[0] : Buffer.concat(taken, size)
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.drop()
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
