/** From a packet to the packet that answers it. */
import { AUTHORITATIVE_ANSWER, RECURSION_AVAILABLE, RECURSION_DESIRED, TRUNCATED_RESPONSE, decode, encode, type Answer, type DecodedPacket } from 'dns-packet' // prettier-ignore
import type { Forwarder } from './forward.ts'
import type { View } from './view.ts'
import { resolveInZone, resolveReverse, reverseAddress, soaOf, type Resolved } from './zone.ts'

export interface Resolver {
  readonly view: View
  /** `cluster.local` */
  readonly domain: string
  readonly forwarder: Forwarder
  /** Answers by query, until something changes. */
  readonly kept: Map<string, Buffer>
}

const rcode = { formErr: 1, servFail: 2, nxDomain: 3, notImp: 4, refused: 5 }
const internet = 'IN'
const plainBytes = 512
/** What fits into one packet on every path. */
const maxUdpBytes = 1232
const maxTcpBytes = 65_535
/** Aliases that are followed, one to the next. */
const maxAliases = 8
const maxKept = 10_000

/** Undefined for what is not to be answered: it is no query. */
export function answer(resolver: Resolver, query: Buffer, tcp: boolean): Buffer | undefined | Promise<Buffer | undefined> {
  if (query.length < 12 || (query[2]! & 0x80) !== 0) return undefined
  const key = (tcp ? 't' : 'u') + query.toString('latin1', 2)
  const known = resolver.kept.get(key)
  if (known) {
    const copy = Buffer.from(known)
    query.copy(copy, 0, 0, 2)
    return copy
  }
  let packet: DecodedPacket
  try {
    packet = decode(query)
  } catch {
    return failed(query, rcode.formErr)
  }
  if (((query[2]! >> 3) & 15) !== 0) return failed(query, rcode.notImp)
  const [question, more] = packet.questions ?? []
  if (!question || more) return failed(query, rcode.formErr)
  if (question.class !== undefined && question.class !== internet) return failed(query, rcode.refused)
  // No name of ours has a label with a dot in it, and its text could not be told from that of two labels.
  if (hasDottedLabel(query)) return failed(query, rcode.nxDomain)
  const name = question.name.toLowerCase().replace(/\.$/, '')
  const inZone = name === resolver.domain || name.endsWith(`.${resolver.domain}`)
  const address = inZone ? undefined : reverseAddress(name)
  const reverse = address === undefined ? undefined : resolveReverse(resolver.view, resolver.domain, question.name, address)
  if (!inZone && !reverse?.exists) return forward(resolver, query, tcp)
  const found = reverse ?? resolveInZone(resolver.view, resolver.domain, name, question.type)
  const own = { ...found, answers: found.answers.map(a => (a.name === name ? { ...a, name: question.name } : a)) }
  const alias = own.answers.find(a => a.type === 'CNAME')
  if (alias && question.type !== 'CNAME') return follow(resolver, own, question.type, tcp).then(all => write(resolver, packet, all, tcp))
  const made = write(resolver, packet, own, tcp)
  // Several addresses come in another order each time.
  if (own.answers.length <= 1 && resolver.kept.size < maxKept) resolver.kept.set(key, made)
  return made
}

async function forward({ forwarder }: Resolver, query: Buffer, tcp: boolean): Promise<Buffer> {
  return (await forwarder.ask(query, tcp)) ?? failed(query, rcode.servFail)
}

/** With what an alias stands for, wherever that is. */
async function follow(resolver: Resolver, found: Resolved, type: string, tcp: boolean): Promise<Resolved> {
  const answers = [...found.answers]
  for (let i = 0, last = answers.at(-1); i < maxAliases && last?.type === 'CNAME'; i++, last = answers.at(-1)) {
    const target = String(last.data)
    const name = target.toLowerCase()
    if (name === resolver.domain || name.endsWith(`.${resolver.domain}`)) {
      const next = resolveInZone(resolver.view, resolver.domain, name, type).answers
      if (next.length === 0) break
      answers.push(...next)
      continue
    }
    const asked = encode({
      type: 'query',
      id: 0,
      flags: RECURSION_DESIRED,
      questions: [{ type: type as 'A', name: target, class: internet }],
    })
    const reply = await resolver.forwarder.ask(asked, tcp)
    try {
      answers.push(...((reply && decode(reply).answers) ?? []))
    } catch {
      // What cannot be read is as good as no answer: the alias alone is told.
    }
    break
  }
  return { ...found, answers }
}

/** A random order, so that clients that take the first spread. */
function shuffled<T>(all: readonly T[]): T[] {
  const out = [...all]
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1))
    ;[out[i], out[j]] = [out[j]!, out[i]!]
  }
  return out
}

function write({ domain }: Resolver, packet: DecodedPacket, { exists, answers, additionals }: Resolved, tcp: boolean): Buffer {
  const asked = packet.additionals?.find(a => a.type === 'OPT') as { udpPayloadSize?: number } | undefined
  const limit = tcp ? maxTcpBytes : asked ? Math.min(maxUdpBytes, Math.max(plainBytes, asked.udpPayloadSize ?? 0)) : plainBytes
  const options = asked ? [{ type: 'OPT', name: '.', udpPayloadSize: maxUdpBytes, extendedRcode: 0, ednsVersion: 0, flags: 0, flag_do: false, options: [] } as unknown as Answer] : [] // prettier-ignore
  const code = exists ? 0 : rcode.nxDomain
  const flags = AUTHORITATIVE_ANSWER | RECURSION_AVAILABLE | ((packet.flags ?? 0) & RECURSION_DESIRED) | code
  const make = (own: readonly Answer[], more: readonly Answer[], extra = 0): Buffer =>
    encode({
      type: 'response',
      id: packet.id ?? 0,
      flags: flags | extra,
      questions: packet.questions ?? [],
      answers: [...own],
      authorities: answers.length === 0 ? [soaOf(domain)] : [],
      additionals: [...more, ...options],
    })
  const mixed = answers.some(a => a.type === 'CNAME') ? answers : shuffled(answers)
  let made = make(mixed, additionals)
  if (made.length > limit && additionals.length > 0) made = make(mixed, [])
  return made.length > limit ? make([], [], TRUNCATED_RESPONSE) : made
}

/** Of the first question, which can be read. */
function hasDottedLabel(query: Buffer): boolean {
  for (let at = 12; at < query.length && query[at] !== 0 && query[at]! <= maxLabel; at += query[at]! + 1)
    if (query.subarray(at + 1, at + 1 + query[at]!).includes('.')) return true
  return false
}

/** A longer one is none: a pointer, or nonsense. */
const maxLabel = 63
/** The query's header and question come back; the header alone when the question cannot be read. */
function failed(query: Buffer, code: number): Buffer {
  let end = 12
  while (end < query.length && query[end] !== 0 && query[end]! <= maxLabel) end += query[end]! + 1
  const whole = end + 5 <= query.length && query[end] === 0 && query.readUInt16BE(4) === 1
  const out = Buffer.from(query.subarray(0, whole ? end + 5 : 12))
  out.writeUInt16BE((0x8000 | (query.readUInt16BE(2) & 0x7900) | RECURSION_AVAILABLE | code) & 0xffff, 2)
  out.writeUInt16BE(whole ? 1 : 0, 4)
  out.fill(0, 6, 12)
  return out
}
