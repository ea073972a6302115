/**
 * HTTPS connections to one server, or to the endpoints of one Service: kept, bounded, each call with a deadline. HTTP/1.1, as upstream's.
 */
import type { ClientRequest } from 'node:http'
import { Agent, request } from 'node:https'
import type { Duplex } from 'node:stream'
import { createSecureContext, getCACertificates } from 'node:tls'
import { dialError, goError } from '#shared/component/neterror.ts'
import { DialingAgent } from '../proxy/dialingagent.ts'
import type { ServiceAddress } from '../proxy/service.ts'

export interface PoolOptions {
  /** PEM; the system's authorities when absent. */
  readonly ca?: string | undefined
  /** Of a Service: the name that the certificate must be for, and where it is reached now; throws when that is nowhere. */
  readonly service?: { readonly servername: string; readonly addresses: () => readonly ServiceAddress[] }
}

export interface PostOptions {
  readonly timeoutMs: number
  /** Aborts when nobody waits any more. */
  readonly signal: AbortSignal | undefined
  /** Of the answer. */
  readonly maxBytes: number
}

export interface Answer {
  readonly status: number
  readonly body: string
}

/** Calls at a time; others wait for their turn, within their deadlines. */
const maxCalls = 64
const maxIdle = 16
const idleMs = 60_000
/** Endpoints that one dial tries. */
const maxTries = 3
const refusedMs = 1000

let system: string[] | undefined
/** Read once: there are hundreds. */
function systemAuthorities(): string[] {
  if (!system) {
    const own = getCACertificates('system')
    system = own.length > 0 ? own : getCACertificates('bundled')
  }
  return system
}

export class HttpsPool {
  readonly #options: PoolOptions
  readonly #agent: Agent
  readonly #waiting = new Set<() => void>()
  /** Which address a connection leads to. */
  readonly #hosts = new WeakMap<Duplex, string>()
  /** When endpoints refused a connection last. */
  readonly #refused = new Map<string, number>()
  #calls = 0

  /** Throws when `ca` is no PEM. */
  constructor(options: PoolOptions) {
    this.#options = options
    const { ca, service } = options
    if (service) this.#agent = new DialingAgent(signal => this.#dial(service.addresses(), signal), { ca, servername: service.servername })
    else {
      const secureContext = createSecureContext({ ca: ca ?? systemAuthorities(), allowPartialTrustChain: true })
      this.#agent = new Agent({ keepAlive: true, maxFreeSockets: maxIdle, timeout: idleMs, scheduling: 'lifo', secureContext })
    }
  }

  /** Posts JSON to a path. Rejects with an Error in Go's words, behind the `Post "URL": ` of which they stand. */
  async post(url: URL, path: string, body: string, { timeoutMs, signal, maxBytes }: PostOptions): Promise<Answer> {
    const deadline = AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs)))
    const ends = signal ? AbortSignal.any([deadline, signal]) : deadline
    const failed = (e: unknown): Error => {
      if (deadline.aborted) return new Error('context deadline exceeded')
      if (signal?.aborted) return new Error('context canceled')
      return new Error(reasonOf(e, url))
    }
    try {
      this.#forgetGone()
      await this.#turn(ends)
    } catch (e) {
      throw failed(e)
    }
    try {
      return await this.#send(url, path, body, ends, maxBytes)
    } catch (e) {
      throw failed(e)
    } finally {
      this.#calls--
      const [next] = this.#waiting
      if (next) this.#waiting.delete(next)
      next?.()
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  /** Waits until fewer calls are under way. */
  async #turn(ends: AbortSignal): Promise<void> {
    while (this.#calls >= maxCalls) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiting.add(resolve)
      ends.addEventListener('abort', () => resolve(), { once: true })
      await promise
      this.#waiting.delete(resolve)
      ends.throwIfAborted()
    }
    this.#calls++
  }

  /** Idle connections to endpoints that are no more would fail, or hang. Throws when there are no endpoints. */
  #forgetGone(): void {
    if (!(this.#agent instanceof DialingAgent)) return
    const addresses = this.#options.service!.addresses()
    this.#agent.prune(dialled => addresses.some(to => to.host === this.#hosts.get(dialled)))
  }

  /** Tries some endpoints, in random order, but last those that refused lately: a pod may be gone before its endpoint is. */
  async #dial(addresses: readonly ServiceAddress[], signal: AbortSignal): Promise<Duplex> {
    const late = (to: ServiceAddress): number => (performance.now() - (this.#refused.get(to.host) ?? -Infinity) < refusedMs ? 1 : 0)
    const order = addresses.map(to => ({ to, at: Math.random() + late(to) })).sort((a, b) => a.at - b.at)
    const hosts = new Set(addresses.map(to => to.host))
    for (const host of this.#refused.keys()) if (!hosts.has(host)) this.#refused.delete(host)
    let failure: unknown
    for (const { to } of order.slice(0, maxTries)) {
      const refused = (): void => void this.#refused.set(to.host, performance.now())
      try {
        const dialled = await to.dial(signal)
        this.#hosts.set(dialled, to.host)
        // A node says only now that it could not connect.
        dialled.once('error', refused)
        return dialled
      } catch (e) {
        refused()
        failure = e
      }
    }
    throw failure
  }

  /**
   * Once more when nothing can have been read of the request: on a new connection when one that was kept had been closed at the other end,
   * at another endpoint when one was not there.
   */
  async #send(url: URL, path: string, body: string, ends: AbortSignal, maxBytes: number): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await exchange(this.#agent, url, path, body, ends, maxBytes)
      } catch (e) {
        const stale = e instanceof Stale
        if (ends.aborted || attempt === maxTries || !(stale || this.#mayBeElsewhere(e))) throw stale ? e.cause : e
        if (stale) for (const sockets of Object.values(this.#agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy()
      }
    }
  }

  #mayBeElsewhere(e: unknown): boolean {
    return (
      this.#options.service !== undefined && (e as Error).message.startsWith('dial tcp ') && this.#options.service.addresses().length > 1
    )
  }
}

/** A connection broke that had been used before, without a byte of an answer. */
class Stale extends Error {}

/** In Go's words. */
function reasonOf(e: unknown, { hostname, port }: URL): string {
  const { code = '', syscall, message } = e as { code?: string; syscall?: string; message?: string }
  // Node gives it the code of a reset.
  if (message === 'socket hang up') return 'EOF'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `dial tcp: lookup ${hostname}: no such host`
  return syscall === 'connect' ? dialError(e, `${hostname}:${port || 443}`) : goError(e)
}

function exchange(agent: Agent, url: URL, path: string, body: string, signal: AbortSignal, maxBytes: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const bytes = Buffer.from(body)
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, */*',
      'user-agent': 'kube-apiserver-admission',
      'content-length': bytes.length,
    }
    const fail = (e: unknown): void => reject(req.reusedSocket && !req.res && isBroken(e) ? new Stale('', { cause: e }) : e)
    const req: ClientRequest & { res?: unknown } = request(url, { method: 'POST', path, headers, agent, signal }, res => {
      const chunks: Buffer[] = []
      let size = 0
      res.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size <= maxBytes) chunks.push(chunk)
        else res.destroy(new Error(`http: response body too large, limit is ${maxBytes} bytes`))
      })
      res.on('end', () => resolve({ status: res.statusCode ?? 0, body: Buffer.concat(chunks).toString() }))
      res.on('error', reject)
    })
    req.on('error', fail)
    req.end(bytes)
  })
}

const isBroken = (e: unknown): boolean => ['ECONNRESET', 'EPIPE'].includes((e as { code?: string }).code ?? '')
