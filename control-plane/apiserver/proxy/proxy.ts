/**
 * The proxy subresources: a request of any method and path goes on to a pod, a service or a node, and so does a connection that is
 * upgraded.
 */
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Readable, type Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { constants, createDeflateRaw, createGunzip, createGzip, createInflateRaw } from 'node:zlib'
import type { BusConnection } from '#shared/bus/connection.ts'
import type { ApiRequest } from '#shared/bus/transport.ts'
import { StatusError } from '#shared/machinery/status.ts'
import type { Answer } from '../chain/response.ts'
import type { Call, Verb } from '../verbs/context.ts'
import { followClient, forwarded, passed, respond, unreachable, upgraded, wantsUpgrade, type Headers, type Response } from './forward.ts'
import { rewriteHtml, rewriteUrl, type Site } from './html.ts'
import { nodeLocation, podLocation, serviceLocation, type Location } from './location.ts'

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
  return upgrade ? upgraded(response) : led(passed(response, request.method), response, site)
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
  followClient(up, request.signal)
  return up
}

/** The answer with its links led through the proxy. */
function led(answer: Answer, { message }: Response, site: Site): Answer {
  const { headers } = answer
  if (answer.body !== message) return answer
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
