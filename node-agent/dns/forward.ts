/** Questions about names outside the cluster go to the machine's resolvers; what they say is kept for as long as they allow. */
import { randomInt } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { decode } from 'dns-packet'
import type { Upstream } from '#shared/network/corefile.ts'

export interface Forwarder {
  /** The answer to a query, with the query's id; undefined when no resolver gave one in time. `tcp`: it may be of any length. */
  ask(query: Buffer, tcp: boolean): Promise<Buffer | undefined>
  close(): void
}

const tryMs = 2_000
/** For one that was silent when it was asked last: a machine without a way out shall not make its pods wait. */
const silentTryMs = 300
/** Queries under way at once, of one resolver: more are not answered. */
const maxPending = 1_000
const maxKeptBytes = 4 * 1024 * 1024
/** For an answer that says nothing of its time: that something is not there. */
const negativeMs = 5_000

interface Resolver {
  ask(query: Buffer): Promise<Buffer | undefined>
  close(): void
}

/** One socket, connected, so that only the resolver can answer; ids are random. */
function udpResolver({ address, port }: Upstream): Resolver {
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
const tcpAsk = ({ address, port }: Upstream, query: Buffer): Promise<Buffer | undefined> =>
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

/** Longest times, s, for which answers are kept: of something, and that it is not there. */
export interface KeepTimes {
  success: number
  denial: number
}

/** How long an answer may be kept, ms (RFC 2308 for what is not there). */
function keepMs(answer: Buffer, most: KeepTimes): number {
  try {
    const { answers = [], authorities = [] } = decode(answer)
    const ttls = answers.flatMap(a => ('ttl' in a && a.ttl !== undefined ? [a.ttl] : []))
    if (ttls.length > 0) return 1000 * Math.min(most.success, ...ttls)
    const soa = authorities.find(a => a.type === 'SOA')
    const negative = soa ? Math.min(soa.ttl ?? 0, (soa.data as { minimum?: number }).minimum ?? 0) : negativeMs / 1000
    return 1000 * Math.min(most.denial, negative)
  } catch {
    return 0
  }
}

export interface ForwarderOptions {
  policy?: 'random' | 'round_robin' | 'sequential'
  forceTcp?: boolean
  keep?: KeepTimes
}

/** Whether there is a question whose type can be told apart from the rest. */
const typeAt = (query: Buffer): number => {
  let at = 12
  while (at < query.length && query[at] !== 0) at += query[at]! + 1
  return at + 1
}

/** `upstreams` are asked in turn until one answers; the same question is under way once only. */
export function newForwarder(
  upstreams: readonly Upstream[],
  { policy = 'sequential', forceTcp = false, keep: most = { success: 30, denial: 30 } }: ForwarderOptions = {},
): Forwarder {
  const resolvers = upstreams.map(upstream => ({ upstream, udp: udpResolver(upstream) }))
  /** By query without its id; that a name is not there without its type, too, as it is so for all. */
  const kept = new Map<string, { answer: Buffer; until: number }>()
  const underWay = new Map<string, Promise<Buffer | undefined>>()
  let bytes = 0
  let turn = 0
  const forget = (key: string): void => {
    const known = kept.get(key)
    if (!known) return
    bytes -= key.length + known.answer.length
    kept.delete(key)
  }
  const keep = (key: string, answer: Buffer): void => {
    const ms = keepMs(answer, most)
    if (ms <= 0) return
    forget(key)
    kept.set(key, { answer, until: performance.now() + ms })
    bytes += key.length + answer.length
    for (const oldest of kept.keys()) {
      if (bytes <= maxKeptBytes) break
      forget(oldest)
    }
  }
  /** With the id and the question's type of `query`. */
  const fitted = (answer: Buffer, query: Buffer): Buffer => {
    const copy = Buffer.from(answer)
    query.copy(copy, 0, 0, 2)
    const at = typeAt(query)
    if (at + 2 <= Math.min(query.length, copy.length)) query.copy(copy, at, at, at + 2)
    return copy
  }
  const fresh = (key: string): Buffer | undefined => {
    const known = kept.get(key)
    return known && known.until > performance.now() ? known.answer : undefined
  }
  const anyType = (key: string, query: Buffer): string => {
    const at = typeAt(query) - 2
    return `n${key.slice(0, at + 1)}${key.slice(at + 3)}`
  }
  function ordered(): typeof resolvers {
    if (policy === 'sequential' || resolvers.length < 2) return resolvers
    const start = policy === 'random' ? Math.floor(Math.random() * resolvers.length) : turn++ % resolvers.length
    return [...resolvers.slice(start), ...resolvers.slice(0, start)]
  }
  async function askUpstream(key: string, query: Buffer, tcp: boolean): Promise<Buffer | undefined> {
    for (const { upstream, udp } of ordered()) {
      const answer = await (tcp || forceTcp ? tcpAsk(upstream, query) : udp.ask(query))
      if (!answer || answer.length < 12) continue
      // NOERROR and NXDOMAIN are answers for everybody; a failure is the resolver's.
      const code = answer[3]! & 15
      if (code === 0) keep(key, answer)
      if (code === 3) keep(anyType(key, query), answer)
      return answer
    }
    return undefined
  }
  return {
    async ask(query, tcp) {
      const key = (tcp ? 't' : 'u') + query.toString('latin1', 2)
      const known = fresh(key) ?? fresh(anyType(key, query))
      if (known) return fitted(known, query)
      let asking = underWay.get(key)
      if (!asking) underWay.set(key, (asking = askUpstream(key, query, tcp).finally(() => underWay.delete(key))))
      const answer = await asking
      return answer && fitted(answer, query)
    },
    close: () => resolvers.forEach(r => r.udp.close()),
  }
}
