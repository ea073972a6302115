/** One HTTP exchange with a registry: redirects, proxies, certificates, deadlines. Errors are in the words of containerd's client. */
import http from 'node:http'
import https from 'node:https'
import { isIP } from 'node:net'
import tls from 'node:tls'
import { isLoopback, type Registries, type TlsOptions } from './registries.ts'

export interface Answer {
  status: number
  headers: http.IncomingHttpHeaders
  /** To be read or destroyed. */
  body: http.IncomingMessage
}

export interface Question {
  method: 'GET' | 'HEAD' | 'POST'
  url: URL
  headers?: { [name: string]: string }
  body?: string
  signal: AbortSignal
}

export interface Transport {
  /** Rejects with RequestError when there is no answer, or with the signal's reason. */
  send(question: Question): Promise<Answer>
  close(): void
}

/** There was no answer. `code` is the system's. */
export class RequestError extends Error {
  readonly code: string
  constructor(message: string, code: string) {
    super(message)
    this.code = code
  }
  /** Another attempt may be lucky. */
  get passing(): boolean {
    return ['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ECONNABORTED', 'ESTALLED'].includes(this.code)
  }
}

/** Nothing came for so long: the connection is dead. */
export const stalledMs = 30_000
const maxRedirects = 10

export function newTransport(registries: Registries): Transport {
  const agents = new Map<string, http.Agent>()
  /** Go's clients never ask a proxy for the machine itself. */
  function agentFor(url: URL, options: TlsOptions): http.Agent {
    const secure = url.protocol === 'https:'
    const key = [url.protocol, isLoopback(url.host), JSON.stringify(options)].join(' ')
    const known = agents.get(key)
    if (known) return known
    const common = { keepAlive: true, maxSockets: 8, ...(isLoopback(url.host) ? {} : { proxyEnv: process.env }) }
    const made = secure ? new https.Agent({ ...common, ...secureOptions(options) }) : new http.Agent(common)
    agents.set(key, made)
    return made
  }
  async function once({ method, url, headers = {}, body, signal }: Question): Promise<Answer> {
    signal.throwIfAborted()
    const module = url.protocol === 'https:' ? https : http
    return await new Promise<Answer>((resolve, reject) => {
      const request = module.request(url, { method, headers, agent: agentFor(url, registries.tls(url.host)), signal })
      request.setTimeout(stalledMs, () => request.destroy(Object.assign(new Error('i/o timeout'), { code: 'ESTALLED' })))
      request.once('response', answer => {
        // What goes wrong later is told by reading the body; without a reader it must not end the process.
        answer.on('error', () => {})
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: answer })
      })
      request.on('error', (error: NodeJS.ErrnoException) => reject(signal.aborted ? (signal.reason as Error) : error))
      request.end(body)
    })
  }
  return {
    async send(question) {
      const headers = { ...question.headers }
      let { url } = question
      for (let hops = 0; ; hops++) {
        let answer: Answer
        try {
          answer = await once({ ...question, url, headers })
        } catch (error) {
          if (question.signal.aborted) throw error
          throw requestError(question, url, error as NodeJS.ErrnoException)
        }
        const { location } = answer.headers
        if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined || question.method === 'POST') return answer
        answer.body.destroy()
        const fail = (why: string): never => {
          throw new RequestError(`${verb(question)}: ${why}`, 'EREDIRECT')
        }
        if (hops >= maxRedirects) fail(`stopped after ${maxRedirects} redirects`)
        const next = URL.canParse(location, url) ? new URL(location, url) : fail('failed to parse Location header')
        if (next.protocol !== 'https:' && next.protocol !== 'http:') fail(`unsupported protocol scheme "${next.protocol.slice(0, -1)}"`)
        // Credentials are for this host, and for nobody who listens on the way.
        if (next.host !== url.host || (next.protocol === 'http:' && url.protocol === 'https:')) delete headers.authorization
        next.username = next.password = ''
        url = next
      }
    },
    close() {
      for (const agent of agents.values()) agent.destroy()
    },
  }
}

let systemCertificates: string[] | undefined
/** What the system trusts, beside what Node does. */
const trusted = (): string[] =>
  (systemCertificates ??= [...new Set([...tls.getCACertificates('default'), ...tls.getCACertificates('system')])])

function secureOptions({ ca, cert, key, skipVerify }: TlsOptions): https.AgentOptions {
  return {
    secureContext: tls.createSecureContext({ ca: [...trusted(), ...(ca ? [ca] : [])], ...(cert ? { cert } : {}), ...(key ? { key } : {}) }),
    rejectUnauthorized: !skipVerify,
  }
}

const verb = ({ method, url }: Pick<Question, 'method' | 'url'>): string =>
  `failed to do request: ${method[0]}${method.slice(1).toLowerCase()} ${JSON.stringify(shown(url))}`

/** Without what may be secret. */
export const shown = (url: URL): string => `${url.protocol}//${url.host}${url.pathname}${url.search}`

const dial: { [code: string]: string } = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ETIMEDOUT: 'i/o timeout',
}
const unknownAuthority = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
]

function requestError(question: Question, url: URL, error: NodeJS.ErrnoException): RequestError {
  const first = error instanceof AggregateError ? (error.errors[0] as NodeJS.ErrnoException) : error
  const code = first.code ?? 'EUNKNOWN'
  const { address, port } = first as { address?: string; port?: number }
  const where = `${address?.includes(':') ? `[${address}]` : (address ?? url.hostname)}:${port ?? (url.port || (url.protocol === 'https:' ? 443 : 80))}`
  const said = (): string => {
    if (dial[code] !== undefined) return `dial tcp ${where}: ${dial[code]}`
    if (code === 'ENOTFOUND') return `dial tcp: lookup ${url.hostname}: no such host`
    if (code === 'EAI_AGAIN') return `dial tcp: lookup ${url.hostname}: Temporary failure in name resolution`
    if (code === 'ECONNRESET') return /hang up/.test(first.message) ? 'EOF' : 'read: connection reset by peer'
    if (unknownAuthority.includes(code)) return 'tls: failed to verify certificate: x509: certificate signed by unknown authority'
    if (code === 'CERT_HAS_EXPIRED') return 'tls: failed to verify certificate: x509: certificate has expired or is not yet valid'
    if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
      return `tls: failed to verify certificate: x509: certificate is not valid for ${isIP(url.hostname) ? url.hostname : JSON.stringify(url.hostname)}`
    if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|EPROTO/.test(code)) return 'http: server gave HTTP response to HTTPS client'
    if (code.startsWith('HPE_')) return `malformed HTTP response: ${first.message}`
    return first.message
  }
  return new RequestError(`${verb(question)}: ${said()}`, code)
}

/** Reads a small body. Rejects when it has more than `limit` bytes, or when it breaks off. */
export async function readBody({ body }: Answer, limit: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let size = 0
  try {
    for await (const part of body as AsyncIterable<Buffer>) {
      if ((size += part.byteLength) > limit) throw new RequestError(`the answer has more than ${limit} bytes`, 'ETOOLARGE')
      parts.push(part)
    }
  } catch (error) {
    if (error instanceof RequestError) throw error
    const { message, code } = error as NodeJS.ErrnoException
    throw new RequestError(code === 'ECONNRESET' ? 'unexpected EOF' : message, code ?? 'EUNKNOWN')
  } finally {
    body.destroy()
  }
  return Buffer.concat(parts)
}
