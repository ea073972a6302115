/** From a packet to the packet that answers it. */
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { AUTHORITATIVE_ANSWER, RECURSION_AVAILABLE, RECURSION_DESIRED, TRUNCATED_RESPONSE, decode, encode, type Answer, type DecodedPacket } from 'dns-packet' // prettier-ignore
import { blockFor, isBelow, type Corefile, type ServerBlock } from '#shared/network/corefile.ts'
import { rewritten, type Rewritten } from '#shared/network/rewrites.ts'
import type { Forwarder } from './forward.ts'
import { rewrittenAnswers } from './rewriting.ts'
import { encodeAnswer } from './wire.ts'
import type { View } from './view.ts'
import { resolveInZone, resolveReverse, reverseAddress, soaOf, type Resolved } from './zone.ts'

export interface Resolver {
  readonly view: View
  /** `cluster.local` */
  readonly domain: string
  /** What the ConfigMap says. */
  readonly corefile: Corefile
  /** Addresses that nobody but the cluster knows: of pods and of Services. */
  readonly ranges: BlockList
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
  const asked = question.name.toLowerCase().replace(/\.$/, '')
  const block = blockFor(resolver.corefile, asked)
  const rewrite = block && block.rewrites.length > 0 ? rewritten(block.rewrites, asked) : undefined
  const name = rewrite?.name ?? asked
  const own = resolveHere(resolver, block, name, question.type)
  if (!own) return rewrite ? forwardAs(resolver, query, packet, rewrite, question.type, tcp) : forward(resolver, query, tcp)
  const ttl = block?.hosts?.addresses.has(name) ? undefined : block?.kubernetes?.ttl
  // As it was asked for, in capitals or not.
  const cased = rewrite ? {} : { name: question.name }
  const found = {
    ...own,
    answers: own.answers.map(a => ({
      ...a,
      ...(a.name === name ? cased : {}),
      ...(ttl === undefined ? {} : { ttl }),
    })) as Answer[],
  }
  const told = (all: Resolved): Resolved => (rewrite ? rewrittenAnswers(rewrite.answers, all) : all)
  const alias = found.answers.find(a => a.type === 'CNAME')
  if (alias && question.type !== 'CNAME')
    return follow(resolver, found, question.type, tcp).then(all => write(resolver, query, packet, told(all), tcp))
  const made = write(resolver, query, packet, told(found), tcp)
  // Several addresses come in another order each time.
  if (found.answers.length <= 1 && resolver.kept.size < maxKept) resolver.kept.set(key, made)
  return made
}

/** What is answered here: names of the cluster, addresses of its own, hosts of the ConfigMap. Undefined for what others are asked. */
function resolveHere(resolver: Resolver, block: ServerBlock | undefined, name: string, type: string): Resolved | undefined {
  const { view, domain, ranges } = resolver
  if (isBelow(name, domain)) {
    if (block?.kubernetes?.pods === false && name.endsWith(`.pod.${domain}`)) return absent
    return resolveInZone(view, domain, name, type)
  }
  const address = reverseAddress(name)
  if (address !== undefined) {
    const found = resolveReverse(view, domain, name, address)
    // Nobody else can know them: who asks for one that is not there costs no question to others.
    if (found.exists || ranges.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')) return found
  }
  if (!block?.hosts) return undefined
  const { addresses, ttl, fallthrough, reverse } = block.hosts
  const ips = addresses.get(name)
  if (ips) {
    const answers = ips.map((data): Answer => ({ name, type: isIPv6(data) ? 'AAAA' : 'A', ttl, data })).filter(a => a.type === type)
    return { exists: true, answers, additionals: [] }
  }
  const names = address === undefined || !reverse ? [] : [...addresses].filter(([, all]) => all.includes(address)).map(([host]) => host)
  if (names.length > 0) return { exists: true, answers: names.map((data): Answer => ({ name, type: 'PTR', ttl, data })), additionals: [] }
  return fallthrough ? undefined : absent
}
const absent: Resolved = { exists: false, answers: [], additionals: [] }

async function forward({ forwarder }: Resolver, query: Buffer, tcp: boolean): Promise<Buffer> {
  return (await forwarder.ask(query, tcp)) ?? failed(query, rcode.servFail)
}

/** Under another name, of which who asked is not told. */
async function forwardAs(
  resolver: Resolver,
  query: Buffer,
  packet: DecodedPacket,
  { name, answers: rules }: Rewritten,
  type: string,
  tcp: boolean,
): Promise<Buffer> {
  const reply = await askFor(resolver, name, type, tcp)
  if (!reply) return failed(query, rcode.servFail)
  const exists = (reply.flags ?? 0) % 16 !== rcode.nxDomain
  const told = rewrittenAnswers(rules, { exists, answers: reply.answers ?? [], additionals: [] })
  return write(resolver, query, packet, told, tcp)
}

/** Undefined for no answer, and for one that cannot be read. */
async function askFor({ forwarder }: Resolver, name: string, type: string, tcp: boolean): Promise<DecodedPacket | undefined> {
  const questions = [{ type: type as 'A', name, class: internet } as const]
  const reply = await forwarder.ask(encode({ type: 'query', id: 0, flags: RECURSION_DESIRED, questions }), tcp)
  try {
    return reply && decode(reply)
  } catch {
    return undefined
  }
}

/** With what an alias stands for, wherever that is. */
async function follow(resolver: Resolver, found: Resolved, type: string, tcp: boolean): Promise<Resolved> {
  const answers = [...found.answers]
  for (let i = 0, last = answers.at(-1); i < maxAliases && last?.type === 'CNAME'; i++, last = answers.at(-1)) {
    const target = String(last.data)
    const name = target.toLowerCase()
    if (isBelow(name, resolver.domain)) {
      const next = resolveInZone(resolver.view, resolver.domain, name, type).answers
      if (next.length === 0) break
      answers.push(...next)
      continue
    }
    answers.push(...((await askFor(resolver, target, type, tcp))?.answers ?? []))
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

function write(
  { domain }: Resolver,
  query: Buffer,
  packet: DecodedPacket,
  { exists, answers, additionals }: Resolved,
  tcp: boolean,
): Buffer {
  const asked = packet.additionals?.find(a => a.type === 'OPT') as { udpPayloadSize?: number } | undefined
  const limit = tcp ? maxTcpBytes : asked ? Math.min(maxUdpBytes, Math.max(plainBytes, asked.udpPayloadSize ?? 0)) : plainBytes
  const code = exists ? 0 : rcode.nxDomain
  const flags = AUTHORITATIVE_ANSWER | RECURSION_AVAILABLE | ((packet.flags ?? 0) & RECURSION_DESIRED) | code
  const make = (own: readonly Answer[], more: readonly Answer[], extra = 0): Buffer =>
    encodeAnswer(query, flags | extra, {
      answers: own,
      authorities: answers.length === 0 ? [soaOf(domain)] : [],
      additionals: more,
      ...(asked ? { udpPayloadSize: maxUdpBytes } : {}),
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
