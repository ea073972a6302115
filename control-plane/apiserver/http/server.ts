/** HTTPS, HTTP/1.1 and HTTP/2: node's requests go to the handler chain; hostile or dead clients cost little. */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createSecureServer, type Http2SecureServer, type Http2ServerRequest } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import type { Readable } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Logger } from '#shared/component/log.ts'
import { headTooLarge, maxBodyBytes, maxHeadBytes, type ApiRequest } from '#shared/bus/transport.ts'
import { badRequest } from '#shared/machinery/status.ts'
import { authoritiesOf, certificateUser, type Authorities } from '#shared/component/certificateuser.ts'
import { headOf } from '#shared/streaming/upgrade.ts'
import type { Caller } from '../authn/authenticator.ts'
import { frontProxyUser, type FrontProxy } from '../authn/requestheader.ts'
import { Arrivals } from '../chain/arrivals.ts'
import type { Handler } from '../chain/chain.ts'
import { RunQueue } from '../chain/runqueue.ts'
import { ofHttp1, ofHttp2, send, type Outgoing } from './answer.ts'
import { HttpRequest, type Incoming } from './request.ts'
import { guardSessions } from './sessions.ts'
import { guardStuck } from './stuck.ts'
import { newUpgrades } from './upgrade.ts'

export interface HttpOptions {
  readonly address: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly certificate: string | Buffer
  readonly key: string | Buffer
  readonly clientAuthority: string | Buffer
  /** Whom front proxies are known by; undefined when there are none. `authority` is their authority in PEM. */
  readonly frontProxy?: (FrontProxy & { readonly authority: string }) | undefined
  readonly permitPortSharing: boolean
  /** Where requests wait until they are begun; by default one of its own. */
  readonly arrivals?: Arrivals
  readonly log: Logger
}

export interface HttpListener {
  readonly port: number
  /** Stops taking connections, lets requests in flight finish for a moment, then closes what is left. */
  close(): Promise<void>
}

/** A client has so long for a TLS handshake, and then for the head of a request. */
const headMs = 10_000
/** A connection that asks nothing is closed after this time, as upstream. */
const idleMs = 90_000
/** A client that takes nothing of what waits for it for that long is gone. */
const stuckMs = 60_000
/** Connections beyond are closed as they come: each costs a file descriptor and some tens of KB. */
const maxConnections = 10_000

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
    ca: options.frontProxy ? [options.clientAuthority, options.frontProxy.authority] : options.clientAuthority,
    requestCert: true,
    rejectUnauthorized: false,
    // As upstream. What waits within a session, in both directions, counts against its memory, MB: streams beyond it are refused.
    settings: { maxConcurrentStreams: 250, initialWindowSize: 256 * 1024, maxHeaderListSize: maxHeadBytes },
    maxSessionMemory: 128,
    minVersion: 'TLSv1.2',
    handshakeTimeout: headMs,
    noDelay: true,
    // For HTTP/1.1; the types do not know them. Bodies have the deadline of their request.
    ...({
      maxHeaderSize: maxHeadBytes,
      headersTimeout: headMs,
      connectionsCheckingInterval: headMs / 2,
      requestTimeout: 0,
      keepAliveTimeout: idleMs,
    } as object),
  })
  server.maxConnections = maxConnections
  const callerOf = callers(options)
  const requests = serveRequests(server, handler, callerOf, options.arrivals ?? new Arrivals(new RunQueue()), log)
  serveUpgrades(server, handler, callerOf, log)
  const connections = followConnections(server, log)
  await listen(server, options)
  server.on('error', error => log.error({ err: error }, 'HTTPS server failed'))
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      await requests.finished(1000)
      connections.close()
      await closed
    },
  }
}

type CallerOf = (socket: Socket, headers: IncomingMessage['headers']) => Caller

/** Who a connection's certificate says it is, or whom a front proxy speaks for. */
function callers({ clientAuthority, frontProxy }: HttpOptions): CallerOf {
  const byCertificate = (socket: Socket, own?: Authorities): Caller => {
    const user = certificateUser(socket as TLSSocket, own)
    return user === 'none' ? undefined : user
  }
  if (!frontProxy) return socket => byCertificate(socket)
  const own = authoritiesOf(String(clientAuthority))
  return (socket, headers) => {
    const said = frontProxyUser(socket as TLSSocket, headers as ApiRequest['headers'], frontProxy)
    return typeof said === 'object' ? said : byCertificate(socket, own)
  }
}

/** Answers requests. `finished` waits, at most `ms`, until none is worked on; streams are not waited for: they end with their server. */
/**
 * Reads what a client is about to send of a body that is too large, so that it comes to read the answer: clients of HTTP/1.1 that send all
 * before they read would see their connection reset. At most as much as a body may have, for at most a second.
 */
function discarded(source: Readable): Promise<void> {
  return new Promise(resolve => {
    let left = maxBodyBytes
    const read = ({ length }: Buffer): void => void ((left -= length) < 0 && done())
    const done = (): void => {
      clearTimeout(timer)
      source.off('data', read).off('end', done).off('close', done).pause()
      resolve()
    }
    const timer = setTimeout(done, 1000)
    if (source.destroyed || source.readableEnded) return done()
    source.on('data', read).once('end', done).once('close', done).resume()
  })
}

function serveRequests(
  server: Http2SecureServer,
  handler: Handler,
  callerOf: CallerOf,
  arrivals: Arrivals,
  log: Logger,
): { finished(ms: number): Promise<void> } {
  let active = 0
  let idle: (() => void) | undefined
  const left = (): void => {
    if (--active === 0) idle?.()
  }

  /** `source` is what the body is read from, when there is one. */
  async function answer(req: Incoming, socket: Socket, source: Readable | undefined, out: Outgoing): Promise<void> {
    let counted = true
    try {
      if (out.body.destroyed) return
      const result = await handler(new HttpRequest(req, socket, source, out.body), callerOf(socket, req.headers))
      if (result.code === 413 && source && !('session' in source)) await discarded(source)
      // What is left of a body that nobody wanted is not read.
      if (source && !source.readableEnded) result.headers['connection'] = 'close'
      if (!(result.body instanceof Uint8Array)) {
        counted = false
        left()
      }
      await send(out, result)
    } catch (error) {
      // The client went away in the middle of its request or of the answer.
      log.debug({ err: error, path: req.url }, 'connection aborted')
      out.body.destroy()
    } finally {
      if (counted) left()
    }
  }

  const arrived = (req: Incoming, socket: Socket, source: Readable | undefined, out: Outgoing): void => {
    active++
    if (arrivals.add(socket, 0, () => void answer(req, socket, source, out))) return
    out.body.destroy()
    left()
  }

  server.on('request', (req: IncomingMessage | Http2ServerRequest, res: unknown) => {
    if ('stream' in req) {
      const { stream } = req
      stream.on('error', error => log.debug({ err: error, path: req.url }, 'stream failed'))
      // The connection's, which is one for all its requests; a request's own is another for each.
      arrived(req, stream.session?.socket ?? req.socket, stream.endAfterHeaders ? undefined : stream, ofHttp2(stream))
    } else {
      const { headers } = req
      const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
      arrived(req, req.socket, hasBody ? req : undefined, ofHttp1(res as ServerResponse))
    }
  })
  return {
    finished: ms =>
      new Promise(resolve => {
        if (active === 0) return resolve()
        const timer = setTimeout(resolve, ms)
        idle = () => {
          clearTimeout(timer)
          resolve()
        }
      }),
  }
}

function serveUpgrades(server: Http2SecureServer, handler: Handler, callerOf: CallerOf, log: Logger): void {
  const upgrades = newUpgrades(log)
  server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    handler(new HttpRequest(req, socket, undefined, socket), callerOf(socket, req.headers))
      .then(answer => upgrades.serve(req, socket, head, answer))
      .catch((error: unknown) => {
        log.debug({ err: error, path: req.url }, 'upgrade failed')
        socket.destroy()
      })
  })
  server.on('close', () => upgrades.close())
}

/** Connections that break, or break the rules, end by themselves and nothing else. */
function followConnections(server: Http2SecureServer, log: Logger): { close(): void } {
  const sockets = new Set<Socket>()
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('sessionError', error => log.debug({ err: error }, 'HTTP/2 session failed'))
  const stopGuard = guardSessions(server, { idleMs, log })
  const stopStuck = guardStuck(server, { stuckMs, log })
  server.on('tlsClientError', (error, socket) => {
    log.debug({ err: error }, 'TLS handshake failed')
    socket.destroy()
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
    const { status } = error.code === 'HPE_HEADER_OVERFLOW' ? headTooLarge() : badRequest('malformed HTTP request')
    const body = JSON.stringify(status)
    const headers = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)), connection: 'close' }
    socket.end(headOf({ code: status.code, headers }) + body)
  })
  return {
    close() {
      stopGuard()
      stopStuck()
      for (const socket of sockets) socket.destroy()
    },
  }
}
