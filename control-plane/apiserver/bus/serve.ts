/** Serves the API over NATS: one queue group of all API servers, each request answered in numbered frames to its sender's inbox. */
import { nuid, type Msg } from 'nats'
import type { BusConnection } from '#shared/bus/connection.ts'
import { everyServer, type Alive, type Control } from '#shared/bus/frames.ts'
import { garbageLog } from '#shared/bus/garbage.ts'
import { toToken } from '#shared/bus/subjects.ts'
import {
  bodyTooLarge,
  headTooLarge,
  maxBodyBytes,
  maxHeadBytes,
  type ApiRequest,
  type ApiResponse,
  type UserInfo,
} from '#shared/bus/transport.ts'
import { logger, type Logger } from '#shared/component/log.ts'
import { ShortLived } from '#shared/machinery/shortlived.ts'
import { badRequest, internalError, StatusError, timeout } from '#shared/machinery/status.ts'
import { tooManyRequests } from '../flowcontrol/flowcontrol.ts'
import { Answer } from './answer.ts'
import { userOf } from './identity.ts'
import { identityOfSubject, readRequest, type BusRequest } from './request.ts'
import { Arrivals } from '../chain/arrivals.ts'
import { RunQueue } from '../chain/runqueue.ts'

export type ApiHandler = (request: ApiRequest, user: UserInfo | undefined) => Promise<ApiResponse>

export interface ServeOptions {
  log?: Logger
  /** Where requests wait until they are begun; by default one of its own. */
  arrivals?: Arrivals
  /** A client that was not heard of for that long is gone, ms; default 15,000. */
  clientSilenceMs?: number
}

export interface ApiService {
  /** Requests and streams that last. */
  readonly active: number
  /** Takes no new requests and breaks off those that last. */
  close(): Promise<void>
}

/** One client's connection: its requests and when it was last heard of. */
interface Client {
  heard: number
  readonly answers: ShortLived<string, Answer>
}

/** Clients are told of requests that take longer than this, so that they notice when the server dies. */
const acceptAfterMs = 300
/** So long, ms, is between the questions of one client whether we live, for each client that there is: some 300 a second at most. */
const askMsPerClient = 3
/** Leases of leaders and nodes, and the status of nodes: begun at once, whatever came before them. */
const heartbeats = /^\/(apis\/coordination\.k8s\.io\/v1\/namespaces\/[^/]+\/leases\/[^/]+|api\/v1\/nodes\/[^/]+\/status)$/

export function serveApi(connection: BusConnection, handler: ApiHandler, options: ServeOptions = {}): ApiService {
  const { nats } = connection
  const log = options.log ?? logger('bus')
  const silenceMs = options.clientSilenceMs ?? 15_000
  const id = nuid.next()
  const clients = new Map<string, Client>()
  const arrivals = options.arrivals ?? new Arrivals(new RunQueue())
  const garbage = garbageLog(log, 'a message on the bus was dropped')

  const clientOf = (key: string): Client => {
    let client = clients.get(key)
    if (!client) clients.set(key, (client = { heard: 0, answers: new ShortLived() }))
    client.heard = performance.now()
    return client
  }

  const onRequest = (m: Msg) => {
    const read = readRequest(m)
    if (typeof read === 'string') return garbage(m, read)
    const key = `${toToken(read.identity)}.${read.client}`
    const client = clientOf(key)
    if (client.answers.has(read.token)) return garbage(m, 'a request of that number is under way')
    const answer = new Answer(connection, read.reply, id, () => client.answers.delete(read.token))
    client.answers.set(read.token, answer)
    if (read.headBytes > maxHeadBytes) refuse(answer, headTooLarge())
    else if (read.request.body.length > maxBodyBytes) refuse(answer, bodyTooLarge())
    else if (heartbeats.test(read.request.path)) begin(read, answer)
    else if (!arrivals.add(read.identity, read.request.body.length, () => begin(read, answer))) refuse(answer, tooManyRequests())
  }
  const refuse = (answer: Answer, e: StatusError) => void answer.send(statusResponse(e)).catch(() => {})
  const begin = (read: BusRequest, answer: Answer) => {
    if (answer.signal.aborted) return
    respond(read, answer).catch((e: Error) => {
      log.error({ error: e.message, path: read.request.path }, 'an answer broke off')
      answer.break('the answer broke off')
    })
  }

  const respond = async (read: BusRequest, answer: Answer) => {
    if (read.request.headers['upgrade'] !== undefined)
      return answer.send(statusResponse(badRequest('a request over NATS cannot upgrade its connection: use HTTPS')))
    const accept = setTimeout(() => answer.accept(), acceptAfterMs)
    const deadline = setTimeout(() => answer.abort('deadline'), read.timeoutMs)
    try {
      const response = await handler({ ...read.request, signal: answer.signal }, userOf(read.identity)).catch((e: unknown) =>
        failure(e, read, answer),
      )
      clearTimeout(accept)
      clearTimeout(deadline)
      await answer.send(response)
    } finally {
      clearTimeout(accept)
      clearTimeout(deadline)
    }
  }

  const failure = (e: unknown, read: BusRequest, answer: Answer): ApiResponse => {
    if (e instanceof StatusError) return statusResponse(e)
    if (answer.signal.aborted) return statusResponse(timeout('request did not complete within the allotted timeout'))
    log.error({ err: e, method: read.request.method, path: read.request.path, user: read.identity }, 'a request failed')
    return statusResponse(internalError((e as Error)?.message ?? String(e)))
  }

  const onControl = (m: Msg) => {
    const identity = identityOfSubject(m.subject)
    const control = readControl(m)
    if (!identity || !control) return garbage(m, 'not a control message')
    const key = `${toToken(identity)}.${control.client}`
    const client = clients.get(key)
    if (client) client.heard = performance.now()
    if (control.request === undefined) return heartbeat(m, key, client)
    const answer = client?.answers.get(control.request)
    if (control.cancel) answer?.abort('the client cancelled')
    else if (control.ack !== undefined) answer?.acknowledge(control.ack)
  }

  const heartbeat = (m: Msg, key: string, client: Client | undefined) => {
    if (m.reply !== `_INBOX.${key}.alive-${id}`) return garbage(m, 'the reply subject is not an inbox of the sender')
    const alive: Alive = {
      requests: Object.fromEntries([...(client?.answers ?? [])].map(([token, a]) => [token, a.frames])),
      nextMs: Math.max(1_000, clients.size * askMsPerClient),
    }
    // Behind the frames that it speaks of.
    connection.publish(m.reply, JSON.stringify(alive))
  }

  const sweep = setInterval(() => {
    const now = performance.now()
    for (const [key, client] of clients) {
      if (client.answers.size === 0) clients.delete(key)
      else if (now - client.heard > silenceMs + clients.size * askMsPerClient) {
        log.info({ client: key, requests: client.answers.size }, 'a client is silent; its requests are dropped')
        for (const answer of client.answers.values()) answer.abort('the client is silent')
        clients.delete(key)
      }
    }
  }, silenceMs / 8)
  sweep.unref()
  const abortAll = (why: string) => {
    for (const client of clients.values()) for (const answer of client.answers.values()) answer.abort(why)
    clients.clear()
  }
  const safely = (handle: (m: Msg) => void) => (e: Error | null, m: Msg) => {
    try {
      if (!e) handle(m)
    } catch (error) {
      // Thrown here, it would end the connection's reader.
      log.error({ err: error, subject: m.subject }, 'a message on the bus could not be handled')
    }
  }
  const subscriptions = [
    nats.subscribe('api.*', { queue: 'apiserver', callback: safely(onRequest) }),
    nats.subscribe(`api.*.${id}`, { callback: safely(onControl) }),
    nats.subscribe(`api.*.${everyServer}`, { callback: safely(onControl) }),
  ]
  // What was sent meanwhile is lost: clients end their streams too, and resume.
  const stopListening = connection.onChange(connected => connected || abortAll('the connection to NATS was lost'))
  return {
    get active() {
      return [...clients.values()].reduce((n, c) => n + c.answers.size, 0)
    },
    async close() {
      stopListening()
      clearInterval(sweep)
      for (const s of subscriptions) s.unsubscribe()
      for (const client of clients.values())
        for (const answer of [...client.answers.values()]) answer.break('the API server is shutting down')
      clients.clear()
      if (connection.connected) await connection.flush().catch(() => {})
    },
  }
}

const statusResponse = (e: StatusError): ApiResponse => ({
  code: e.code,
  headers: { 'content-type': 'application/json' },
  body: Buffer.from(JSON.stringify(e.status)),
})

function readControl(m: Msg): Control | undefined {
  try {
    const c = JSON.parse(Buffer.from(m.data).toString()) as Partial<Control> | null
    if (typeof c?.client !== 'string' || !/^\w+$/.test(c.client)) return undefined
    if (c.request !== undefined && typeof c.request !== 'string') return undefined
    if (c.ack !== undefined && typeof c.ack !== 'number') return undefined
    return c as Control
  } catch {
    return undefined
  }
}
