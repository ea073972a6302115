/**
 * One side of a session over NATS. Both send numbered frames; each channel has a window of its own in each direction, so that one that
 * nobody reads does not hold up the others.
 */
import type { Msg, Subscription } from 'nats'
import { bytesPassed } from '../component/younggarbage.ts'
import type { BusConnection } from './connection.ts'
import { Channel, type Session } from './session.ts'
import { isBelow } from './subjects.ts'

/** Type, channel, number; then the payload. */
const Type = { accept: 1, data: 2, end: 3, credit: 4, heartbeat: 5, close: 6 } as const
const headerLength = 6
const maxChannel = Math.max(...Object.values(Channel))

/** What may be under way on one channel, by `cost`. */
const windowCost = 1 << 20
/** What a piece counts: small ones cost memory, too. */
const cost = (bytes: number): number => bytes + 64
/**
 * Several are in what a socket gives at once, where they are used as they lie. One that comes in two parts is copied together by nats.js
 * and nats-server: with 128 KiB that takes twice the time of nats-server, three times that of the other side.
 */
const maxPiece = 16 << 10
const maxReason = 1_000
const heartbeatMs = 2_000
const silenceMs = 10_000

/** What a reader is given at once at most: to copy that costs less than to hand on each piece by itself. */
const maxRead = 128 << 10

/** Takes the pieces that a reader gets together. */
function together(pieces: Uint8Array[]): Uint8Array[] {
  let [count, bytes] = [1, pieces[0]!.length]
  while (count < pieces.length && bytes + pieces[count]!.length <= maxRead) bytes += pieces[count++]!.length
  return pieces.splice(0, count)
}

/**
 * The numbers of frames, each way, which show that one is missing. A heartbeat takes none: it carries that of the next frame, so that it
 * shows when the last ones are.
 */
class Numbers {
  #sent = 0
  #received = 0

  next(type: number): number {
    return type === Type.heartbeat ? this.#sent : this.#sent++
  }

  /** Whether this is the frame that is to come. */
  fits(type: number, number: number): boolean {
    if (number !== this.#received) return false
    if (type !== Type.heartbeat) this.#received++
    return true
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

export class BusSession implements Session {
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
  readonly #numbers = new Numbers()
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
      while (out.sent - out.credit >= windowCost && !this.signal.aborted) await new Promise<void>(resolve => out.wake.push(resolve))
      this.signal.throwIfAborted()
      const piece = data.subarray(at, at + maxPiece)
      out.sent += cost(piece.length)
      bytesPassed(piece.length)
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
      if (incoming.pieces.length > 0) {
        const pieces = together(incoming.pieces)
        // Credit is given when the reader comes back for more: it is through with these pieces.
        yield pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
        incoming.consumed += pieces.reduce((sum, { length }) => sum + cost(length), 0)
        if (!incoming.ended && incoming.consumed - incoming.credited >= windowCost / 2) this.#credit(channel, incoming)
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
    // Nothing is sent before it is known where the other side listens: whoever has a session can only after that.
    if (this.#to === undefined) return
    const header = Buffer.allocUnsafe(headerLength)
    header.writeUInt8(type, 0)
    header.writeUInt8(channel, 1)
    header.writeUInt32BE(this.#numbers.next(type), 2)
    this.#lastSent = performance.now()
    // With a reply subject NATS tells at once when nobody listens there any more.
    const options = type === Type.heartbeat ? { reply: this.inbox } : undefined
    this.#connection.publish(this.#to, payload ? [header, payload] : header, options, e => this.#finish(e.message))
  }

  #receive(m: Msg): void {
    if (m.headers?.code === 503) return this.#finish(this.#to ? 'nobody listens there any more' : 'nobody serves that')
    if (m.data.length < headerLength) return
    const frame = Buffer.from(m.data.buffer, m.data.byteOffset, m.data.byteLength)
    const [type, channel, number] = [frame.readUInt8(0), frame.readUInt8(1), frame.readUInt32BE(2)]
    const payload = frame.subarray(headerLength)
    this.#heard = performance.now()
    if (!this.#numbers.fits(type, number)) return this.close('data was lost on the way')
    if (type === Type.heartbeat) return
    if (type === Type.accept) return this.#accept(payload.toString())
    if (channel > maxChannel) return this.close('there is no such channel')
    if (type === Type.data && !this.#take(this.#in(channel), payload)) return this.close('more data than there is room for')
    if (type === Type.end) this.#in(channel).ended = true
    if (type === Type.data || type === Type.end) return this.#wake(channel)
    if (type === Type.close) return this.#finish(payload.toString('utf8', 0, maxReason) || 'closed by the other side')
    if (type !== Type.credit || payload.length !== 8) return
    const out = this.#out(channel)
    out.credit = Math.min(out.sent, Math.max(out.credit, payload.readDoubleBE()))
    for (const wake of out.wake.splice(0)) wake()
  }

  #take(incoming: Incoming, payload: Uint8Array): boolean {
    incoming.received += cost(payload.length)
    bytesPassed(payload.length)
    incoming.pieces.push(payload)
    return incoming.received - incoming.consumed < windowCost + 2 * maxPiece
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
