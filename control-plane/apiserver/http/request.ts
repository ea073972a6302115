/** Requests of node's server, of either protocol, as ApiRequest. What few handlers look at is made when they do. */
import type { IncomingMessage } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { bodyTooLarge, maxBodyBytes, type ApiRequest, type RequestBody } from '#shared/bus/transport.ts'
import { bodyRead } from './sessions.ts'

/** What node's server gives of a request. */
export type Incoming = Pick<IncomingMessage, 'method' | 'url' | 'headers'>

const empty = new Uint8Array(0)
// One for all: a reason of its own for each, with a stack, costs more than a small answer.
const clientGone = new Error('the client went away')
const noQuery = new URLSearchParams()

export class HttpRequest implements ApiRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly search: string
  readonly headers: Readonly<Record<string, string | undefined>>
  body: Uint8Array = empty
  readonly incoming: HttpBody | undefined
  readonly #closing: Socket | Writable
  readonly #socket: Socket
  #abort: AbortController | undefined

  /** `source` is what the body is read from, when there is one; `closing` closes when the client is gone or has its answer. */
  constructor(req: Incoming, socket: Socket, source: Readable | undefined, closing: Socket | Writable) {
    this.#socket = socket
    const url = req.url ?? '/'
    const at = url.indexOf('?')
    this.method = req.method ?? 'GET'
    this.path = at < 0 ? url : url.slice(0, at)
    this.search = at < 0 ? '' : url.slice(at)
    this.query = at < 0 ? noQuery : new URLSearchParams(this.search)
    this.headers = req.headers as Record<string, string | undefined>
    this.incoming = source && new HttpBody(source, req.headers['content-length'], closing)
    this.#closing = closing
  }

  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress?.replace(/^::ffff:/, '')
  }

  get signal(): AbortSignal {
    if (!this.#abort) {
      const controller = (this.#abort = new AbortController())
      if (this.#closing.closed || this.#closing.destroyed) controller.abort(clientGone)
      else this.#closing.once('close', () => controller.abort(clientGone))
    }
    return this.#abort.signal
  }
}

class HttpBody implements RequestBody {
  readonly length: number | undefined
  readonly #source: Readable
  /** Node tells a request whose answer is through of nothing any more: its answer closes. */
  readonly #closing: Socket | Writable

  /** Bytes that are handed out. */
  readonly #counted: (bytes: number) => void

  constructor(source: Readable, announced: string | undefined, closing: Socket | Writable) {
    this.#counted = 'session' in source ? bytes => bodyRead(source as ServerHttp2Stream, bytes) : () => {}
    this.#source = source
    this.#closing = closing
    this.length = announced === undefined ? undefined : Number(announced)
  }

  /** Events: iterating over a request costs many times more. */
  whole(): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const source = this.#source
      const over = () => reject(bodyTooLarge())
      if ((this.length ?? 0) > maxBodyBytes) return over()
      const gone = () => reject(new Error('the client went away'))
      if (source.destroyed || this.#closing.destroyed) return gone()
      const chunks: Buffer[] = []
      let size = 0
      source.on('data', (chunk: Buffer) => {
        size += chunk.length
        this.#counted(chunk.length)
        if (size > maxBodyBytes) {
          chunks.length = 0
          source.pause()
          return over()
        }
        chunks.push(chunk)
      })
      source.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size)))
      source.on('error', reject)
      this.#closing.on('close', () => source.readableEnded || gone())
    })
  }

  /** The request itself is not destroyed by who stops reading: its answer is still to come. */
  async *stream(): AsyncIterable<Uint8Array> {
    for await (const chunk of this.#source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      this.#counted(chunk.length)
      yield chunk
    }
  }
}
