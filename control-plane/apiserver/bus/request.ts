/** Reads a request from a NATS message; whatever is not one is garbage, with the reason. */
import type { Msg } from 'nats'
import type { RequestHead } from '#shared/bus/frames.ts'
import { fromToken, inboxPrefix, isBelow } from '#shared/bus/subjects.ts'
import { maxHeadBytes, type ApiRequest } from '#shared/bus/transport.ts'

export interface BusRequest {
  readonly identity: string
  /** The token that tells this client's connection from others of its identity. */
  readonly client: string
  /** The token of the request. */
  readonly token: string
  readonly reply: string
  readonly timeoutMs: number
  /** Bytes of its head. */
  readonly headBytes: number
  readonly request: Omit<ApiRequest, 'signal'>
}

const maxTimeoutMs = 3_600_000
/** Instead of one whose head is too large. */
const unread: BusRequest['request'] = {
  method: '',
  path: '',
  query: new URLSearchParams(),
  search: '',
  headers: {},
  body: new Uint8Array(),
}

/** The identity behind `api.<identity>` or a subject below it; undefined when the token is none. */
export function identityOfSubject(subject: string): string | undefined {
  try {
    return fromToken(subject.split('.')[1] ?? '') || undefined
  } catch {
    return undefined
  }
}

/**
 * Returns why a message is garbage, or the request. The reply subject is the sender's choice, and we may publish where it may not: it must
 * be its inbox.
 */
export function readRequest(m: Msg): BusRequest | string {
  const identity = identityOfSubject(m.subject)
  if (!identity) return 'no identity in the subject'
  const prefix = inboxPrefix(identity)
  const reply = m.reply ?? ''
  if (!isBelow(prefix, reply, 2)) return 'the reply subject is not an inbox of the sender'
  const [client, token] = reply.slice(prefix.length + 1).split('.') as [string, string]
  const data = Buffer.from(m.data.buffer, m.data.byteOffset, m.data.byteLength)
  const headBytes = data.length < 4 ? 0 : data.readUInt32BE(0)
  if (headBytes === 0 || 4 + headBytes > data.length) return 'no head'
  // One that is too large is not looked into.
  if (headBytes > maxHeadBytes) return { identity, client, token, reply, timeoutMs: maxTimeoutMs, headBytes, request: unread }
  const head = readHead(data.toString('utf8', 4, 4 + headBytes))
  if (!head) return 'the head is not JSON'
  const { method, path: url, timeoutMs } = head
  if (typeof method !== 'string' || !/^[A-Z]{1,16}$/.test(method)) return 'no method'
  if (typeof url !== 'string' || !/^\/[!-~]*$/.test(url)) return 'no path'
  if (typeof timeoutMs !== 'number' || !(timeoutMs > 0)) return 'no timeout'
  const headers = readHeaders(head.headers)
  if (!headers) return 'no headers'
  const at = url.indexOf('?')
  const path = at < 0 ? url : url.slice(0, at)
  const search = at < 0 ? '' : url.slice(at)
  return {
    identity,
    client,
    token,
    reply,
    timeoutMs: Math.min(timeoutMs, maxTimeoutMs),
    headBytes,
    request: { method, path, query: new URLSearchParams(search), search, headers, body: m.data.subarray(4 + headBytes) },
  }
}

function readHead(text: string): { [field in keyof RequestHead]?: unknown } | undefined {
  try {
    const head: unknown = JSON.parse(text)
    return typeof head === 'object' && head !== null ? head : undefined
  } catch {
    return undefined
  }
}

// As HTTP has them, RFC 9110, 5.1 and 5.5.
const headerName = /^[!#$%&'*+.^`|~\w-]+$/
const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/

/** Names in lower case; undefined when HTTP could not carry them. */
function readHeaders(value: unknown): Record<string, string> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const headers: Record<string, string> = {}
  for (const [name, v] of Object.entries(value)) {
    if (typeof v !== 'string') continue
    if (!headerName.test(name) || !headerValue.test(v)) return undefined
    headers[name.toLowerCase()] = v
  }
  return headers
}
