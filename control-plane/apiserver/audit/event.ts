/** One request in the audit log: what is noted of it on its way, and its events (audit.k8s.io/v1 Event) at each stage. */
import { isIP } from 'node:net'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { ApiRequest, UserInfo } from '#shared/bus/transport.ts'
import { parseJson } from '#shared/machinery/int64.ts'
import type { Status } from '#shared/machinery/status.ts'
import { formatMicroTime } from '#shared/machinery/time.ts'
import { yamlToJson } from '#shared/machinery/yaml.ts'
import { decodeAny, protobufType } from '../chain/protobuf.ts'
import type { RequestInfo } from '../chain/requestinfo.ts'
import type { Answer } from '../chain/response.ts'
import type { Stage, Verdict } from './policy.ts'

const maxUserAgent = 1024
/** Bytes of a response that are held for the log; of a longer one the event has the annotation that upstream's truncating log writes. */
const maxResponseBytes = 16 << 20
/** Bytes of an answer that may be a Status though it is no failure: of deletions, evictions. */
const maxStatusBytes = 8192
const unzipped = promisify(gunzip)

/** An answer's body as it was sent, whole or not yet. */
interface Captured {
  readonly contentType: string
  readonly encoding: string | undefined
  chunks: Uint8Array[]
  bytes: number
}

/** A note for the audit log; one with a level is left out below that. */
export type Annotation = readonly [key: string, value: string, atLeast?: 'Request']

export class AuditRecord {
  readonly verdict: Verdict
  readonly #emit: (line: string) => void
  readonly #request: ApiRequest
  readonly #info: RequestInfo
  readonly #user: UserInfo | undefined
  readonly #id: string
  readonly #received = formatMicroTime()
  readonly #annotations: Record<string, string> = {}
  #impersonated: UserInfo | undefined
  /** What the request's object says of itself. */
  #about: Record<string, string | undefined> = {}
  #status: Partial<Status> | undefined
  /** JSON. */
  #requestObject: string | undefined
  #responseObject: string | undefined
  #captured: Captured | undefined
  #failed = false

  /** `emit` takes an event as a line of JSON. */
  constructor(
    verdict: Verdict,
    request: ApiRequest,
    info: RequestInfo,
    user: UserInfo | undefined,
    id: string,
    emit: (line: string) => void,
  ) {
    this.verdict = verdict
    this.#request = request
    this.#info = info
    this.#user = user
    this.#id = id
    this.#emit = emit
  }

  /** The first value of a key counts. */
  annotate(key: string, value: string, atLeast?: 'Request'): void {
    if (atLeast === undefined || this.#holdsRequest) this.#annotations[key] ??= value
  }

  impersonated(user: UserInfo): void {
    this.#impersonated = user
  }

  /** The body of a request, decoded. Called before anything changes it. */
  requestObject(object: object): void {
    const { metadata } = object as Partial<KubeObject>
    if (metadata) {
      const { namespace, name, uid, resourceVersion } = metadata
      this.#about = { namespace, name, uid, resourceVersion }
    }
    if (this.#holdsRequest) this.#requestObject = JSON.stringify(this.#shown(object))
  }

  /** The body of a patch, as it came, of any patch type. */
  requestPatch(body: Uint8Array): void {
    if (!this.#holdsRequest) return
    const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString()
    try {
      this.#requestObject = JSON.stringify(parseJson(text))
    } catch {
      // A patch in YAML; one that is nothing is refused by who applies it.
      this.#requestObject = yamlOrNothing(text)
    }
  }

  get #holdsRequest(): boolean {
    return this.verdict.level === 'Request' || this.verdict.level === 'RequestResponse'
  }

  /** Notes what goes to the client, before it is compressed; `lasts` is of watches, logs and the like, whose body is no object. */
  capture(answer: Answer, lasts: boolean): Answer {
    const { headers, body } = answer
    const isObject = this.#info.isResource || this.#info.path.startsWith('/api')
    if (lasts || !isObject || this.verdict.level !== 'RequestResponse') return answer
    const captured: Captured = {
      contentType: headers['content-type'] ?? '',
      encoding: headers['content-encoding'],
      chunks: [],
      bytes: 0,
    }
    this.#captured = captured
    if (body instanceof Uint8Array) take(captured, body)
    else answer.body = taken(captured, body)
    return answer
  }

  /** Whom nobody knows. */
  unauthenticated(): void {
    const { authorization } = this.#request.headers
    const tried = [
      ...(/^bearer .+/i.test(authorization ?? '') ? ['bearer'] : []),
      ...(/^basic .+/i.test(authorization ?? '') ? ['basic'] : []),
    ]
    const message =
      tried.length > 0 ? `Authentication failed, attempted: ${tried.join(', ')}` : 'Authentication failed, no credentials provided'
    this.#status = { message, code: 401 }
  }

  /** The handler broke off with an error that is no answer. */
  panicked(error: unknown): void {
    this.#failed = true
    const message = `APIServer panic'd: ${(error as Error)?.message ?? String(error)}`
    this.#status = { status: 'Failure', message, reason: 'InternalError', code: 500 }
  }

  get failed(): boolean {
    return this.#failed
  }

  /** What the answer's head says; of a Status its fields. */
  answered({ code, headers, body }: Answer): void {
    if (this.#status) return
    const { verb } = this.#info
    const maybe =
      code >= 400 || ((verb === 'create' || verb.startsWith('delete')) && body instanceof Uint8Array && body.length <= maxStatusBytes)
    const said =
      maybe && body instanceof Uint8Array ? (objectOf(headers['content-type'] ?? '', body) as Partial<Status> | undefined) : undefined
    if (said?.kind !== 'Status') this.#status = { code }
    else {
      const { status, message, reason, details } = said
      this.#status = {
        status: status!,
        ...(message ? { message } : {}),
        ...(reason ? { reason } : {}),
        ...(details ? { details } : {}),
        code,
      }
    }
  }

  /** Writes the event of a stage, unless the policy leaves that out. */
  emit(stage: Stage): void {
    if (this.verdict.omitStages.has(stage)) return
    if (stage === 'ResponseComplete' && this.#captured) void this.#whole(this.#captured).then(() => this.#write(stage))
    else this.#write(stage)
  }

  /** Makes the response's object of what was sent. */
  async #whole({ contentType, encoding, chunks, bytes }: Captured): Promise<void> {
    this.#captured = undefined
    if (bytes > maxResponseBytes) return this.annotate('audit.k8s.io/truncated', 'true')
    try {
      const sent = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
      const body = encoding === 'gzip' ? await unzipped(sent, { maxOutputLength: maxResponseBytes }) : sent
      const plain = contentType.startsWith('application/json') && !this.verdict.omitManagedFields
      const text = plain ? Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString() : ''
      // JSON for people has newlines, which would end the line.
      if (plain && !text.includes('\n')) this.#responseObject = text === '' ? undefined : text
      else this.#responseObject = JSON.stringify(this.#shown(objectOf(contentType, body)))
    } catch {
      this.annotate('audit.k8s.io/truncated', 'true')
    }
  }

  #shown(object: object | undefined): object | undefined {
    return object && this.verdict.omitManagedFields ? withoutManagedFields(object) : object
  }

  #write(stage: Stage): void {
    const { headers, path, search } = this.#request
    const info = this.#info
    const agent = headers['user-agent'] ?? ''
    const sourceIPs = sourceIPsOf(this.#request)
    const about = this.#about
    const head = JSON.stringify({
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: this.verdict.level,
      auditID: this.#id,
      stage,
      requestURI: path + search,
      verb: info.verb,
      user: userOf(this.#user),
      ...(this.#impersonated ? { impersonatedUser: userOf(this.#impersonated) } : {}),
      ...(sourceIPs.length > 0 ? { sourceIPs } : {}),
      userAgent: agent === '' ? undefined : agent.length > maxUserAgent ? `${agent.slice(0, maxUserAgent)}...TRUNCATED` : agent,
      ...(info.isResource
        ? {
            objectRef: {
              resource: info.resource || undefined,
              namespace: info.namespace || about['namespace'],
              name: info.name || about['name'],
              uid: about['uid'],
              apiGroup: info.group || undefined,
              apiVersion: info.version || undefined,
              resourceVersion: about['resourceVersion'],
              subresource: info.subresource || undefined,
            },
          }
        : {}),
      ...(stage === 'RequestReceived' ? {} : { responseStatus: { metadata: {}, ...this.#status } }),
    })
    const tail = JSON.stringify({
      requestReceivedTimestamp: this.#received,
      stageTimestamp: stage === 'RequestReceived' ? this.#received : formatMicroTime(),
      ...(Object.keys(this.#annotations).length > 0 ? { annotations: this.#annotations } : {}),
    })
    const request = this.#requestObject === undefined ? '' : `,"requestObject":${this.#requestObject}`
    const response = this.#responseObject === undefined ? '' : `,"responseObject":${this.#responseObject}`
    this.#emit(`${head.slice(0, -1)}${request}${response},${tail.slice(1)}`)
  }
}

const userOf = (user: UserInfo | undefined): object =>
  user
    ? {
        ...(user.name ? { username: user.name } : {}),
        ...(user.uid ? { uid: user.uid } : {}),
        ...(user.groups.length > 0 ? { groups: user.groups } : {}),
        ...(user.extra && Object.keys(user.extra).length > 0 ? { extra: user.extra } : {}),
      }
    : {}

/** As k8s.io/apimachinery/pkg/util/net's SourceIPs: what proxies say, and at the end who it really was. */
function sourceIPsOf({ headers, remoteAddress }: ApiRequest): string[] {
  const ips = (headers['x-forwarded-for'] ?? '').split(',').map(ip => ip.trim())
  const real = headers['x-real-ip']
  const said = ips.filter(ip => isIP(ip) !== 0)
  if (real !== undefined && isIP(real) !== 0 && !said.includes(real)) said.push(real)
  if (remoteAddress !== undefined && said.at(-1) !== remoteAddress) said.push(remoteAddress)
  return said
}

function take(captured: Captured, piece: Uint8Array): void {
  captured.bytes += piece.length
  if (captured.bytes > maxResponseBytes) captured.chunks = []
  else captured.chunks.push(piece)
}

async function* taken(captured: Captured, body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  for await (const piece of body) {
    take(captured, piece)
    yield piece
  }
}

function yamlOrNothing(text: string): string | undefined {
  try {
    return yamlToJson(text).json
  } catch {
    return undefined
  }
}

/** The object of a body that an answer of the API has; undefined for other bodies. */
function objectOf(contentType: string, body: Uint8Array): object | undefined {
  try {
    if (contentType.startsWith(protobufType)) return decodeAny(body)
    const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString()
    if (contentType.startsWith('application/json')) return parseJson(text) as object
    if (contentType.startsWith('application/yaml')) return parseJson(yamlToJson(text).json) as object
  } catch {
    // Not of this server's making, or of none of its kinds.
  }
  return undefined
}

interface Managed {
  metadata?: { managedFields?: unknown }
}

/** An object, the items of a list, the objects in the rows of a table: without metadata.managedFields; copied where it is changed. */
function withoutManagedFields(object: object): object {
  const { items, rows } = object as { items?: unknown; rows?: unknown }
  if (Array.isArray(items)) return { ...object, items: (items as object[]).map(stripped) }
  if (Array.isArray(rows))
    return { ...object, rows: (rows as { object?: object }[]).map(row => (row.object ? { ...row, object: stripped(row.object) } : row)) }
  return stripped(object)
}
function stripped(object: object): object {
  const { metadata } = object as Managed
  return metadata?.managedFields === undefined ? object : { ...object, metadata: { ...metadata, managedFields: undefined } }
}
