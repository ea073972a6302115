/**
 * SPDY/3.1 as the server, over any byte stream: what kubectl before 1.31 speaks for exec and attach, and every kubectl, within a WebSocket
 * or not, for port-forward. Streams are opened by the client only, and there is no flow control but the connection's own: client-go knows
 * no WINDOW_UPDATE.
 */
import type { Duplex } from 'node:stream'
import { emptyBlocks, headerReader } from './headers.ts'
import { SpdyStream } from './stream.ts'

const Type = { synStream: 1, synReply: 2, reset: 3, ping: 6, goAway: 7, headers: 8 } as const
const ResetStatus = { protocolError: 1, refused: 3, cancel: 5 } as const
const fin = 1
const headLength = 8
const version = 0x8003
/** Control frames are small; data may be of any length. */
const maxControl = 64 * 1024
const maxStreams = 2000
const maxData = 1 << 20
const maxCopied = 8 << 10
/** A client that is gone is noticed when it is written to. */
const pingMs = 30_000
/** A client that heard that a connection is over closes it; spdystream loses what it has not read when the server is faster. */
const closeMs = 10_000

export class SpdyConnection {
  readonly #socket: Duplex
  /** Says whether a new stream is wanted. */
  readonly #accept: (stream: SpdyStream) => boolean
  readonly #readHeaders = headerReader()
  readonly #emptyBlock = emptyBlocks()
  readonly #streams = new Map<number, SpdyStream>()
  readonly #abort = new AbortController()
  #pending: Buffer | undefined
  /** Of the data frame that is being read. */
  #left = 0
  #leftFin = false
  #target: SpdyStream | undefined
  #lastStream = 0
  #drain: Promise<void> | undefined
  #closing = false

  constructor(socket: Duplex, accept: (stream: SpdyStream) => boolean) {
    this.#socket = socket
    this.#accept = accept
    socket.on('error', () => {})
    const ping = setInterval(() => this.#control(Type.ping, Buffer.from([0, 0, 0, 2])), pingMs)
    ping.unref()
    this.signal.addEventListener('abort', () => clearInterval(ping))
    socket.once('close', () => this.#finish())
    void this.#run()
  }

  /** Aborts when the connection is gone. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Nothing more comes from this side. The client closes the connection, or it is closed after a while. */
  close(): void {
    if (this.#closing) return
    this.#closing = true
    const timer = setTimeout(() => {
      const last = Buffer.alloc(8)
      last.writeUInt32BE(this.#lastStream)
      this.#control(Type.goAway, last)
      this.#socket.end()
      this.#finish()
    }, closeMs)
    timer.unref()
    this.signal.addEventListener('abort', () => clearTimeout(timer))
  }

  /** Ends at once. */
  destroy(): void {
    this.#finish()
  }

  async #run(): Promise<void> {
    try {
      for await (const chunk of this.#socket as AsyncIterable<Buffer>) await this.#take(chunk)
    } catch {
      // Not SPDY, or the connection broke: either way it is over.
    }
    this.#finish()
  }

  #finish(): void {
    if (this.signal.aborted) return
    this.#abort.abort(new Error('the connection is closed'))
    for (const stream of this.#streams.values()) stream.closed()
    this.#streams.clear()
    this.#socket.destroy()
  }

  async #take(chunk: Buffer): Promise<void> {
    let data = this.#pending ? Buffer.concat([this.#pending, chunk]) : chunk
    this.#pending = undefined
    while (data.length > 0) {
      if (this.#left > 0) {
        const piece = data.subarray(0, this.#left)
        this.#left -= piece.length
        data = data.subarray(piece.length)
        await this.#target?.receive(piece)
        if (this.#left === 0) this.#dataEnds()
        continue
      }
      const length = data.length < headLength ? undefined : data.readUIntBE(5, 3)
      const control = data[0]! >= 0x80
      if (length === undefined || (control && length <= maxControl && data.length < headLength + length)) {
        this.#pending = data
        return
      }
      if (control) {
        if (length > maxControl) throw new RangeError(`a control frame of ${length} bytes`)
        this.#frame(data.readUInt16BE(2), data[4]!, data.subarray(headLength, headLength + length))
        data = data.subarray(headLength + length)
      } else {
        this.#target = this.#streams.get(data.readUInt32BE(0))
        this.#left = length
        this.#leftFin = (data[4]! & fin) !== 0
        data = data.subarray(headLength)
        if (length === 0) this.#dataEnds()
      }
    }
  }

  #dataEnds(): void {
    if (this.#leftFin) this.#target?.receivedEnd()
    this.#target = undefined
  }

  #frame(type: number, flags: number, body: Buffer): void {
    switch (type) {
      case Type.synStream:
        return this.#open(body.readUInt32BE(0) & 0x7fffffff, this.#readHeaders(body.subarray(10)), (flags & fin) !== 0)
      case Type.headers: {
        // Nobody sends any, but they would be part of the compressed stream.
        this.#readHeaders(body.subarray(4))
        if (flags & fin) this.#streams.get(body.readUInt32BE(0) & 0x7fffffff)?.receivedEnd()
        return
      }
      case Type.reset: {
        const id = body.readUInt32BE(0) & 0x7fffffff
        this.#streams.get(id)?.closed()
        this.#streams.delete(id)
        return
      }
      case Type.ping:
        // Odd numbers are the client's; even ones are answers to ours.
        if (body.readUInt32BE(0) % 2 === 1) this.#control(Type.ping, body)
    }
  }

  #open(id: number, headers: ReadonlyMap<string, string>, ended: boolean): void {
    if (id % 2 === 0 || id <= this.#lastStream) return this.#reset(id, ResetStatus.protocolError)
    this.#lastStream = id
    const stream = new SpdyStream(id, headers, {
      data: piece => this.#data(id, piece, false),
      end: () => void this.#data(id, Buffer.alloc(0), true).catch(() => {}),
      reset: () => this.#reset(id, ResetStatus.cancel),
      over: () => void this.#streams.delete(id),
    })
    if (this.#closing || this.#streams.size >= maxStreams) return this.#reset(id, ResetStatus.refused)
    this.#streams.set(id, stream)
    if (!this.#accept(stream)) {
      stream.closed()
      this.#streams.delete(id)
      return this.#reset(id, ResetStatus.refused)
    }
    const reply = Buffer.alloc(4)
    reply.writeUInt32BE(id)
    this.#control(Type.synReply, Buffer.concat([reply, this.#emptyBlock()]))
    if (ended) stream.receivedEnd()
  }

  #reset(id: number, status: number): void {
    const body = Buffer.alloc(8)
    body.writeUInt32BE(id, 0)
    body.writeUInt32BE(status, 4)
    this.#control(Type.reset, body)
  }

  #control(type: number, body: Buffer): void {
    const head = Buffer.alloc(headLength)
    head.writeUInt16BE(version, 0)
    head.writeUInt16BE(type, 2)
    head.writeUIntBE(body.length, 5, 3)
    if (this.#socket.writable) this.#socket.write(Buffer.concat([head, body]))
  }

  /** Resolves when the client has room for more. */
  async #data(id: number, data: Uint8Array, ends: boolean): Promise<void> {
    for (let at = 0; at < data.length || ends; at += maxData) {
      if (this.signal.aborted || !this.#socket.writable) throw new Error('the connection is closed')
      const piece = data.subarray(at, at + maxData)
      const head = Buffer.alloc(headLength)
      head.writeUInt32BE(id, 0)
      head[4] = ends ? fin : 0
      head.writeUIntBE(piece.length, 5, 3)
      // In a WebSocket each write is a message: small ones are one, of large ones nothing is copied, as that is what the garbage collector
      // would have most to do with.
      if (piece.length <= maxCopied) this.#socket.write(Buffer.concat([head, piece]))
      else {
        this.#socket.cork()
        this.#socket.write(head)
        this.#socket.write(piece)
        this.#socket.uncork()
      }
      if (ends) return
      if (this.#socket.writableNeedDrain) await (this.#drain ??= this.#drained())
    }
  }

  #drained(): Promise<void> {
    return new Promise(resolve => {
      const done = (): void => {
        this.#drain = undefined
        this.#socket.off('drain', done)
        this.signal.removeEventListener('abort', done)
        resolve()
      }
      this.#socket.once('drain', done)
      this.signal.addEventListener('abort', done)
    })
  }
}
