/** Answers as bytes, with names that were written before told by where they are (RFC 1035, 4.1.4). Data of records by dns-packet. */
import * as packet from 'dns-packet'
import type { Answer } from 'dns-packet'

/** The library's codecs of records' data, which its types do not name. */
const { record } = packet as unknown as { record(type: string): { encode(data: unknown): Buffer } }

const types: Readonly<Record<string, number>> = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, MX: 15, TXT: 16, AAAA: 28, SRV: 33, NAPTR: 35, DNAME: 39, OPT: 41, CAA: 257 } // prettier-ignore
/** Those whose data is a name that may be shortened; a Service's target may not (RFC 2782). */
const nameData = new Set(['NS', 'CNAME', 'PTR'])
const headerBytes = 12
/** What a pointer can say. */
const maxPointer = 0x3fff

export interface Sections {
  answers: readonly Answer[]
  authorities: readonly Answer[]
  additionals: readonly Answer[]
  /** As a resolver that understands EDNS tells how much it takes. */
  udpPayloadSize?: number
}

/** The end of the question of a query that was decoded. */
function questionEnd(query: Buffer): number {
  let at = headerBytes
  while (query[at] !== 0) at += query[at]! + 1
  return at + 5
}

/** The answer to `query`, whose id and question come back as they are. `flags` are the header's second word, without the bit of answers. */
export function encodeAnswer(query: Buffer, flags: number, { udpPayloadSize, ...sections }: Sections): Buffer {
  const [answers, authorities, additionals] = [sections.answers, sections.authorities, sections.additionals].map(list =>
    list.filter(a => a.type in types),
  ) as [Answer[], Answer[], Answer[]]
  const end = questionEnd(query)
  let out = Buffer.allocUnsafe(512)
  query.copy(out, 0, 0, end)
  let at = end
  const known = new Map<string, number>()
  const room = (bytes: number): void => {
    if (at + bytes <= out.length) return
    const larger = Buffer.allocUnsafe(Math.max(out.length * 2, at + bytes))
    out.copy(larger, 0, 0, at)
    out = larger
  }
  /** Suffixes of the question's name, which most answers have. */
  for (let label = headerBytes; query[label] !== 0; label += query[label]! + 1) known.set(nameAt(query, label), label)

  function name(text: string): void {
    let rest = text.replace(/\.$/, '')
    while (rest !== '') {
      const pointer = known.get(rest.toLowerCase())
      if (pointer !== undefined) {
        room(2)
        at = out.writeUInt16BE(0xc000 | pointer, at)
        return
      }
      if (at <= maxPointer) known.set(rest.toLowerCase(), at)
      const dot = rest.indexOf('.')
      const label = dot < 0 ? rest : rest.slice(0, dot)
      room(64)
      out[at] = out.write(label, at + 1, 'latin1')
      at += 1 + out[at]!
      rest = dot < 0 ? '' : rest.slice(dot + 1)
    }
    room(1)
    out[at++] = 0
  }
  function resource(a: Answer): void {
    name(a.name)
    room(10)
    at = out.writeUInt16BE(types[a.type] ?? 0, at)
    at = out.writeUInt16BE(1, at)
    at = out.writeUInt32BE(('ttl' in a && a.ttl) || 0, at)
    const data = 'data' in a ? a.data : undefined
    if (nameData.has(a.type)) {
      const length = at
      at += 2
      name(String(data))
      out.writeUInt16BE(at - length - 2, length)
    } else {
      // The library writes the length, too.
      const bytes = record(a.type).encode(data)
      room(bytes.length)
      bytes.copy(out, at)
      at += bytes.length
    }
  }
  for (const section of [answers, authorities, additionals]) for (const a of section) resource(a)
  if (udpPayloadSize !== undefined) {
    room(11)
    out.fill(0, at, at + 11)
    out.writeUInt16BE(types['OPT']!, at + 1)
    out.writeUInt16BE(udpPayloadSize, at + 3)
    at += 11
  }
  out.writeUInt16BE(0x8000 | flags, 2)
  out.writeUInt16BE(1, 4)
  out.writeUInt16BE(answers.length, 6)
  out.writeUInt16BE(authorities.length, 8)
  out.writeUInt16BE(additionals.length + (udpPayloadSize === undefined ? 0 : 1), 10)
  return out.subarray(0, at)
}

/** The name that begins with a label of a question, in lower case. */
function nameAt(query: Buffer, at: number): string {
  const labels: string[] = []
  for (let label = at; query[label] !== 0; label += query[label]! + 1)
    labels.push(query.toString('latin1', label + 1, label + 1 + query[label]!).toLowerCase())
  return labels.join('.')
}
