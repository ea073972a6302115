/**
 * The one way in: every request of both transports passes through here. Panic safety, audit id, request info, authentication,
 * authorization, in-flight limits, deadline; then the dispatcher.
 */
import { randomUUID } from 'node:crypto'
import type { ApiRequest, UserInfo } from '#shared/bus/transport.ts'
import type { Logger } from '#shared/component/log.ts'
import { StatusError, badRequest, forbidden, internalError, tooLarge, unauthorized } from '#shared/machinery/status.ts'
import { isPublic, refusal, type Authorizer } from '../authz/authorizer.ts'
import { acceptsGzip, compressed } from './gzip.ts'
import type { InFlight } from './inflight.ts'
import type { RequestMetrics } from './metrics.ts'
import { parseRequestInfo, type RequestInfo } from './requestinfo.ts'
import { failureWriting, statusAnswer, type Answer } from './response.ts'
import { deadline, timeoutOf } from './timeout.ts'

/** Who the transport says is asking: `invalid` when it presented an identity that cannot be trusted. */
export type Caller = UserInfo | 'invalid' | undefined

/** One request on its way through the server. */
export interface RequestContext {
  readonly request: ApiRequest
  readonly info: RequestInfo
  readonly user: UserInfo
  /** Texts for the client, sent as Warning headers. */
  readonly warnings: string[]
}

export type Handler = (request: ApiRequest, caller: Caller) => Promise<Answer>

export interface ChainParts {
  readonly log: Logger
  /** The user of a bearer token, undefined when it is not valid. */
  readonly authenticateToken: (token: string) => Promise<UserInfo | undefined>
  readonly authorize: Authorizer
  readonly reading: InFlight
  readonly mutating: InFlight
  readonly metrics: RequestMetrics
  readonly dispatch: (ctx: RequestContext) => Promise<Answer>
}

/** Bodies beyond this are refused; upstream's limit for requests. */
export const maxBodyBytes = 3 * 1024 * 1024
const anonymous: UserInfo = { name: 'system:anonymous', groups: ['system:unauthenticated'] }
const longRunningSubresources = new Set(['log', 'exec', 'attach', 'portforward', 'proxy'])
const readingVerbs = new Set(['get', 'list', 'watch'])

const isLongRunning = (info: RequestInfo): boolean => info.verb === 'watch' || longRunningSubresources.has(info.subresource)

/** A header value may only hold visible characters; upstream quotes the text like Go. */
const warningHeader = (text: string): string => `299 - ${JSON.stringify(text).replace(/[^\x20-\x7e]/g, '?')}`

export function newHandler(parts: ChainParts): Handler {
  const { log, authenticateToken, authorize, reading, mutating, metrics, dispatch } = parts

  async function authenticate(request: ApiRequest, caller: Caller, info: RequestInfo): Promise<UserInfo> {
    if (caller !== undefined && caller !== 'invalid') return caller
    const authorization = request.headers['authorization']
    if (authorization !== undefined) {
      const token = /^bearer\s+(\S+)\s*$/i.exec(authorization)?.[1]
      const user = token === undefined ? undefined : await authenticateToken(token)
      if (!user) throw unauthorized()
      return user
    }
    if (caller === 'invalid' || !isPublic(info)) throw unauthorized()
    return anonymous
  }

  async function serve(
    request: ApiRequest,
    caller: Caller,
    started: { info?: RequestInfo; warnings: string[]; longRunning: boolean },
  ): Promise<Answer> {
    const info = parseRequestInfo(request.method, request.path, request.query)
    started.info = info
    const user = await authenticate(request, caller, info)
    const refused = user === anonymous ? undefined : authorize(user, info)
    if (refused !== undefined) {
      const why = refusal(user, info, refused)
      throw info.isResource
        ? forbidden({ group: info.group, resource: info.resource }, info.name, why)
        : new StatusError(403, 'Forbidden', `forbidden: ${why}`, {})
    }
    if (request.body.length > maxBodyBytes) throw tooLarge(`Request entity too large: limit is ${maxBodyBytes}`)
    if (request.headers['content-encoding'] !== undefined && request.headers['content-encoding'] !== 'identity')
      throw new StatusError(
        415,
        'UnsupportedMediaType',
        `the content encoding ${JSON.stringify(request.headers['content-encoding'])} of the request body is not supported`,
      )
    const ctx: RequestContext = { request, info, user, warnings: started.warnings }
    if (isLongRunning(info)) {
      started.longRunning = true
      return dispatch(ctx)
    }
    // Whether a server is overloaded is asked of nobody else.
    if (isPublic(info)) return dispatch(ctx)
    const timeoutMs = timeoutOf(request.query.get('timeout'))
    const gate = readingVerbs.has(info.verb) ? reading : mutating
    const turn = gate.enter()
    if (turn) await turn
    // The place is given back when the work ends, not when the client stops waiting for it.
    const work = dispatch(ctx)
    const sent = acceptsGzip(request) ? work.then(compressed) : work
    return deadline(
      sent.finally(() => gate.leave()),
      timeoutMs,
    )
  }

  return async (request, caller) => {
    const start = performance.now()
    const started: { info?: RequestInfo; warnings: string[]; longRunning: boolean } = { warnings: [], longRunning: false }
    let answer: Answer
    try {
      answer = await serve(request, caller, started)
    } catch (error) {
      const writing = failureWriting(request.headers['accept'])
      if (error instanceof StatusError) answer = statusAnswer(error.status, writing)
      else if (error instanceof URIError) answer = statusAnswer(badRequest('invalid URL escape').status, writing)
      else {
        log.error({ err: error, method: request.method, path: request.path }, 'request failed')
        answer = statusAnswer(internalError((error as Error)?.message ?? String(error)).status, writing)
      }
    }
    answer.headers['audit-id'] = request.headers['audit-id'] ?? randomUUID()
    answer.headers['cache-control'] ??= 'no-cache, private'
    if (started.warnings.length > 0) answer.headers['warning'] = [...new Set(started.warnings)].map(warningHeader).join(', ')
    const { info } = started
    metrics.observe(
      info,
      request.method,
      answer.code,
      request.query.has('dryRun'),
      started.longRunning ? undefined : (performance.now() - start) / 1000,
    )
    if (info && started.longRunning && answer.code < 300 && !(answer.body instanceof Uint8Array)) answer.body = counted(answer.body, info)
    return answer
  }

  async function* counted(body: AsyncIterable<Uint8Array>, info: RequestInfo): AsyncIterable<Uint8Array> {
    metrics.longRunning(info, 1)
    try {
      yield* body
    } finally {
      metrics.longRunning(info, -1)
    }
  }
}
