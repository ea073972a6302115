/** One answer on its way to a client: numbered frames, and no more under way than the client has room for. */
import type { BusConnection } from '#shared/bus/connection.ts'
import { cost, encodeFrame, Flag, maxPiece, windowCost, type Head } from '#shared/bus/frames.ts'
import type { ApiResponse } from '#shared/bus/transport.ts'

const nothing = new Uint8Array()

export class Answer {
  readonly #connection: BusConnection
  readonly #reply: string
  readonly #via: string
  readonly #ended: () => void
  readonly #abort = new AbortController()
  #frames = 0
  #sent = 0
  #acked = 0
  /** What the sender waits for: room, or the next piece. Called when there is room or when it is over. */
  #awaited: (() => void) | undefined
  #full = false
  #done = false
  #headSent = false
  #iterator: AsyncIterator<Uint8Array> | undefined

  /** `ended` is called once, when nothing more will be sent. */
  constructor(connection: BusConnection, reply: string, via: string, ended: () => void) {
    this.#connection = connection
    this.#reply = reply
    this.#via = via
    this.#ended = ended
  }

  /** Aborts when the client is gone, cancelled, or did not want to wait any longer. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }
  get frames(): number {
    return this.#frames
  }

  accept(): void {
    if (!this.#headSent) this.#frame(Flag.accepted, Buffer.from(this.#via))
  }

  /** Sends all of a response; resolves when it is sent or the client is gone. */
  async send(response: ApiResponse): Promise<void> {
    const { body } = response
    const head: Head = { code: response.code, headers: response.headers, via: this.#via }
    if (body instanceof Uint8Array && body.length <= maxPiece) {
      this.#frame(Flag.head | Flag.end, body, head)
      return this.#finish()
    }
    const iterator = body instanceof Uint8Array ? pieces(body) : body[Symbol.asyncIterator]()
    if (this.#done) return void (await iterator.return?.())
    this.#frame(Flag.head, nothing, head)
    this.#headSent = true
    this.#iterator = iterator
    try {
      while (!this.#done) {
        const { value, done } = await this.#next(iterator)
        if (done) break
        for (let at = 0; at < value.length && !this.#done; at += maxPiece) await this.#piece(value.subarray(at, at + maxPiece))
      }
    } catch (e) {
      if (!this.#done) this.break((e as Error).message)
      return
    }
    if (this.#done) return
    this.#frame(Flag.end, nothing)
    this.#finish()
  }

  /** The next piece, or the end as soon as nobody waits for it: the handler may be slow to notice. */
  #next(iterator: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
    return new Promise((resolve, reject) => {
      this.#awaited = () => resolve({ value: undefined, done: true })
      iterator.next().then(resolve, reject)
    })
  }

  async #piece(piece: Uint8Array): Promise<void> {
    this.#frame(0, piece)
    this.#sent += cost(piece.length)
    if (this.#sent - this.#acked <= windowCost || this.#done) return
    this.#full = true
    await new Promise<void>(resolve => (this.#awaited = resolve))
    this.#full = false
  }

  /** The client has consumed that much in total. */
  acknowledge(total: number): void {
    if (total <= this.#acked) return
    this.#acked = Math.min(total, this.#sent)
    if (this.#full && this.#sent - this.#acked <= windowCost) this.#wake()
  }

  /** Nobody waits for it any more. */
  abort(why: string): void {
    if (this.#done) return
    // A deadline that passes before the handler is through gets its answer from the handler's failure.
    if (why !== 'deadline') this.#finish()
    this.#abort.abort(new Error(why))
  }

  /** Ends it with an error at the client. */
  break(why: string): void {
    if (this.#done) return
    this.#frame(Flag.broken | Flag.end, Buffer.from(why))
    this.#finish()
    this.#abort.abort(new Error(why))
  }

  #finish(): void {
    if (this.#done) return
    this.#done = true
    this.#wake()
    this.#ended()
    this.#iterator?.return?.()?.catch(() => {})
  }

  #wake(): void {
    const awaited = this.#awaited
    this.#awaited = undefined
    awaited?.()
  }

  #frame(flags: number, payload: Uint8Array, head?: Head): void {
    // On a connection that is being closed it is lost: the client notices by itself.
    if (!this.#done) this.#connection.publish(this.#reply, [encodeFrame(flags, this.#frames++, head), payload])
  }
}

async function* pieces(body: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < body.length; at += maxPiece) yield body.subarray(at, at + maxPiece)
}
