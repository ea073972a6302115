/** The proxy subresources: a request of any method and path goes on to a pod, a service or a node, and so does a connection that is upgraded. */
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Readable, type Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { constants, createDeflateRaw, createGunzip, createGzip, createInflateRaw } from 'node:zlib'
import type { BusConnection } from '#shared/bus/connection.ts'
import type { ApiRequest } from '#shared/bus/transport.ts'
import { StatusError, internalError, unavailable } from '#shared/machinery/status.ts'
import type { Answer } from '../chain/response.ts'
import type { Call, Verb } from '../verbs/context.ts'
import { rewriteHtml, rewriteUrl, type Site } from './html.ts'
import { nodeLocation, podLocation, serviceLocation, type Location } from './location.ts'

type Headers = Record<string, string>

/** What a proxy does on each method, for the surface. */
export function proxyVerbs(find: (call: Call, bus: BusConnection) => Promise<Location>, bus: BusConnection): Record<string, Verb> {
  const verb: Verb = async call => proxy(call.request, await find(call, bus))
  return Object.fromEntries(['get', 'head', 'create', 'update', 'patch', 'delete', 'options'].map(name => [name, verb]))
}
export const podProxy = (bus: BusConnection): Record<string, Verb> => proxyVerbs(podLocation, bus)
export const serviceProxy = (bus: BusConnection): Record<string, Verb> => proxyVerbs(serviceLocation, bus)
export const nodeProxy = (bus: BusConnection): Record<string, Verb> => proxyVerbs(nodeLocation, bus)

/** The path of the proxy itself, and what follows it as it was sent: `''`, `/` or more. */
function splitPath(path: string): { prefix: string; rest: string } {
  const [, prefix = path, rest = ''] = /^((?:\/+[^/]+)+?\/+proxy)(\/.*)?$/.exec(path) ?? []
  return { prefix, rest }
}

async function proxy(request: ApiRequest, to: Location): Promise<Answer> {
  const { prefix, rest } = splitPath(request.path)
  const upgrade = wantsUpgrade(request.headers)
  if (!upgrade && rest === '' && (request.method === 'GET' || request.method === 'HEAD'))
    return { code: 301, headers: { location: `${request.path}/${request.search}` }, body: new Uint8Array(0) }
  const requested = request.headers['host'] ?? request.headers[':authority'] ?? to.host
  const site: Site = { prefix, hosts: [to.host, requested], requested }
  const headers = forwarded(request, upgrade)
  headers['host'] = requested
  headers['x-forwarded-uri'] = prefix + rest
  const up = await open(request, to, headers, (rest || '/') + request.search)
  const response = await respond(up, request)
  return upgrade ? upgraded(response) : passed(response, request.method, site)
}

const wantsUpgrade = (headers: ApiRequest['headers']): boolean =>
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
function forwarded({ headers, body, incoming }: ApiRequest, upgrade: boolean): Headers {
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

/** Dials and begins the request. Rejects with 503, as upstream. */
async function open(request: ApiRequest, to: Location, headers: Headers, path: string): Promise<ClientRequest> {
  let socket: Duplex
  try {
    socket = await to.dial(request.signal)
  } catch (e) {
    if (e instanceof StatusError) throw e
    throw unreachable(e as Error)
  }
  // Nobody knows certificates of pods: upstream checks none either.
  const createConnection = () => (to.scheme === 'https' ? connectTls({ socket, rejectUnauthorized: false }) : socket)
  const make = to.scheme === 'https' ? httpsRequest : httpRequest
  const up = make({ method: request.method, path, headers, createConnection, setHost: false } as object)
  const gone = (): void => void up.destroy(new Error('the client went away'))
  request.signal.addEventListener('abort', gone, { once: true })
  up.once('close', () => request.signal.removeEventListener('abort', gone))
  return up
}

const unreachable = (e: Error): StatusError => unavailable(`error trying to reach service: ${e.message}`)

interface Response {
  readonly message: IncomingMessage
  /** The connection, when it was upgraded, and what came behind the head. */
  readonly socket?: Duplex
  readonly head?: Buffer
}

/** Sends the body, and waits for the head of the answer, which may come before the body is through. */
function respond(up: ClientRequest, request: ApiRequest): Promise<Response> {
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

function passed({ message, socket }: Response, method: string, site: Site): Answer {
  if (socket) {
    socket.destroy()
    throw internalError('the server switched protocols without being asked')
  }
  const code = message.statusCode ?? 502
  const answer: Answer = { code, ...returned(message), body: message }
  if (method === 'HEAD' || code === 204 || code === 304) {
    message.resume()
    return { ...answer, body: new Uint8Array(0) }
  }
  const { headers } = answer
  if (headers['location']) {
    headers['location'] = rewriteUrl(headers['location'], site)
    return answer
  }
  if (headers['content-type']?.split(';')[0]!.trim().toLowerCase() !== 'text/html') return answer
  const body = rewritten(message, headers['content-encoding'] ?? '', site)
  if (!body) return answer
  delete headers['content-length']
  return { ...answer, body }
}

/** The document with its links led through the proxy; undefined when it is encoded in a way that is not known. */
function rewritten(message: IncomingMessage, encoding: string, site: Site): AsyncIterable<Uint8Array> | undefined {
  if (encoding === '') return rewriteHtml(message, site)
  if (encoding !== 'gzip' && encoding !== 'deflate') return undefined
  const decoded = message.pipe(encoding === 'gzip' ? createGunzip() : createInflateRaw())
  message.on('error', e => decoded.destroy(e))
  const options = { flush: constants.Z_SYNC_FLUSH }
  const encoded = encoding === 'gzip' ? createGzip(options) : createDeflateRaw(options)
  Readable.from(rewriteHtml(decoded, site))
    .on('error', e => encoded.destroy(e))
    .pipe(encoded)
  encoded.on('close', () => message.destroy())
  return encoded
}

/** The connection goes on between client and server; another answer is passed on only when it is an error. */
function upgraded({ message, socket, head }: Response): Answer {
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
