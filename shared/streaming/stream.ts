/** One stream of a SPDY connection: bytes in both directions, ended by each side for itself, or reset by either for both. */

/** What waits to be read; beyond that the whole connection waits. */
const maxQueued = 1 << 20

/** How a stream talks to its connection. */
export interface StreamFrames {
  data(piece: Uint8Array): Promise<void>
  end(): void
  reset(): void
  /** Both directions have ended. */
  over(): void
}

export class SpdyStream {
  readonly id: number
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly #frames: StreamFrames
  readonly #abort = new AbortController()
  #queue: Uint8Array[] = []
  #queued = 0
  #receiving = true
  #sending = true
  #discarding = false
  #wake: (() => void) | undefined
  #room: (() => void) | undefined

  constructor(id: number, headers: ReadonlyMap<string, string>, frames: StreamFrames) {
    this.id = id
    this.headers = headers
    this.#frames = frames
  }

  /** Aborts when the stream was reset or its connection is gone. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** What the client sends, until it ends the stream or the stream is closed. Read once. */
  async *read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = this.#queue.shift()
      if (piece) {
        this.#queued -= piece.length
        this.#room?.()
        yield piece
      } else if (!this.#receiving) return
      else await new Promise<void>(resolve => (this.#wake = resolve))
    }
  }

  /** For streams that only the server writes to. */
  discard(): void {
    this.#discarding = true
    this.#queue = []
    this.#queued = 0
    this.#room?.()
  }

  /** Resolves when the client has room for more; rejects when the stream is closed. */
  async write(data: Uint8Array): Promise<void> {
    this.signal.throwIfAborted()
    if (!this.#sending) throw new Error('the stream has ended')
    await this.#frames.data(data)
  }

  /** No more from this side. */
  end(): void {
    if (!this.#sending) return
    this.#sending = false
    this.#frames.end()
    this.#settle()
  }

  /** Ends both directions at once. */
  reset(): void {
    if (!this.#receiving && !this.#sending) return
    this.#frames.reset()
    this.closed()
    this.#frames.over()
  }

  /** From the connection: data. Resolves when there is room for more. */
  async receive(piece: Uint8Array): Promise<void> {
    if (!this.#receiving || this.#discarding) return
    this.#queue.push(piece)
    this.#queued += piece.length
    this.#wake?.()
    while (this.#queued > maxQueued && this.#receiving) await new Promise<void>(resolve => (this.#room = resolve))
  }

  /** From the connection: the client has ended its side. */
  receivedEnd(): void {
    this.#receiving = false
    this.#wake?.()
    this.#settle()
  }

  /** From the connection: the stream is gone, and what was not read with it. */
  closed(): void {
    this.#receiving = false
    this.#sending = false
    this.#queue = []
    this.#queued = 0
    this.#abort.abort(new Error('the stream is closed'))
    this.#wake?.()
    this.#room?.()
  }

  #settle(): void {
    if (!this.#receiving && !this.#sending) this.#frames.over()
  }
}
