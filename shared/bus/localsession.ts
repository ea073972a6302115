/** A session whose two sides are in one process. */
import type { Session } from './session.ts'

/** So much of a channel may wait to be read before its sender has to. */
const windowBytes = 256 * 1024

/** One direction of one channel. */
class Pipe {
  readonly #pieces: Uint8Array[] = []
  #bytes = 0
  #ended = false
  #changed = Promise.withResolvers<void>()

  #wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }
  async write(data: Uint8Array, signal: AbortSignal): Promise<void> {
    while (this.#bytes >= windowBytes && !signal.aborted) await this.#changed.promise
    signal.throwIfAborted()
    if (this.#ended) throw new Error('the channel has ended')
    this.#pieces.push(data)
    this.#bytes += data.length
    this.#wake()
  }
  end(): void {
    this.#ended = true
    this.#wake()
  }
  async *read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = this.#pieces.shift()
      if (piece) {
        this.#bytes -= piece.length
        this.#wake()
        yield piece
      } else if (this.#ended) return
      else await this.#changed.promise
    }
  }
}

/** Two sides of one session, the opener's and the other: what one sends the other reads. Either may close it for both. */
export function localSession(open: unknown): [opener: Session, acceptor: Session] {
  const closed = new AbortController()
  const pipes = [new Map<number, Pipe>(), new Map<number, Pipe>()] as const
  const pipeOf = (direction: 0 | 1, channel: number): Pipe => {
    let pipe = pipes[direction].get(channel)
    if (!pipe) {
      pipes[direction].set(channel, (pipe = new Pipe()))
      if (closed.signal.aborted) pipe.end()
    }
    return pipe
  }
  const close = (reason?: string): void => {
    if (closed.signal.aborted) return
    closed.abort(new Error(reason ?? 'closed'))
    for (const direction of pipes) for (const pipe of direction.values()) pipe.end()
  }
  const side = (out: 0 | 1): Session => ({
    open,
    signal: closed.signal,
    send: (channel, data) => pipeOf(out, channel).write(data, closed.signal),
    end: channel => pipeOf(out, channel).end(),
    read: channel => pipeOf(out === 0 ? 1 : 0, channel).read(),
    close,
  })
  return [side(0), side(1)]
}
