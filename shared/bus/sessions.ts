/**
 * Sessions over NATS: see session.ts for what they are. The opener publishes to a subject, the acceptor answers with where it listens; from
 * then on both send numbered frames. Each channel has a window of its own in each direction, so that one that nobody reads does not hold up
 * the others.
 *
 * A node may publish below `api.<its identity>.` only, so that is where an opener listens for it, and it is answered at an inbox of its own:
 * anything else that a peer names is refused.
 */
import { createInbox, nuid, type Msg, type Subscription } from 'nats'
import { logger, type Logger } from '../component/log.ts'
import type { BusConnection } from './connection.ts'
import { Channel, type Session } from './session.ts'
import { apiSubject, inboxPrefix, isBelow } from './subjects.ts'

/** Type, channel, number; then the payload. */
const Type = { accept: 1, data: 2, end: 3, credit: 4, heartbeat: 5, close: 6 } as const
const headerLength = 6
const maxChannel = Math.max(...Object.values(Channel))

/** What may be under way on one channel. */
const windowBytes = 1 << 20
const maxPiece = 128 << 10
const heartbeatMs = 2_000
const silenceMs = 10_000

interface OpenMessage {
  session: string
  open: unknown
}

/**
 * Asks the node of `subject` (as `nodeSubject` makes it) for a session. Rejects when nobody serves it, when it is not accepted within
 * `timeoutMs` (default 10 s), or on `signal`.
 */
export async function openSession(
  connection: BusConnection,
  subject: string,
  open: unknown,
  options: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<Session> {
  const { timeoutMs = 10_000, signal } = options
  signal?.throwIfAborted()
  if (!connection.connected) throw new Error('there is no connection to NATS')
  const id = nuid.next()
  const node = /^node\.([^.]+)\.\w+$/.exec(subject)?.[1]
  if (!node) throw new Error(`${subject} is not a subject of a node`)
  const accepted = Promise.withResolvers<void>()
  const session = new BusSession(connection, `api.${node}.session.${id}`, open, {
    inboxes: `_INBOX.${node}`,
    settled: error => (error ? accepted.reject(error) : accepted.resolve()),
  })
  const timer = setTimeout(() => accepted.reject(new Error(`no answer from ${subject} in ${timeoutMs} ms`)), timeoutMs)
  const abort = () => accepted.reject(signal?.reason)
  signal?.addEventListener('abort', abort)
  try {
    const message: OpenMessage = { session: id, open }
    connection.publish(subject, JSON.stringify(message), { reply: session.inbox }, accepted.reject)
    await accepted.promise
    return session
  } catch (e) {
    session.close((e as Error).message)
    throw e
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}

export interface SessionService {
  /** Closes all sessions and takes no more. */
  close(): void
}

/** Serves sessions on a subject. A session is closed when its handler is through; when the handler throws, with the error's message. */
export function serveSessions(
  connection: BusConnection,
  subject: string,
  handler: (session: Session) => Promise<void>,
  log: Logger = logger('bus'),
): SessionService {
  const sessions = new Set<BusSession>()
  const replies = `${apiSubject(connection.identity)}.session`
  const accept = (m: Msg) => {
    const message = readOpen(m)
    if (!message || !m.reply || !isBelow(replies, m.reply))
      return log.warn({ subject: m.subject, reply: m.reply }, 'a message on the bus was dropped: it opens no session')
    const session = new BusSession(connection, createInbox(inboxPrefix(connection.identity)), message.open)
    sessions.add(session)
    session.accept(m.reply)
    Promise.resolve()
      .then(() => handler(session))
      .then(
        () => session.close(),
        (e: Error) => {
          if (!session.signal.aborted) log.warn({ subject, error: e.message }, 'a session failed')
          session.close(e.message)
        },
      )
      .finally(() => sessions.delete(session))
  }
  const subscription = connection.nats.subscribe(subject, {
    callback: (e, m) => {
      if (!e) accept(m)
    },
  })
  return {
    close() {
      subscription.unsubscribe()
      for (const session of sessions) session.close('the server is shutting down')
    },
  }
}

function readOpen(m: Msg): OpenMessage | undefined {
  try {
    const message = JSON.parse(Buffer.from(m.data).toString()) as Partial<OpenMessage> | null
    return typeof message?.session === 'string' && 'open' in message ? (message as OpenMessage) : undefined
  } catch {
    return undefined
  }
}

interface Incoming {
  pieces: Uint8Array[]
  ended: boolean
  received: number
  consumed: number
  credited: number
  wake: (() => void) | undefined
}
interface Outgoing {
  sent: number
  /** How much the other side has consumed. */
  credit: number
  wake: (() => void)[]
}

/** What an opener waits for. */
interface Opening {
  /** The subject below which the acceptor's inbox must be. */
  readonly inboxes: string
  /** Called once: the session is accepted, or why it is not. */
  readonly settled: (error?: Error) => void
}

class BusSession implements Session {
  readonly open: unknown
  /** Where this side listens. */
  readonly inbox: string
  readonly #connection: BusConnection
  readonly #subscription: Subscription
  readonly #abort = new AbortController()
  readonly #incoming = new Map<number, Incoming>()
  readonly #outgoing = new Map<number, Outgoing>()
  readonly #timer: NodeJS.Timeout
  #opening: Opening | undefined
  /** Where the other side listens, as soon as it is known. */
  #to: string | undefined
  #sentFrames = 0
  #receivedFrames = 0
  #heard = performance.now()
  #lastSent = 0

  constructor(connection: BusConnection, inbox: string, open: unknown, opening?: Opening) {
    this.open = open
    this.#connection = connection
    this.inbox = inbox
    this.#opening = opening
    this.#subscription = connection.nats.subscribe(inbox, { callback: (e, m) => (e ? this.#finish(e.message) : this.#receive(m)) })
    this.#timer = setInterval(() => this.#tick(), heartbeatMs / 2)
    this.#timer.unref()
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Tells the opener where to send. */
  accept(to: string): void {
    this.#to = to
    this.#send(Type.accept, 0, Buffer.from(this.inbox))
  }

  async send(channel: number, data: Uint8Array): Promise<void> {
    const out = this.#out(channel)
    for (let at = 0; at < data.length; at += maxPiece) {
      while (out.sent - out.credit >= windowBytes && !this.signal.aborted) await new Promise<void>(resolve => out.wake.push(resolve))
      this.signal.throwIfAborted()
      const piece = data.subarray(at, at + maxPiece)
      out.sent += piece.length
      this.#send(Type.data, channel, piece)
    }
    this.signal.throwIfAborted()
  }

  end(channel: number): void {
    if (!this.signal.aborted) this.#send(Type.end, channel)
  }

  async *read(channel: number): AsyncGenerator<Uint8Array> {
    const incoming = this.#in(channel)
    for (;;) {
      const piece = incoming.pieces.shift()
      if (piece) {
        // Credit is given when the reader comes back for more: it is through with this piece.
        yield piece
        incoming.consumed += piece.length
        if (!incoming.ended && incoming.consumed - incoming.credited >= windowBytes / 4) this.#credit(channel, incoming)
      } else if (incoming.ended || this.signal.aborted) return
      else await new Promise<void>(resolve => (incoming.wake = resolve))
    }
  }

  close(reason?: string): void {
    if (this.signal.aborted) return
    if (this.#to) this.#send(Type.close, 0, Buffer.from(reason ?? ''))
    this.#finish(reason ?? 'closed')
  }

  #in(channel: number): Incoming {
    let incoming = this.#incoming.get(channel)
    if (!incoming)
      this.#incoming.set(channel, (incoming = { pieces: [], ended: false, received: 0, consumed: 0, credited: 0, wake: undefined }))
    return incoming
  }
  #out(channel: number): Outgoing {
    let out = this.#outgoing.get(channel)
    if (!out) this.#outgoing.set(channel, (out = { sent: 0, credit: 0, wake: [] }))
    return out
  }

  #credit(channel: number, incoming: Incoming): void {
    if (this.signal.aborted) return
    incoming.credited = incoming.consumed
    const total = Buffer.allocUnsafe(8)
    total.writeDoubleBE(incoming.consumed)
    this.#send(Type.credit, channel, total)
  }

  #send(type: number, channel: number, payload?: Uint8Array): void {
    const frame = Buffer.allocUnsafe(headerLength + (payload?.length ?? 0))
    frame.writeUInt8(type, 0)
    frame.writeUInt8(channel, 1)
    frame.writeUInt32BE(type === Type.heartbeat ? this.#sentFrames : this.#sentFrames++, 2)
    if (payload) frame.set(payload, headerLength)
    this.#lastSent = performance.now()
    // With a reply subject NATS tells at once when nobody listens there any more.
    const options = type === Type.heartbeat ? { reply: this.inbox } : undefined
    this.#connection.publish(this.#to!, frame, options, e => this.#finish(e.message))
  }

  #receive(m: Msg): void {
    if (m.headers?.code === 503) return this.#finish(this.#to ? 'nobody listens there any more' : 'nobody serves that')
    if (m.data.length < headerLength) return
    const frame = Buffer.from(m.data.buffer, m.data.byteOffset, m.data.byteLength)
    const [type, channel, number] = [frame.readUInt8(0), frame.readUInt8(1), frame.readUInt32BE(2)]
    const payload = frame.subarray(headerLength)
    this.#heard = performance.now()
    // A heartbeat carries the number of the next frame: the last ones may be missing, too.
    if (number !== this.#receivedFrames) return this.close('data was lost on the way')
    if (type === Type.heartbeat) return
    this.#receivedFrames++
    if (type === Type.accept) return this.#accept(payload.toString())
    if (channel > maxChannel) return this.close('there is no such channel')
    if (type === Type.data && !this.#take(this.#in(channel), payload)) return this.close('more data than there is room for')
    if (type === Type.end) this.#in(channel).ended = true
    if (type === Type.data || type === Type.end) return this.#wake(channel)
    if (type === Type.close) return this.#finish(payload.toString() || 'closed by the other side')
    if (type !== Type.credit || payload.length !== 8) return
    const out = this.#out(channel)
    out.credit = Math.min(out.sent, Math.max(out.credit, payload.readDoubleBE()))
    for (const wake of out.wake.splice(0)) wake()
  }

  #take(incoming: Incoming, payload: Uint8Array): boolean {
    incoming.received += payload.length
    incoming.pieces.push(payload)
    return incoming.received - incoming.consumed < windowBytes + 2 * maxPiece
  }

  /** The acceptor names where it listens; nothing but an inbox of its own is believed. */
  #accept(to: string): void {
    if (!this.#opening) return
    if (!isBelow(this.#opening.inboxes, to)) return this.#finish('the acceptor does not name an inbox of its own')
    this.#to = to
    this.#settle()
  }

  #settle(error?: Error): void {
    const opening = this.#opening
    this.#opening = undefined
    opening?.settled(error)
  }

  #wake(channel: number): void {
    const incoming = this.#in(channel)
    const wake = incoming.wake
    incoming.wake = undefined
    wake?.()
  }

  #tick(): void {
    const now = performance.now()
    // While NATS is away nobody can be heard; that lasts as long as the silence that is put up with.
    if (this.#to && now - this.#heard > silenceMs) return this.close('the other side is silent')
    if (this.#to && this.#connection.connected && now - this.#lastSent >= heartbeatMs / 2) this.#send(Type.heartbeat, 0)
  }

  #finish(reason: string): void {
    if (this.signal.aborted) return
    const error = new Error(reason)
    clearInterval(this.#timer)
    this.#subscription.unsubscribe()
    this.#abort.abort(error)
    this.#settle(error)
    for (const channel of this.#incoming.keys()) this.#wake(channel)
    for (const out of this.#outgoing.values()) for (const wake of out.wake.splice(0)) wake()
  }
}
