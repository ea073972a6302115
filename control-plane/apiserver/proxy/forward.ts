/** Passing a request on to another HTTP server, and its answer back, as Go's reverse proxy and upstream's upgrade-aware one do. */
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { ApiRequest } from '#shared/bus/transport.ts'
import { goError } from '#shared/component/neterror.ts'
import { StatusError, internalError, unavailable } from '#shared/machinery/status.ts'
import type { Answer } from '../chain/response.ts'

export type Headers = Record<string, string>

export const wantsUpgrade = (headers: ApiRequest['headers']): boolean =>
  headers['upgrade'] !== undefined && (headers['connection']?.toLowerCase().includes('upgrade') ?? false)

/** Those of one connection only, RFC 9110, 7.6.1. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
/** The answer's rules of origin are those of the API server. */
const crossOrigin = /^access-control-allow-(credentials|headers|methods|origin)$/

/** The request's headers for the server: without what is between the client and us, its credentials above all. */
export function forwarded({ headers, body, incoming }: ApiRequest, upgrade: boolean): Headers {
  const listed = (headers['connection'] ?? '').split(',').map(name => name.trim().toLowerCase())
  const out: Headers = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(':') || name === 'authorization' || hopByHop.has(name) || listed.includes(name)) continue
    out[name] = value
  }
  if (headers['te']?.includes('trailers')) out['te'] = 'trailers'
  if (upgrade) Object.assign(out, { connection: 'Upgrade', upgrade: headers['upgrade']! })
  else if (incoming && incoming.length === undefined) out['transfer-encoding'] = 'chunked'
  else if (!incoming && body.length > 0) out['content-length'] = String(body.length)
  return out
}

/** The request to the server ends when the client goes away. */
export function followClient(up: ClientRequest, signal: AbortSignal): void {
  const gone = (): void => void up.destroy(new Error('the client went away'))
  if (signal.aborted) return gone()
  signal.addEventListener('abort', gone, { once: true })
  up.once('close', () => signal.removeEventListener('abort', gone))
}

export const unreachable = (e: Error): StatusError => unavailable(`error trying to reach service: ${goError(e)}`)

export interface Response {
  readonly message: IncomingMessage
  /** The connection, when it was upgraded, and what came behind the head. */
  readonly socket?: Duplex
  readonly head?: Buffer
}

/** Sends the body, and waits for the head of the answer, which may come before the body is through. */
export function respond(up: ClientRequest, request: ApiRequest): Promise<Response> {
  return new Promise((resolve, reject) => {
    up.on('error', e => reject(unreachable(e)))
    up.once('response', message => resolve({ message }))
    up.once('upgrade', (message, socket: Duplex, head) => resolve({ message, socket, head }))
    sendBody(up, request).catch((e: Error) => up.destroy(e))
  })
}

async function sendBody(up: ClientRequest, { body, incoming }: ApiRequest): Promise<void> {
  if (incoming) {
    for await (const piece of incoming.stream()) {
      if (up.destroyed) return
      if (!up.write(piece)) await drained(up)
    }
  } else if (body.length > 0) up.write(body)
  up.end()
}

const drained = (up: ClientRequest): Promise<void> =>
  new Promise(resolve => {
    const done = (): void => {
      up.off('drain', done)
      up.off('close', done)
      resolve()
    }
    up.on('drain', done)
    up.on('close', done)
  })

/** The answer's headers for the client. */
function returned(message: IncomingMessage): { headers: Headers; cookies?: readonly string[] } {
  const listed = (message.headers['connection'] ?? '').split(',').map(name => name.trim().toLowerCase())
  const headers: Headers = {}
  for (const [name, value] of Object.entries(message.headers)) {
    if (typeof value !== 'string' || hopByHop.has(name) || listed.includes(name) || crossOrigin.test(name)) continue
    headers[name] = value
  }
  const cookies = message.headers['set-cookie']
  return { headers, ...(cookies ? { cookies } : {}) }
}

export function passed({ message, socket }: Response, method: string): Answer {
  if (socket) {
    socket.destroy()
    throw internalError('the server switched protocols without being asked')
  }
  const code = message.statusCode ?? 0
  if (code < 200 || code > 599) {
    message.destroy()
    throw unavailable(`error trying to reach service: malformed HTTP status code "${code}"`)
  }
  const answer: Answer = { code, ...returned(message), body: message }
  if (method !== 'HEAD' && code !== 204 && code !== 304) return answer
  message.resume()
  return { ...answer, body: new Uint8Array(0) }
}

/** The connection goes on between client and server; another answer is passed on only when it is an error. */
export function upgraded({ message, socket, head }: Response): Answer {
  const code = message.statusCode ?? 502
  if (!socket) {
    if (code >= 400) return { code, ...returned(message), body: message }
    message.destroy()
    throw new StatusError(500, 'InternalError', `Internal error occurred: invalid upgrade response: status code ${code}`)
  }
  const { headers, cookies } = returned(message)
  headers['connection'] = 'Upgrade'
  if (message.headers['upgrade']) headers['upgrade'] = message.headers['upgrade']
  return {
    code: 101,
    headers,
    ...(cookies ? { cookies } : {}),
    body: new Uint8Array(0),
    tunnel(client) {
      if (head && head.length > 0) socket.unshift(head)
      client.on('error', () => socket.destroy())
      socket.on('error', () => client.destroy())
      client.on('close', () => socket.destroy())
      socket.on('close', () => client.destroy())
      client.pipe(socket).pipe(client)
    },
  }
}
