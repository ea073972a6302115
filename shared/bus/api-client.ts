/** The API over NATS, the client's side: any number of requests and streams over one connection and one inbox. */
import { nuid, type Msg } from 'nats'
import { ShortLived } from '#shared/machinery/shortlived.ts'
import type { BusConnection } from './connection.ts'
import { Body } from './body.ts'
import { decodeFrame, decodeHead, encodeRequest, everyServer, Flag, type Alive, type Control } from './frames.ts'
import { Servers } from './liveness.ts'
import { apiSubject, inboxPrefix } from './subjects.ts'
import { bodyTooLarge, maxBodyBytes, type ApiResponse, type Transport } from './transport.ts'

/** No answer could be had. Whether the request was carried out is unknown unless the code is `unavailable`. */
export class TransportError extends Error {
  /** unavailable: nobody serves the API; timeout: no answer in time; lost: the answer broke off. */
  readonly code: 'unavailable' | 'timeout' | 'lost'
  constructor(code: TransportError['code'], message: string) {
    super(message)
    this.name = 'TransportError'
    this.code = code
  }
}

const defaultTimeoutMs = 30_000
/**
 * A server says within 300 ms that it has a request. One that nobody has spoken of for the first number of ticks of the timer was perhaps
 * with a server that died, now or since it was sent; after the second it is given up. Ticks, not time: after a pause of this process its
 * answers are read first.
 */
const tickMs = 250
const doubtfulTicks = 3
const lostTicks = 20
/** How often a request that changes nothing is sent again when its answer is lost. */
const retries = 3

interface Call {
  readonly token: string
  via: string | undefined
  /** Of the timer, without a sign of a server. */
  ticks: number
  /** Why a server went while nobody had spoken of this yet. */
  orphan: string | undefined
  /** Frames received. */
  frames: number
  readonly answered: (response: ApiResponse) => void
  readonly failed: (error: Error) => void
  body: Body | undefined
}

export function natsTransport(connection: BusConnection): Transport {
  return new NatsTransport(connection)
}

class NatsTransport implements Transport {
  readonly #connection: BusConnection
  readonly #client = nuid.next()
  readonly #inbox: string
  readonly #subject: string
  readonly #calls = new ShortLived<string, Call>()
  readonly #servers: Servers
  readonly #stop: (() => void)[]
  #count = 0
  #closed = false
  /** Since when no request has been answered, by performance.now(); undefined when the last one was. */
  #unservedSince: number | undefined

  constructor(connection: BusConnection) {
    this.#connection = connection
    this.#inbox = `${inboxPrefix(connection.identity)}.${this.#client}`
    this.#subject = apiSubject(connection.identity)
    this.#servers = new Servers(
      id => this.#control(id, { client: this.#client }, `${this.#inbox}.alive-${id}`),
      (id, why) => this.#gone(id, why),
    )
    const subscription = connection.nats.subscribe(`${this.#inbox}.*`, { callback: (e, m) => e ?? this.#receive(m) })
    const timer = setInterval(() => this.#tick(), tickMs)
    timer.unref()
    const stopListening = connection.onChange(
      connected => connected || this.#failAll(new TransportError('lost', 'the connection to NATS was lost')),
    )
    this.#stop = [() => subscription.unsubscribe(), () => clearInterval(timer), stopListening]
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const stop of this.#stop) stop()
    this.#failAll(new TransportError('lost', 'the client was closed'))
  }

  async request(request: Parameters<Transport['request']>[0]): Promise<ApiResponse> {
    const end = performance.now() + (request.timeoutMs ?? defaultTimeoutMs)
    for (let tried = 0; ; tried++) {
      try {
        return await this.#once({ ...request, timeoutMs: Math.max(1, end - performance.now()) })
      } catch (e) {
        // What changes something is not sent twice: whether it was carried out is for the caller to find out.
        const again = e instanceof TransportError && e.code === 'lost' && request.method === 'GET' && tried < retries && !this.#closed
        if (!again) throw e
      }
    }
  }

  async #once({
    method,
    path,
    query,
    headers: fields,
    body,
    signal,
    timeoutMs,
  }: Parameters<Transport['request']>[0] & { timeoutMs: number }): Promise<ApiResponse> {
    signal?.throwIfAborted()
    // The API server's own answer to it. The nats-server would close the connection.
    if (body.length > maxBodyBytes) return tooLargeAnswer()
    if (this.#closed) throw new TransportError('unavailable', 'the client is closed')
    const end = performance.now() + timeoutMs
    if (!this.#connection.connected) await this.#connected(timeoutMs, signal)
    const { promise, resolve, reject } = Promise.withResolvers<ApiResponse>()
    const token = `${++this.#count}`
    const call: Call = { token, via: undefined, ticks: 0, orphan: undefined, frames: 0, answered: resolve, failed: reject, body: undefined }
    this.#calls.set(token, call)
    const abort = () => this.#cancel(call, signal?.reason)
    const timer = setTimeout(
      () => this.#cancel(call, new TransportError('timeout', `no answer to ${method} ${path} in ${Math.round(timeoutMs)} ms`)),
      Math.max(1, end - performance.now()),
    )
    signal?.addEventListener('abort', abort)
    try {
      const search = query.toString()
      const head = encodeRequest({ method, path: search ? `${path}?${search}` : path, timeoutMs: Math.ceil(timeoutMs), headers: fields })
      this.#connection.publish(this.#subject, [head, body], { reply: `${this.#inbox}.${token}` }, reject)
      const response = await promise
      if (response.body instanceof Body && signal) response.body.whenDone(() => signal.removeEventListener('abort', abort))
      else signal?.removeEventListener('abort', abort)
      return response
    } catch (e) {
      this.#calls.delete(token)
      signal?.removeEventListener('abort', abort)
      throw e
    } finally {
      clearTimeout(timer)
    }
  }

  #connected(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error?: unknown) => {
        clearTimeout(timer)
        stop()
        signal?.removeEventListener('abort', abort)
        if (error) reject(error)
        else resolve()
      }
      const abort = () => done(signal?.reason)
      const stop = this.#connection.onChange(connected => connected && done())
      const timer = setTimeout(() => done(new TransportError('unavailable', 'there is no connection to NATS')), timeoutMs)
      signal?.addEventListener('abort', abort)
    })
  }

  #receive(m: Msg): void {
    const token = m.subject.slice(this.#inbox.length + 1)
    if (token.startsWith('alive-')) return this.#alive(token.slice('alive-'.length), m)
    const call = this.#calls.get(token)
    if (!call) return
    if (m.headers?.code === 503) {
      this.#unserved()
      return this.#fail(call, new TransportError('unavailable', 'no API server serves the bus'))
    }
    const frame = decodeFrame(m.data)
    if (!frame) return
    this.#unservedSince = undefined
    if (frame.number !== call.frames) return this.#cancel(call, new TransportError('lost', 'a part of the answer is missing'))
    call.frames++
    const { flags, payload } = frame
    if (flags & Flag.accepted) return this.#assign(call, payload.toString())
    if (flags & Flag.broken) return this.#fail(call, new TransportError('lost', payload.toString() || 'the answer broke off'))
    if (flags & Flag.head) return this.#head(call, payload, (flags & Flag.end) !== 0)
    call.body?.push(payload)
    if (flags & Flag.end) this.#end(call)
  }

  #head(call: Call, payload: Buffer, whole: boolean): void {
    const decoded = decodeHead(payload)
    if (!decoded) return this.#cancel(call, new TransportError('lost', 'the answer is not understood'))
    const { code, headers: fields, via } = decoded.head
    this.#servers.hear(via)
    if (whole) {
      this.#calls.delete(call.token)
      return call.answered({ code, headers: fields, body: decoded.rest })
    }
    this.#assign(call, via)
    call.body = new Body(
      consumed => this.#control(via, { client: this.#client, request: call.token, ack: consumed }),
      () => this.#cancel(call, undefined),
    )
    if (decoded.rest.length > 0) call.body.push(decoded.rest)
    call.answered({ code, headers: fields, body: call.body })
  }

  #assign(call: Call, via: string): void {
    call.via = via
    this.#servers.hear(via)
  }

  #end(call: Call): void {
    this.#calls.delete(call.token)
    call.body?.finish()
  }

  #fail(call: Call, error: Error): void {
    this.#calls.delete(call.token)
    call.failed(error)
    call.body?.finish(error)
  }

  /** Tells the server, and ends here: with an error, or quietly when the reader wants no more. */
  #cancel(call: Call, reason: unknown): void {
    if (!this.#calls.delete(call.token)) return
    this.#control(call.via ?? everyServer, { client: this.#client, request: call.token, cancel: true })
    const error = reason instanceof Error ? reason : new TransportError('lost', 'the request was given up')
    call.failed(error)
    call.body?.finish(reason === undefined ? undefined : error)
  }

  #failAll(error: Error): void {
    this.#servers.clear()
    for (const call of [...this.#calls.values()]) this.#fail(call, error)
  }

  #control(server: string, message: Control, reply?: string): void {
    if (!this.#connection.connected) return
    this.#connection.publish(`${this.#subject}.${server}`, JSON.stringify(message), reply ? { reply } : {})
  }

  /** Gives up requests that nobody speaks of; servers that work for us, or perhaps do, are asked whether they live. */
  #tick(): void {
    if (this.#calls.size === 0 && this.#servers.size === 0) return
    if (!this.#connection.connected) return
    let doubtful = false
    for (const call of this.#calls.values()) {
      if (call.via !== undefined) continue
      if (++call.ticks >= lostTicks) {
        this.#unserved(lostTicks * tickMs)
        this.#cancel(call, new TransportError('lost', 'no API server speaks of the request'))
      } else if (call.ticks >= doubtfulTicks && call.orphan !== undefined) this.#cancel(call, new TransportError('lost', call.orphan))
      else if (call.ticks >= doubtfulTicks) doubtful = true
    }
    if (!this.#servers.due) return
    const used = new Set<string>()
    for (const { via } of this.#calls.values()) if (via !== undefined) used.add(via)
    this.#servers.check(used, doubtful)
  }

  /** There is no API server where we ask: perhaps there is by way of another NATS server. */
  #unserved(forMs = 0): void {
    const now = performance.now()
    this.#unservedSince ??= now - forMs
    this.#connection.elsewhere(now - this.#unservedSince)
  }

  #alive(id: string, m: Msg): void {
    if (m.headers?.code === 503) return this.#servers.lose(id, 'the API server is gone')
    let answer: Alive
    try {
      answer = m.json<Alive>()
    } catch {
      return
    }
    if (!this.#servers.answered(id, answer.nextMs)) return
    // Messages of one server come in order: at this point we have all frames that it had sent when it answered.
    for (const call of [...this.#calls.values()]) {
      if (call.via !== id || answer.requests[call.token] === call.frames) continue
      this.#cancel(call, new TransportError('lost', 'a part of the answer is missing'))
    }
  }

  #gone(id: string, why: string): void {
    for (const call of [...this.#calls.values()]) {
      if (call.via === id || (call.via === undefined && call.ticks >= doubtfulTicks)) this.#fail(call, new TransportError('lost', why))
      else if (call.via === undefined) call.orphan = why
    }
  }
}

function tooLargeAnswer(): ApiResponse {
  const { status, code } = bodyTooLarge()
  return { code, headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(status)) }
}
