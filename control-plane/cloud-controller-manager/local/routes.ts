/** Announces addresses: the machine's routes to them, each through one node. Written together, changed only where they differ. */
import { ipBatch, ipJson } from '#shared/linux/ip.ts'

/** Marks our routes in the kernel's table: a number that no routing daemon uses. */
const PROTOCOL = '121'

export interface Announcer {
  /** The node address that an address is announced by. */
  via(address: string): string | undefined
  /** Resolves when the machine sends what is for `address` to `node`; undefined: to nobody. Rejects in iproute2's words. */
  announce(address: string, node: string | undefined): Promise<void>
  addresses(): Iterable<string>
}

/** Nothing has to be announced where every address of the pool is the machine's own, as on loopback. */
export function silentAnnouncer(): Announcer {
  return { via: () => undefined, announce: () => Promise.resolve(), addresses: () => [] }
}

/** What a former process announced is found in the kernel's table. */
export async function routeAnnouncer(device: string): Promise<Announcer> {
  const ofFamily = (family: string) =>
    ipJson<{ dst: string; gateway?: string }>([family, 'route', 'show', 'proto', PROTOCOL, 'dev', device])
  const found = (await Promise.all(['-4', '-6'].map(ofFamily))).flat()
  const present = new Map(found.flatMap(r => (r.gateway === undefined ? [] : [[r.dst, r.gateway] as const])))
  let lines: string[] = []
  let writing: Promise<void> | undefined
  /** Lines that come while others are being written go together. */
  function write(): Promise<void> {
    writing ??= Promise.resolve().then(async () => {
      const batch = lines
      lines = []
      writing = undefined
      await ipBatch(batch)
    })
    return writing
  }
  return {
    via: address => present.get(address),
    addresses: () => [...present.keys()],
    async announce(address, node) {
      const before = present.get(address)
      if (before === node) return writing
      // One that is not there any more is no error: it is put there first.
      if (node === undefined)
        lines.push(`route replace ${address} via ${before} dev ${device} proto ${PROTOCOL}`, `route del ${address} proto ${PROTOCOL}`)
      else lines.push(`route replace ${address} via ${node} dev ${device} proto ${PROTOCOL}`)
      if (node === undefined) present.delete(address)
      else present.set(address, node)
      try {
        await write()
      } catch (e) {
        // Perhaps it was not written: the next attempt is to write it again.
        present.delete(address)
        throw e
      }
    },
  }
}
