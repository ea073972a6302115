/** Questions about names outside the cluster go to the machine's resolvers; what they say is kept for as long as they allow. */
import { randomInt } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { decode } from 'dns-packet'

export interface Forwarder {
  /** The answer to a query, with the query's id; undefined when no resolver gave one in time. `tcp`: it may be of any length. */
  ask(query: Buffer, tcp: boolean): Promise<Buffer | undefined>
  close(): void
}

const tryMs = 2_000
/** For one that was silent when it was asked last: a machine without a way out shall not make its pods wait. */
const silentTryMs = 300
const port = 53
/** Queries under way at once, of one resolver: more are not answered. */
const maxPending = 1_000
const maxKeptBytes = 4 * 1024 * 1024
const maxKeptMs = 30_000
/** For an answer that says nothing of its time: that something is not there. */
const negativeMs = 5_000

interface Resolver {
  ask(query: Buffer): Promise<Buffer | undefined>
  close(): void
}

/** One socket, connected, so that only the resolver can answer; ids are random. */
function udpResolver(address: string): Resolver {
  const waiting = new Map<number, { question: string; settle: (answer: Buffer | undefined) => void }>()
  let socket: Socket | undefined
  let silent = false
  let ready: Promise<Socket> | undefined
  const open = (): Promise<Socket> =>
    (ready ??= new Promise((resolve, reject) => {
      const made = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
      socket = made
      made.on('error', e => {
        reject(e)
        made.close()
        ready = undefined
        for (const { settle } of waiting.values()) settle(undefined)
      })
      made.on('message', m => {
        if (m.length < 12) return
        const known = waiting.get(m.readUInt16BE(0))
        if (known && questionOf(m) === known.question) known.settle(m)
      })
      made.connect(port, address, () => resolve(made))
      made.unref()
    }))
  return {
    async ask(query) {
      if (waiting.size >= maxPending) return undefined
      let id = randomInt(65_536)
      while (waiting.has(id)) id = randomInt(65_536)
      const sent = Buffer.from(query)
      sent.writeUInt16BE(id, 0)
      return new Promise(resolve => {
        const settle = (answer: Buffer | undefined): void => {
          silent = answer === undefined
          clearTimeout(timer)
          waiting.delete(id)
          resolve(answer)
        }
        const timer = setTimeout(settle, silent ? silentTryMs : tryMs, undefined)
        waiting.set(id, { question: questionOf(query), settle })
        open().then(
          s => s.send(sent, e => e && settle(undefined)),
          () => settle(undefined),
        )
      })
    },
    close: () => socket?.close(),
  }
}

/** A connection a query: they are rare. */
const tcpAsk = (address: string, query: Buffer): Promise<Buffer | undefined> =>
  new Promise(resolve => {
    const socket = connect({ host: address, port })
    let read = Buffer.alloc(0)
    const settle = (answer: Buffer | undefined): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(tryMs, () => settle(undefined))
    socket.once('error', () => settle(undefined))
    socket.once('close', () => settle(undefined))
    socket.once('connect', () => socket.write(Buffer.concat([lengthOf(query), query])))
    socket.on('data', (chunk: Buffer) => {
      read = Buffer.concat([read, chunk])
      const length = read.length < 2 ? Infinity : read.readUInt16BE(0)
      if (read.length >= length + 2) settle(read.subarray(2, length + 2))
    })
  })

/** As it goes before a message over TCP. */
export function lengthOf(message: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  return length
}

/** Name, type and class of the first question, names in lower case; `''` where there is none. */
function questionOf(message: Buffer): string {
  let at = 12
  while (at < message.length && message[at] !== 0) at += message[at]! + 1
  return message.toString('latin1', 12, Math.min(message.length, at + 5)).toLowerCase()
}

/** How long an answer may be kept, ms. */
function keepMs(answer: Buffer): number {
  try {
    const { answers = [], authorities = [] } = decode(answer)
    const ttls = [...answers, ...authorities].flatMap(a => ('ttl' in a && a.ttl !== undefined ? [a.ttl * 1000] : []))
    return Math.min(maxKeptMs, ...(ttls.length > 0 ? ttls : [negativeMs]))
  } catch {
    return 0
  }
}

/** `addresses` of resolvers, asked in their order. */
export function newForwarder(addresses: readonly string[]): Forwarder {
  const resolvers = addresses.map(address => ({ address, udp: udpResolver(address) }))
  /** By query without its id. */
  const kept = new Map<string, { answer: Buffer; until: number }>()
  let bytes = 0
  const forget = (key: string): void => {
    const known = kept.get(key)
    if (!known) return
    bytes -= key.length + known.answer.length
    kept.delete(key)
  }
  const keep = (key: string, answer: Buffer): void => {
    const ms = keepMs(answer)
    if (ms <= 0) return
    forget(key)
    kept.set(key, { answer, until: performance.now() + ms })
    bytes += key.length + answer.length
    for (const oldest of kept.keys()) {
      if (bytes <= maxKeptBytes) break
      forget(oldest)
    }
  }
  const withId = (answer: Buffer, query: Buffer): Buffer => {
    const copy = Buffer.from(answer)
    query.copy(copy, 0, 0, 2)
    return copy
  }
  return {
    async ask(query, tcp) {
      const key = (tcp ? 't' : 'u') + query.toString('latin1', 2)
      const known = kept.get(key)
      if (known && known.until > performance.now()) return withId(known.answer, query)
      for (const { address, udp } of resolvers) {
        const answer = await (tcp ? tcpAsk(address, query) : udp.ask(query))
        if (!answer || answer.length < 12) continue
        // NOERROR and NXDOMAIN are answers for everybody; a failure is the resolver's.
        if ([0, 3].includes(answer[3]! & 15)) keep(key, answer)
        return withId(answer, query)
      }
      return undefined
    },
    close: () => resolvers.forEach(r => r.udp.close()),
  }
}
