/** Who is asked about which names that are not the cluster's: by the Corefile, else the machine's resolvers. */
import { blockFor, isBelow, type Corefile, type Forward, type ServerBlock, type Upstream } from '#shared/network/corefile.ts'
import { newForwarder, type Forwarder } from './forward.ts'

/** The name of a query's first question, in lower case; '' where there is none. */
function nameOf(query: Buffer): string {
  const labels: string[] = []
  for (let at = 12; at < query.length && query[at] !== 0; at += query[at]! + 1)
    labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!))
  return labels.join('.').toLowerCase()
}

/** `system` are the machine's resolvers. A name for which the Corefile names nobody is asked of nobody. */
export function newRouter(corefile: Corefile, system: readonly Upstream[]): Forwarder {
  const forwarders = new Map<Forward, Forwarder>()
  for (const { forwards, cache } of corefile.blocks)
    for (const forward of forwards) {
      const upstreams = forward.to.flatMap(to => (to === 'system' ? system : [to]))
      // Resolvers of a machine are in the order in which they are to be asked.
      const policy = forward.to.includes('system') ? 'sequential' : forward.policy
      forwarders.set(forward, newForwarder(upstreams, { policy, forceTcp: forward.forceTcp, keep: cache ?? { success: 0, denial: 0 } }))
    }
  return {
    async ask(query, tcp) {
      const name = nameOf(query)
      const forward = forwardFor(blockFor(corefile, name), name)
      return forward && forwarders.get(forward)!.ask(query, tcp)
    },
    close: () => forwarders.forEach(f => f.close()),
  }
}

function forwardFor(block: ServerBlock | undefined, name: string): Forward | undefined {
  return block?.forwards
    .filter(({ from, except }) => isBelow(name, from) && !except.some(zone => isBelow(name, zone)))
    .sort((a, b) => b.from.length - a.from.length)[0]
}
