/**
 * Connections through an address that moves stay with the node that they began at, as a cloud's load balancers drain: connection tracking
 * remembers their way. Where the node would get them in their middle, its pods would answer with resets.
 */
import { createHash } from 'node:crypto'
import { ipBatch, ipJson } from '#shared/linux/ip.ts'
import { familyWords, nft } from '#shared/linux/nft.ts'
import type { IPFamily } from '#shared/machinery/ip.ts'
import { connectionsPriority, connectionsTable } from './config.ts'

/** Mark of the packets that go a way, and routing table of that way: a number that nobody else has. */
const markOf = (way: string): number => (createHash('sha256').update(way).digest().readUInt32BE() | 0x4000_0000) >>> 0

interface Rule {
  priority: number
  dst?: string
  dstlen?: number
  fwmark?: string
}

/** Of the addresses of one family. */
export interface Connections {
  /** New connections to these addresses are known by their ways from now on, or by none; others' ways stay as they are. */
  begin(changes: ReadonlyMap<string, string | undefined>): Promise<void>
  /** What went one of these ways goes on there; what went another way goes where its address is now. */
  keep(ways: ReadonlySet<string>): Promise<void>
}

/** Where the kernel cannot tell connections apart, or packets' ways by their marks: they go where their address is. */
export const untracked: Connections = { begin: async () => {}, keep: async () => {} }

/** For the addresses of `range`, of one family; `device` is the cluster's bridge. What a former process kept is found. */
export async function trackConnections(device: string, family: IPFamily, range: string): Promise<Connections> {
  const { ip, address } = familyWords[family]
  const option = family === 'IPv6' ? '-6' : '-4'
  const table = `${ip} ${connectionsTable(device)}`
  const rules = (await ipJson<Rule>([option, 'rule', 'show'])).filter(
    r => r.priority === connectionsPriority && `${r.dst}/${r.dstlen}` === range,
  )
  /** Of a former process, whose ways are not known. */
  const former = new Set(rules.map(r => Number(r.fwmark)))
  const kept = new Map<string, number>()
  const rule = (mark: number): string => `to ${range} fwmark ${mark} priority ${connectionsPriority} lookup ${mark}`
  const marks = new Map<string, number>()
  /** Whether the kernel has the table with all of `marks`. */
  let written = false
  let beginning = Promise.resolve()
  let keeping = Promise.resolve()
  async function change(ways: ReadonlySet<string>): Promise<void> {
    const come = [...ways].flatMap(way => (kept.has(way) ? [] : [[way, markOf(way)] as const]))
    const gone = [...kept].filter(([way]) => !ways.has(way))
    const wanted = new Set([...come, ...kept].flatMap(([way, mark]) => (ways.has(way) ? [mark] : [])))
    const stale = [...gone.map(([, mark]) => mark), ...[...former].filter(mark => !wanted.has(mark))]
    await ipBatch(
      [
        ...come.flatMap(([way, mark]) => [
          `route replace default ${way} table ${mark}`,
          ...(former.has(mark) ? [] : [`rule add ${rule(mark)}`]),
        ]),
        ...stale.flatMap(mark => [`rule del ${rule(mark)}`, `route flush table ${mark}`]),
      ],
      { family },
    )
    former.clear()
    for (const [way, mark] of come) kept.set(way, mark)
    for (const [way] of gone) kept.delete(way)
  }
  const pairs = (all: ReadonlyMap<string, number>): string => [...all].map(([to, mark]) => `${to} : ${mark}`).join(', ')
  // UDP has no connections that would end: who goes on sending has to be heard by who is there now.
  const whole = (): string => `table ${table} {}
delete table ${table}
table ${table} {
  map ways { type ${address} : mark; ${marks.size > 0 ? `elements = { ${pairs(marks)} }; ` : ''}}
  chain remember {
    ct state new ct mark set ${ip} daddr map @ways
    meta mark set ct mark
  }
  chain output { type route hook output priority mangle; ${ip} daddr ${range} meta l4proto { tcp, sctp } jump remember; }
  chain prerouting { type filter hook prerouting priority mangle; ${ip} daddr ${range} meta l4proto { tcp, sctp } jump remember; }
}
`
  async function write(changes: ReadonlyMap<string, string | undefined>): Promise<void> {
    const gone: string[] = []
    const fresh = new Map<string, number>()
    for (const [to, way] of changes) {
      const [before, mark] = [marks.get(to), way === undefined ? undefined : markOf(way)]
      if (before === mark) continue
      if (before !== undefined) gone.push(to)
      if (mark !== undefined) fresh.set(to, mark)
    }
    const script = [
      ...(gone.length > 0 ? [`delete element ${table} ways { ${gone.join(', ')} }\n`] : []),
      ...(fresh.size > 0 ? [`add element ${table} ways { ${pairs(fresh)} }\n`] : []),
    ].join('')
    if (written && script === '') return
    for (const to of gone) marks.delete(to)
    for (const [to, mark] of fresh) marks.set(to, mark)
    const all = !written
    // Until it is known that the kernel has it, it is not.
    written = false
    await nft(all ? whole() : script)
    written = true
  }
  return {
    begin(changes) {
      const next = beginning.catch(() => {}).then(() => write(changes))
      return (beginning = next)
    },
    keep(ways) {
      const next = keeping.catch(() => {}).then(() => change(ways))
      return (keeping = next)
    },
  }
}
