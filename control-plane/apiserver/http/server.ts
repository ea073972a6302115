/**
 * HTTPS, HTTP/1.1 and HTTP/2: node's requests become ApiRequest, answers are written with back-pressure; hostile or dead clients cost
 * little.
 */
import { once } from 'node:events'
import { constants, createSecureServer, type Http2SecureServer, type Http2ServerRequest, type ServerHttp2Stream } from 'node:http2'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { WebSocketServer } from 'ws'
import type { ApiRequest } from '#shared/bus/transport.ts'
import type { Logger } from '#shared/component/log.ts'
import { StatusError, badRequest, tooLarge } from '#shared/machinery/status.ts'
import { certificateUser } from '../authn/certificate.ts'
import { maxBodyBytes, type Handler } from '../chain/chain.ts'
import { statusAnswer, type Answer } from '../chain/response.ts'
import { switchToSpdy } from './spdy.ts'

export interface HttpOptions {
  readonly address: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly certificate: string | Buffer
  readonly key: string | Buffer
  readonly clientAuthority: string | Buffer
  readonly permitPortSharing: boolean
  readonly log: Logger
}

export interface HttpListener {
  readonly port: number
  /** Stops taking connections, lets requests in flight finish for a moment, then closes what is left. */
  close(): Promise<void>
}

// A client that does not read for this long is gone.
const stalledMs = 60_000
const empty = new Uint8Array(0)

/**
 * Reads a body of at most the limit; rejects with 413 as soon as it is known, or when the client goes away. Events: iterating over a
 * request costs many times more.
 */
function readBody(req: Readable, announced: string | undefined): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const over = () => reject(tooLarge(`Request entity too large: limit is ${maxBodyBytes}`))
    if (Number(announced ?? 0) > maxBodyBytes) return over()
    const chunks: Buffer[] = []
    let size = 0
    req.on('data', (chunk: Buffer) => {
      size += chunk.length
      chunks.push(chunk)
      if (size <= maxBodyBytes) return
      req.pause()
      over()
    })
    req.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size)))
    req.on('error', reject)
    req.on('close', () => req.readableEnded || reject(new Error('the client went away')))
  })
}

const noQuery = new URLSearchParams()

/** What node's server gives of a request, of either protocol. */
type Incoming = Pick<IncomingMessage, 'method' | 'url' | 'headers'>

/** A request of node's server. What few handlers look at is made when they do. */
class HttpRequest implements ApiRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: Uint8Array
  readonly #closing: Socket | Writable
  #abort: AbortController | undefined

  /** `closing` closes when the client is gone or has its answer. */
  constructor(req: Incoming, body: Uint8Array, closing: Socket | Writable) {
    const url = req.url ?? '/'
    const at = url.indexOf('?')
    this.method = req.method ?? 'GET'
    this.path = at < 0 ? url : url.slice(0, at)
    this.query = at < 0 ? noQuery : new URLSearchParams(url.slice(at + 1))
    this.headers = req.headers as Record<string, string | undefined>
    this.body = body
    this.#closing = closing
  }

  get signal(): AbortSignal {
    if (!this.#abort) {
      const controller = (this.#abort = new AbortController())
      if (this.#closing.closed || this.#closing.destroyed) controller.abort()
      else this.#closing.once('close', () => controller.abort())
    }
    return this.#abort.signal
  }
}

/** Waits until the client reads again; false when it is gone or does not. */
async function drained(res: Writable): Promise<boolean> {
  if (res.destroyed || res.writableEnded) return false
  return new Promise(resolve => {
    const done = (ok: boolean) => () => {
      clearTimeout(timer)
      res.off('drain', onDrain)
      res.off('close', onClose)
      resolve(ok)
    }
    const onDrain = done(true)
    const onClose = done(false)
    const timer = setTimeout(done(false), stalledMs)
    res.on('drain', onDrain)
    res.on('close', onClose)
  })
}

type Headers = Record<string, string>

/** Where an answer goes: the body to `body`, after its head. */
interface Outgoing {
  readonly body: Writable
  /** `streamed` answers show their head before they have a body. */
  head(code: number, headers: Headers, streamed: boolean): void
}

const ofHttp1 = (res: ServerResponse): Outgoing => ({
  body: res,
  head(code, headers, streamed) {
    res.writeHead(code, headers)
    if (streamed) res.flushHeaders()
  },
})

const ofHttp2 = (stream: ServerHttp2Stream): Outgoing => ({
  body: stream,
  head(code, { connection: _connection, ...headers }) {
    stream.respond({ ':status': code, ...headers })
    // What is left of a body that was refused is not waited for.
    if (!stream.endAfterHeaders) stream.once('finish', () => stream.readableEnded || stream.close(constants.NGHTTP2_NO_ERROR))
  },
})

async function send({ body: res, head }: Outgoing, answer: Answer): Promise<void> {
  const { body } = answer
  if (res.destroyed) return
  if (body instanceof Uint8Array) {
    answer.headers['content-length'] = String(body.length)
    head(answer.code, answer.headers, false)
    // The answer to HEAD ends with its head.
    if (!res.writableEnded) res.end(body)
    return
  }
  head(answer.code, answer.headers, true)
  const pieces = body[Symbol.asyncIterator]()
  // An iterator that waits for an event that never comes must hear that its reader is gone.
  res.once('close', () => void pieces.return?.()?.then(undefined, () => {}))
  for (;;) {
    const piece = await pieces.next()
    if (piece.done || res.destroyed) break
    if (!res.write(piece.value) && !(await drained(res))) {
      res.destroy()
      await pieces.return?.()
      return
    }
  }
  if (!res.destroyed) res.end()
}

async function listen(server: Http2SecureServer, options: HttpOptions): Promise<void> {
  const failed = once(server, 'error').then(([error]) => Promise.reject(error as Error))
  failed.catch(() => {})
  server.listen({ host: options.address, port: options.port, reusePort: options.permitPortSharing, backlog: 1024 })
  await Promise.race([once(server, 'listening'), failed])
}

export async function serveHttps(handler: Handler, options: HttpOptions): Promise<HttpListener> {
  const { log } = options
  const server = createSecureServer({
    allowHTTP1: true,
    key: options.key,
    cert: options.certificate,
    ca: options.clientAuthority,
    requestCert: true,
    rejectUnauthorized: false,
    // As upstream. Large answers wait in memory, in which the session's own limit would count them.
    settings: { maxConcurrentStreams: 250, initialWindowSize: 256 * 1024 },
    maxSessionMemory: 1000,
    minVersion: 'TLSv1.2',
    noDelay: true,
    // For HTTP/1.1; the types do not know them.
    ...({ maxHeaderSize: 1024 * 1024, headersTimeout: 32_000, requestTimeout: 0, keepAliveTimeout: 90_000 } as object),
  })
  const sockets = new Set<Socket>()
  let active = 0
  const upgrades = new WebSocketServer({
    noServer: true,
    maxPayload: 8 * 1024 * 1024,
    clientTracking: false,
    handleProtocols: (offered, req) => chosenProtocol(offered, served.get(req)),
  })
  const served = new WeakMap<IncomingMessage, readonly string[]>()
  const caller = (socket: Socket) => {
    const user = certificateUser(socket as TLSSocket)
    return user === 'none' ? undefined : user
  }

  /** `source` is what the body is read from, when there is one. */
  async function answer(req: Incoming, socket: Socket, source: Readable | undefined, out: Outgoing): Promise<void> {
    active++
    let counted = true
    try {
      let body: Uint8Array = empty
      let result: Answer
      try {
        if (source) body = await readBody(source, req.headers['content-length'])
        result = await handler(new HttpRequest(req, body, out.body), caller(socket))
      } catch (error) {
        if (!(error instanceof StatusError)) throw error
        result = statusAnswer(error.status)
        // The rest of a body that is too large is not read.
        result.headers['connection'] = 'close'
      }
      // A stream ends when its server does; nobody waits for it.
      if (!(result.body instanceof Uint8Array)) {
        counted = false
        active--
      }
      await send(out, result)
    } catch (error) {
      // The client went away in the middle of its request or of the answer.
      log.debug({ err: error, path: req.url }, 'connection aborted')
      out.body.destroy()
    } finally {
      if (counted) active--
    }
  }

  async function upgrade(req: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const result = await handler(new HttpRequest(req, empty, socket), caller(socket))
    if (result.spdy) return switchToSpdy(socket, head, result)
    if (result.upgrade) {
      const take = result.upgrade
      if (result.protocols) served.set(req, result.protocols)
      upgrades.handleUpgrade(req, socket, head, websocket => {
        websocket.on('error', error => log.debug({ err: error, path: req.url }, 'websocket failed'))
        take(websocket)
      })
      return
    }
    const body = result.body instanceof Uint8Array ? result.body : empty
    const lines = Object.entries({ ...result.headers, 'content-length': String(body.length), connection: 'close' }).map(
      ([k, v]) => `${k}: ${v}\r\n`,
    )
    socket.write(`HTTP/1.1 ${result.code} ${statusText(result.code)}\r\n${lines.join('')}\r\n`)
    socket.end(body)
  }

  function request(req: IncomingMessage | Http2ServerRequest, res: unknown): void {
    if ('stream' in req) {
      const { stream } = req
      stream.on('error', error => log.debug({ err: error, path: req.url }, 'stream failed'))
      void answer(req, req.socket, stream.endAfterHeaders ? undefined : stream, ofHttp2(stream))
    } else {
      const { headers } = req
      const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
      void answer(req, req.socket, hasBody ? req : undefined, ofHttp1(res as ServerResponse))
    }
  }
  server.on('request', request)
  server.on('sessionError', error => log.debug({ err: error }, 'HTTP/2 session failed'))
  server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    upgrade(req, socket, head).catch((error: unknown) => {
      log.debug({ err: error, path: req.url }, 'upgrade failed')
      socket.destroy()
    })
  })
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  // Handshakes that fail and requests that cannot be parsed end their connection and nothing else.
  server.on('tlsClientError', (error, socket) => {
    log.debug({ err: error }, 'TLS handshake failed')
    socket.destroy()
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
    const status =
      error.code === 'HPE_HEADER_OVERFLOW'
        ? new StatusError(431, 'RequestHeaderFieldsTooLarge', 'request header fields too large')
        : badRequest('malformed HTTP request')
    const body = JSON.stringify(status.status)
    socket.end(
      `HTTP/1.1 ${status.code} ${statusText(status.code)}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    )
  })
  await listen(server, options)
  server.on('error', error => log.error({ err: error }, 'HTTPS server failed'))
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      const until = Date.now() + 1000
      while (active > 0 && Date.now() < until) await new Promise(resolve => setTimeout(resolve, 10))
      for (const socket of sockets) socket.destroy()
      await closed
      upgrades.close()
    },
  }
}

/** Newest first; the client's offer decides what is possible. */
const protocols: readonly string[] = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v3.channel.k8s.io',
  'v2.channel.k8s.io',
  'channel.k8s.io',
  'base64.channel.k8s.io',
  'v4.base64.channel.k8s.io',
]
const chosenProtocol = (offered: Set<string>, served = protocols): string | false => served.find(p => offered.has(p)) ?? false

const texts: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}
const statusText = (code: number): string => texts[code] ?? 'Status'
