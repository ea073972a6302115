/**
 * The one way in: every request of both transports passes through here. Panic safety, audit id, request info, authentication,
 * audit, impersonation, authorization, flow control, deadline, the body; then the dispatcher.
 */
import { randomUUID } from 'node:crypto'
import { bodyTooLarge, maxBodyBytes, type ApiRequest, type UserInfo } from '#shared/bus/transport.ts'
import type { Logger } from '#shared/component/log.ts'
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import { StatusError, badRequest, internalError, timeout } from '#shared/machinery/status.ts'
import type { Auditor } from '../audit/auditor.ts'
import type { Annotation, AuditRecord } from '../audit/event.ts'
import type { Caller } from '../authn/authenticator.ts'
import { impersonate } from '../authn/impersonation.ts'
import type { Notes } from '../authn/token.ts'
import { refusal, type Attributes, type Authorizer } from '../authz/authorizer.ts'
import { authorizePodStream, isPodStream } from '../authz/podstreams.ts'
import { Counted } from './counted.ts'
import type { Admitted, Flow, FlowControl } from '../flowcontrol/flowcontrol.ts'
import { acceptsGzip, compressed } from './gzip.ts'
import type { RequestMetrics } from './metrics.ts'
import { parseRequestInfo, type RequestInfo } from './requestinfo.ts'
import { failureWriting, statusAnswer, type Answer } from './response.ts'
import { deadline, timeoutOf } from './timeout.ts'
import { Turn } from './turn.ts'

/** One request on its way through the server. */
export interface RequestContext {
  readonly request: ApiRequest
  readonly info: RequestInfo
  /** As whom it is worked on. */
  readonly user: UserInfo
  /** Of the audit log, and of the logs of other servers that it is passed on to. */
  readonly auditId: string
  /** Texts for the client, sent as Warning headers. */
  readonly warnings: string[]
  /** What authentication and admission note for the audit log. */
  readonly annotations: Annotation[]
  /** Where the request is noted for the audit log; absent when the policy wants nothing of it. */
  readonly audit?: AuditRecord | undefined
  /** Throws 403 unless whoever asks may do this, too, with what the request is for. */
  readonly require: (verb: string) => Maybe<void>
}

/** What is known of a request when its answer, or failure, is there. */
interface Started {
  info?: RequestInfo
  readonly auditId: string
  readonly warnings: string[]
  readonly annotations: Annotation[]
  longRunning: boolean
  audit?: AuditRecord | undefined
  flow?: Flow
}

export type Handler = (request: ApiRequest, caller: Caller) => Promise<Answer>

export interface ChainParts {
  readonly log: Logger
  /** Whose request it is; throws 401. */
  readonly authenticate: (request: ApiRequest, caller: Caller, notes: Notes) => UserInfo | Promise<UserInfo>
  readonly authorizer: Authorizer
  /** Absent without an audit policy. */
  readonly auditor?: Auditor | undefined
  readonly flowControl: FlowControl
  readonly metrics: RequestMetrics
  readonly dispatch: (ctx: RequestContext) => Promise<Answer>
  /** Whether another server answers, which gets the body as it comes. */
  readonly isProxied: (info: RequestInfo) => boolean
}

const longRunningSubresources = new Set(['log', 'exec', 'attach', 'portforward', 'proxy'])
/** Those whose handler passes the body on as it comes. */
const streamsBody = (info: RequestInfo): boolean => info.subresource === 'proxy'

const isLongRunning = (info: RequestInfo): boolean => info.verb === 'watch' || longRunningSubresources.has(info.subresource)

/** A header value may only hold visible characters; upstream quotes the text like Go. */
const warningHeader = (text: string): string => `299 - ${JSON.stringify(text).replace(/[^\x20-\x7e]/g, '?')}`

/** Characters of all warnings of an answer; when there are more, each is cut off at the second number, as upstream's recorder does. */
const maxWarningsLength = 4096
const maxWarningLength = 256

function warningHeaders(texts: readonly string[]): string {
  const different = [...new Set(texts)]
  const long = different.reduce((n, text) => n + text.length, 0) > maxWarningsLength
  let length = 0
  const shown = long
    ? different.map(text => text.slice(0, maxWarningLength)).filter(text => (length += text.length) <= maxWarningsLength)
    : different
  return shown.map(warningHeader).join(', ')
}

/** Throws 403 when the answer is no. */
const authorized = (authorizer: Authorizer, attributes: Attributes): Maybe<void> =>
  after(authorizer.authorize(attributes), decision => {
    if (decision.decision !== 'allow') throw refusal(attributes, decision)
  })

export function newHandler(parts: ChainParts): Handler {
  const { log, authenticate, authorizer, auditor, flowControl, metrics, isProxied } = parts
  const dispatch = auditor ? capturing(parts.dispatch) : parts.dispatch

  async function serve(request: ApiRequest, caller: Caller, started: Started): Promise<Answer> {
    const info = parseRequestInfo(request.method, request.path, request.query)
    started.info = info
    const asking = authenticate(request, caller, started)
    const requester = asking instanceof Promise ? await asking : asking
    const audit = auditor?.begin(request, info, requester, started.auditId)
    if (audit) {
      started.audit = audit
      audit.emit('RequestReceived')
    }
    const known = impersonate(authorizer, request, requester)
    const user = known instanceof Promise ? await known : known
    if (audit && user !== requester) audit.impersonated(user)
    const attributes = attributesOf(user, info, request.query)
    const decision = authorizer.authorize(attributes)
    const { decision: may, reason } = decision instanceof Promise ? await decision : decision
    if (audit) {
      audit.annotate('authorization.k8s.io/decision', may === 'allow' ? 'allow' : 'forbid')
      audit.annotate('authorization.k8s.io/reason', reason)
    }
    if (may !== 'allow') throw refusal(attributes, { decision: may, reason })
    if (isPodStream(attributes)) await authorizePodStream(authorizer, attributes)
    const { auditId, warnings, annotations } = started
    const require = (verb: string): Maybe<void> => authorized(authorizer, { ...attributes, verb })
    const ctx: RequestContext = { request, info, user, auditId, warnings, annotations, audit, require }
    const passesOn = isProxied(info)
    if (!streamsBody(info) && !passesOn) checkBody(request)
    if (isLongRunning(info) || (passesOn && request.headers['upgrade'] !== undefined)) {
      started.longRunning = true
      return longRunning(ctx, started)
    }
    const timeoutMs = timeoutOf(request.query.get('timeout'))
    return deadline(run(ctx, started, timeoutMs, passesOn), timeoutMs)
  }

  /** With a seat, which is given back when the work ends, not when the client stops waiting for it. */
  async function run(ctx: RequestContext, started: Started, timeoutMs: number, passesOn: boolean): Promise<Answer> {
    const { request } = ctx
    const until = performance.now() + timeoutMs
    const entered = enter(ctx, started, timeoutMs)
    const admitted = entered instanceof Promise ? await entered : entered
    try {
      if (request.incoming && !passesOn) request.body = await request.incoming.whole()
      const answer = await work(ctx, admitted, until)
      return acceptsGzip(request) ? await compressed(answer) : answer
    } finally {
      flowControl.leave(admitted)
    }
  }

  /** A request that is all there is worked on when it is its level's turn. */
  async function work(ctx: RequestContext, admitted: Admitted, until: number): Promise<Answer> {
    const { request } = ctx
    const turn = new Turn(flowControl, admitted, until, request)
    try {
      const begun = turn.begin()
      if (begun) await begun
      const slice = turn.slice()
      if (slice) await slice
      if (begun && request.signal.aborted) throw timeout('nobody waits for the request any more')
      return await turn.run(() => dispatch(ctx))
    } finally {
      turn.over()
    }
  }

  function enter({ request, info, user }: RequestContext, started: Started, timeoutMs: number): Admitted | Promise<Admitted> {
    const flow = flowControl.classify(user, info)
    started.flow = flow
    const width = flowControl.width(flow, info, request.query)
    return flowControl.enter(flow, info.verb, width, request.body.length, timeoutMs, request)
  }

  /**
   * Streams are counted as long as they last. A watch has a seat until its answer begins: what is there at first is as much work as a list.
   */
  async function longRunning(ctx: RequestContext, started: Started): Promise<Answer> {
    const { request, info, user } = ctx
    const closed = flowControl.openStream(user)
    let answer: Answer
    try {
      if (info.verb !== 'watch') answer = await dispatch(ctx)
      else {
        const admitted = await enter(ctx, started, Infinity)
        try {
          answer = await work(ctx, admitted, Infinity)
        } finally {
          flowControl.leave(admitted)
        }
      }
    } catch (e) {
      closed()
      throw e
    }
    const lasts = answer.tunnel || answer.websocket || !(answer.body instanceof Uint8Array)
    if (!lasts) {
      closed()
      return answer
    }
    metrics.longRunning(info, 1)
    let ended = false
    const end = (): void => {
      if (ended) return
      ended = true
      closed()
      metrics.longRunning(info, -1)
    }
    if (request.signal.aborted) end()
    else request.signal.addEventListener('abort', end, { once: true })
    if (!(answer.body instanceof Uint8Array)) answer.body = new Counted(answer.body, end)
    return answer
  }

  return async (request, caller) => {
    const start = performance.now()
    const auditId = request.headers['audit-id'] ?? randomUUID()
    const started: Started = { auditId, warnings: [], annotations: [], longRunning: false }
    let answer: Answer
    try {
      answer = await serve(request, caller, started)
    } catch (error) {
      const writing = failureWriting(request.headers['accept'])
      if (error instanceof StatusError) answer = statusAnswer(error.status, writing)
      else if (error instanceof URIError) answer = statusAnswer(badRequest('invalid URL escape').status, writing)
      else {
        log.error({ err: error, method: request.method, path: request.path }, 'request failed')
        started.audit?.panicked(error)
        answer = statusAnswer(internalError((error as Error)?.message ?? String(error)).status, writing)
      }
    }
    if (auditor) audited(auditor, request, started, answer)
    answer.headers['audit-id'] = auditId
    if (started.flow) {
      const { uid, level } = started.flow.schema
      // Until they are stored they have none.
      if (uid !== '') answer.headers['x-kubernetes-pf-flowschema-uid'] = uid
      if (level.uid !== '') answer.headers['x-kubernetes-pf-prioritylevel-uid'] = level.uid
    }
    answer.headers['cache-control'] ??= 'no-cache, private'
    if (started.warnings.length > 0) answer.headers['warning'] = warningHeaders(started.warnings)
    const { info } = started
    metrics.observe(
      info,
      request.method,
      answer.code,
      request.query.has('dryRun'),
      started.longRunning ? undefined : (performance.now() - start) / 1000,
    )
    return answer
  }
}

const ofMany = new Set(['list', 'watch', 'deletecollection'])
const exactName = /(?:^|,)metadata\.name==?([^,=!]+)(?:,|$)/

function attributesOf(user: UserInfo, info: RequestInfo, query: URLSearchParams): Attributes {
  const { verb, isResource, group, version, resource, subresource, namespace, path } = info
  const many = ofMany.has(verb)
  const fieldSelector = many ? (query.get('fieldSelector') ?? '') : ''
  const labelSelector = many ? (query.get('labelSelector') ?? '') : ''
  // Many of one name are one, as upstream has it.
  const name = info.name || (fieldSelector === '' ? '' : (exactName.exec(fieldSelector)?.[1] ?? ''))
  return { user, verb, isResource, group, version, resource, subresource, namespace, name, path, fieldSelector, labelSelector }
}

/** Refuses a body before any of it is held. */
function checkBody({ body, incoming, headers }: ApiRequest): void {
  if (Math.max(body.length, incoming?.length ?? 0) > maxBodyBytes) throw bodyTooLarge()
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity')
    throw new StatusError(
      415,
      'UnsupportedMediaType',
      `the content encoding ${JSON.stringify(encoding)} of the request body is not supported`,
    )
}

/** Lets the audit log see what a request is answered with. */
function capturing(dispatch: ChainParts['dispatch']): ChainParts['dispatch'] {
  return async ctx => {
    const answer = await dispatch(ctx)
    return ctx.audit ? ctx.audit.capture(answer, isLongRunning(ctx.info)) : answer
  }
}

/** Writes the events of an answer: when it begins, if it lasts, and when it has ended. */
function audited(auditor: Auditor, request: ApiRequest, started: Started, answer: Answer): void {
  if (!started.audit && answer.code === 401 && started.info) {
    const record = auditor.begin(request, started.info, undefined, started.auditId)
    record?.unauthenticated()
    record?.emit('ResponseStarted')
  }
  const { audit, longRunning } = started
  if (!audit) return
  for (const annotation of started.annotations) audit.annotate(...annotation)
  audit.answered(answer)
  if (longRunning) audit.emit('ResponseStarted')
  const lasts = answer.tunnel || answer.websocket || !(answer.body instanceof Uint8Array)
  if (!lasts) return audit.emit(audit.failed ? 'Panic' : 'ResponseComplete')
  let ended = false
  const end = (): void => {
    if (!ended) audit.emit('ResponseComplete')
    ended = true
  }
  if (!(answer.body instanceof Uint8Array)) answer.body = new Counted(answer.body, end)
  if (request.signal.aborted) end()
  else request.signal.addEventListener('abort', end, { once: true })
}
