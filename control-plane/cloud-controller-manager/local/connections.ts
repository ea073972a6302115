/**
 * Connections through an address that moves stay with the node that they began at, as a cloud's load balancers drain: connection tracking
 * remembers their way. Where the node would get them in their middle, its pods would answer with resets.
 */
import { createHash } from 'node:crypto'
import { ipBatch, ipJson } from '#shared/linux/ip.ts'
import { nft } from '#shared/linux/nft.ts'
import { connectionsPriority, connectionsTable } from './config.ts'

/** Mark of the packets that go a way, and routing table of that way: a number that nobody else has. */
const markOf = (way: string): number => (createHash('sha256').update(way).digest().readUInt32BE() | 0x4000_0000) >>> 0

interface Rule {
  priority: number
  dst?: string
  dstlen?: number
  fwmark?: string
}

export interface Connections {
  /** New connections to each address are known by its way. */
  begin(ways: ReadonlyMap<string, string>): Promise<void>
  /** What went one of these ways goes on there; what went another way goes where its address is now. */
  keep(ways: ReadonlySet<string>): Promise<void>
}

/** Where the kernel cannot tell connections apart, or packets' ways by their marks: they go where their address is. */
export const untracked: Connections = { begin: async () => {}, keep: async () => {} }

/** For the addresses of `range`; `device` is the cluster's bridge. What a former process kept is found. */
export async function trackConnections(device: string, range: string): Promise<Connections> {
  const table = `ip ${connectionsTable(device)}`
  const rules = (await ipJson<Rule>(['-4', 'rule', 'show'])).filter(
    r => r.priority === connectionsPriority && `${r.dst}/${r.dstlen}` === range,
  )
  const kept = new Set(rules.map(r => Number(r.fwmark)))
  const rule = (mark: number): string => `to ${range} fwmark ${mark} priority ${connectionsPriority} lookup ${mark}`
  let written = ''
  let keeping = Promise.resolve()
  async function change(ways: ReadonlySet<string>): Promise<void> {
    const wanted = new Map([...ways].map(way => [markOf(way), way]))
    const come = [...wanted].filter(([mark]) => !kept.has(mark))
    const gone = [...kept].filter(mark => !wanted.has(mark))
    await ipBatch([
      ...come.flatMap(([mark, way]) => [`route replace default ${way} table ${mark}`, `rule add ${rule(mark)}`]),
      ...gone.flatMap(mark => [`rule del ${rule(mark)}`, `route flush table ${mark}`]),
    ])
    for (const [mark] of come) kept.add(mark)
    for (const mark of gone) kept.delete(mark)
  }
  return {
    async begin(ways) {
      const elements = [...ways].sort().map(([address, way]) => `${address} : ${markOf(way)}`)
      // UDP has no connections that would end: who goes on sending has to be heard by who is there now.
      const script = `table ${table} {}
delete table ${table}
table ${table} {
  map ways { type ipv4_addr : mark; ${elements.length > 0 ? `elements = { ${elements.join(', ')} }; ` : ''}}
  chain remember {
    ct state new ct mark set ip daddr map @ways
    meta mark set ct mark
  }
  chain output { type route hook output priority mangle; ip daddr ${range} meta l4proto { tcp, sctp } jump remember; }
  chain prerouting { type filter hook prerouting priority mangle; ip daddr ${range} meta l4proto { tcp, sctp } jump remember; }
}
`
      if (script === written) return
      await nft(script)
      written = script
    },
    keep(ways) {
      const next = keeping.catch(() => {}).then(() => change(ways))
      return (keeping = next)
    },
  }
}
