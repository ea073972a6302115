/** Reads a request from a NATS message; whatever is not one is garbage, with the reason. */
import type { Msg } from 'nats'
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
  /** Bytes of its URL and headers. */
  readonly headBytes: number
  readonly request: Omit<ApiRequest, 'signal'>
}

const maxTimeoutMs = 3_600_000

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
  const method = m.headers?.get('Method') ?? ''
  const url = m.headers?.get('Path') ?? ''
  if (!/^[A-Z]{1,16}$/.test(method)) return 'no method'
  if (!/^\/[!-~]*$/.test(url)) return 'no path'
  const timeoutMs = Number(m.headers?.get('Timeout'))
  if (!(timeoutMs > 0)) return 'no timeout'
  const headerText = m.headers?.get('Headers') ?? ''
  const headBytes = url.length + headerText.length
  // One that is too large is not looked into.
  const headers = headBytes > maxHeadBytes ? {} : readHeaders(headerText)
  if (!headers) return 'the headers are not JSON, or no headers'
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
    request: { method, path, query: new URLSearchParams(headBytes > maxHeadBytes ? '' : search), search, headers, body: m.data },
  }
}

// As HTTP has them, RFC 9110, 5.1 and 5.5.
const headerName = /^[!#$%&'*+.^`|~\w-]+$/
const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/

/** Names in lower case; undefined when HTTP could not carry them. */
function readHeaders(text: string): Record<string, string> | undefined {
  try {
    const value: unknown = JSON.parse(text || '{}')
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    const headers: Record<string, string> = {}
    for (const [name, v] of Object.entries(value)) {
      if (typeof v !== 'string') continue
      if (!headerName.test(name) || !headerValue.test(v)) return undefined
      headers[name.toLowerCase()] = v
    }
    return headers
  } catch {
    return undefined
  }
}
