/** Another API server, as an APIService names it: requests go to it with the identity of who asks. */
import type { IncomingMessage } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import type { APIService } from '#shared/api/apiregistration/apiservice.ts'
import type { BusConnection } from '#shared/bus/connection.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import { goError } from '#shared/component/neterror.ts'
import { StatusError } from '#shared/machinery/status.ts'
import type { RequestContext } from '../chain/chain.ts'
import { textAnswer, type Answer } from '../chain/response.ts'
import { DialingAgent } from '../proxy/dialingagent.ts'
import { followClient, forwarded, passed, respond, upgraded, wantsUpgrade } from '../proxy/forward.ts'
import { resolveService } from '../proxy/service.ts'
import type { Registry } from '../registry/registry.ts'
import { identityHeaders, isIdentity } from './identity.ts'

export interface RemoteParts {
  readonly registry: Registry
  readonly bus: BusConnection
  /** By which other servers know this one, PEM. */
  readonly proxyClient?: { readonly cert: string; readonly key: string } | undefined
}

export interface Fetched {
  readonly code: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export interface FetchOptions {
  readonly accept?: string
  readonly etag?: string | undefined
  readonly deadlineMs: number
  readonly maxBytes: number
}

/** As whom the server asks for itself. */
const aggregator: UserInfo = { name: 'system:kube-aggregator', groups: ['system:masters'] }
const maxHeaderSize = 256 * 1024

export class RemoteServer {
  readonly #parts: RemoteParts
  readonly #service: { namespace: string; name: string; port: number }
  readonly #host: string
  readonly #agent: DialingAgent
  /** Checks no certificate: what it learns is only whether somebody answers, as upstream. */
  readonly #careless: DialingAgent
  /** Of the endpoint that was dialled last. */
  #endpoint = ''

  /** Throws for a bundle of authorities that is none. */
  constructor(parts: RemoteParts, { spec }: APIService) {
    const { namespace = '', name = '', port = 443 } = spec.service ?? {}
    this.#parts = parts
    this.#service = { namespace, name, port }
    const servername = `${name}.${namespace}.svc`
    this.#host = port === 443 ? servername : `${servername}:${port}`
    const ca = spec.caBundle ? Buffer.from(spec.caBundle, 'base64').toString() : undefined
    const dial = async (signal: AbortSignal) => {
      const address = resolveService(parts.registry, parts.bus, this.#service)
      this.#endpoint = address.host
      return address.dial(signal)
    }
    const client = { ...parts.proxyClient, servername }
    this.#agent = new DialingAgent(dial, { ...client, ca, insecure: spec.insecureSkipTLSVerify })
    this.#careless = spec.insecureSkipTLSVerify ? this.#agent : new DialingAgent(dial, { ...client, insecure: true })
  }

  /** Where it was reached last, for messages. */
  get endpoint(): string {
    return this.#endpoint || this.#host
  }

  /** Requests that are under way go on; no more come. */
  retire(): void {
    this.#agent.retire()
    this.#careless.retire()
  }

  /** GET for the server itself. Rejects without a whole answer within the deadline and the limit, in Go's words. */
  fetch(path: string, { accept = 'application/json', etag, deadlineMs, maxBytes }: FetchOptions, careless = false): Promise<Fetched> {
    const headers = { host: this.#host, accept, ...(etag ? { 'if-none-match': etag } : {}), ...identityHeaders(aggregator) }
    const agent = careless ? this.#careless : this.#agent
    const signal = AbortSignal.timeout(deadlineMs)
    return new Promise((resolve, reject) => {
      const failed = (e: Error): void =>
        reject(new Error(signal.aborted ? 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)' : goError(e)))
      const req = httpsRequest({ path, headers, agent, signal, maxHeaderSize, setHost: false } as RequestOptions, res => {
        const chunks: Buffer[] = []
        let size = 0
        res.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > maxBytes) res.destroy(new Error(`the answer has more than ${maxBytes} bytes`))
          else chunks.push(chunk)
        })
        res.on('end', () => resolve({ code: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks) }))
        res.on('error', failed)
      })
      req.on('error', failed)
      req.end()
    })
  }

  /** Passes a request on, of any method, with its body as it comes, and a connection that is upgraded. */
  async forward({ request, user, auditId }: RequestContext): Promise<Answer> {
    const upgrade = wantsUpgrade(request.headers)
    const headers = {
      ...Object.fromEntries(Object.entries(forwarded(request, upgrade)).filter(([name]) => !isIdentity(name))),
      ...identityHeaders(user),
      host: this.#host,
      'audit-id': auditId,
      ...(request.remoteAddress ? { 'x-forwarded-for': forwardedFor(request.headers['x-forwarded-for'], request.remoteAddress) } : {}),
    }
    const hasBody = (request.incoming && request.incoming.length !== 0) || request.body.length > 0
    const { method, path, search, signal } = request
    try {
      for (let attempt = 1; ; attempt++) {
        const connection = upgrade ? await this.#agent.open(signal) : undefined
        const options = { method, path: path + search, headers, maxHeaderSize, setHost: false }
        const up = httpsRequest({
          ...options,
          ...(connection ? { createConnection: () => connection } : { agent: this.#agent }),
        } as RequestOptions)
        followClient(up, signal)
        try {
          const response = await respond(up, request)
          return upgrade ? upgraded(response) : passed(response, method)
        } catch (e) {
          // The server closed a connection that nobody used, just now.
          if (!up.reusedSocket || hasBody || attempt > 2 || signal.aborted) throw e
        }
      }
    } catch (e) {
      if (e instanceof StatusError) return errorAnswer(e.code, e.message)
      return errorAnswer(503, `error trying to reach service: ${goError(e)}`)
    }
  }
}

const forwardedFor = (said: string | undefined, address: string): string => (said ? `${said}, ${address}` : address)

/** As Go's http.Error. */
export const errorAnswer = (code: number, text: string): Answer => textAnswer(code, `${text}\n`)
