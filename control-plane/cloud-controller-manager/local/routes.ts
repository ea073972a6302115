/** Announces addresses: the machine's routes to them, each through one node. Written together, changed only where they differ. */
import { ipBatch, ipJson } from '#shared/linux/ip.ts'
import type { Hop } from '#shared/linux/routes.ts'
import { ipFamily, type IPFamily } from '#shared/machinery/ip.ts'
import { untracked, type Connections } from './connections.ts'

/** Marks our routes in the kernel's table: a number that no routing daemon uses. */
const PROTOCOL = '121'

export interface Announcer {
  /** The way that an address is announced by, as `ip route` has it: `via NODE dev LINK`. */
  via(address: string): string | undefined
  /** Resolves when the machine sends what is for `address` that way; undefined: to nobody. Rejects in iproute2's words. */
  announce(address: string, way: string | undefined): Promise<void>
  /** The ways to the nodes that live, by a family: connections that go one of them stay there when their address moves. */
  keep(family: IPFamily, ways: ReadonlySet<string>): Promise<void>
  addresses(): Iterable<string>
}

/** Nothing has to be announced where every address of the pool is the machine's own, as on loopback. */
export function silentAnnouncer(): Announcer {
  return { via: () => undefined, announce: () => Promise.resolve(), keep: () => Promise.resolve(), addresses: () => [] }
}

/** The way to a node by a link of the machine's. */
export const wayBy = (node: string, link: string): string => `via ${node} dev ${link}`
/** The way to a node of another machine. */
export const wayTo = ({ via, vxlan }: Hop): string => (vxlan === undefined ? `via ${via}` : `${wayBy(via, vxlan)} onlink`)

interface Route {
  dst: string
  gateway?: string
  dev: string
  flags?: string[]
}

const families = ['IPv4', 'IPv6'] as const
const none: ReadonlySet<string> = new Set()

/** What a former process announced by these links is found in the kernel's table. */
export async function routeAnnouncer(
  links: readonly string[],
  connections: Record<IPFamily, Connections> = { IPv4: untracked, IPv6: untracked },
): Promise<Announcer> {
  const known = (family: string) => ipJson<Route>([family, 'route', 'show', 'proto', PROTOCOL])
  const found = (await Promise.all(['-4', '-6'].map(known))).flat().filter(r => links.includes(r.dev))
  const wayOf = ({ gateway, dev, flags }: Route): string => `${wayBy(gateway ?? '', dev)}${flags?.includes('onlink') ? ' onlink' : ''}`
  const present = new Map(found.flatMap(r => (r.gateway === undefined ? [] : [[r.dst, wayOf(r)] as const])))
  const living: Record<IPFamily, ReadonlySet<string>> = { IPv4: none, IPv6: none }
  const each = (step: (family: IPFamily) => Promise<void>): Promise<unknown> => Promise.all(families.map(step))
  const begin = (addresses: Iterable<string>): Promise<unknown> => {
    const all = [...addresses].map(address => [address, present.get(address)] as const)
    return each(family => connections[family].begin(new Map(all.filter(([address]) => ipFamily(address) === family))))
  }
  // Without any address there is nothing to keep.
  const keep = (): Promise<unknown> => each(family => connections[family].keep(present.size > 0 ? living[family] : none))
  await begin(present.keys())
  let lines: string[] = []
  let touched = new Set<string>()
  let writing: Promise<void> | undefined
  /** Lines that come while others are being written go together. */
  function write(): Promise<void> {
    writing ??= Promise.resolve().then(async () => {
      const [batch, addresses] = [lines, touched]
      lines = []
      touched = new Set()
      writing = undefined
      await ipBatch(batch)
      await begin(addresses)
    })
    return writing
  }
  return {
    via: address => present.get(address),
    addresses: () => [...present.keys()],
    async keep(family, ways) {
      living[family] = ways
      await keep()
    },
    async announce(address, way) {
      const before = present.get(address)
      if (before === way) return writing
      const empty = present.size === 0
      // One that is not there any more is no error: it is put there first.
      const replace = (by: string | undefined): string => `route replace ${address} ${by} proto ${PROTOCOL}`
      lines.push(...(way === undefined ? [replace(before), `route del ${address} proto ${PROTOCOL}`] : [replace(way)]))
      touched.add(address)
      if (way === undefined) present.delete(address)
      else present.set(address, way)
      try {
        await write()
        if (empty || present.size === 0) await keep()
      } catch (e) {
        // Perhaps it was not written: the next attempt is to write it again.
        present.delete(address)
        throw e
      }
    },
  }
}
