/**
 * The address with which pods' packets leave the machine, pod by pod: a table of the machine's, before the one that gives all others its
 * own.
 */
import { nft } from '#shared/linux/nft.ts'
import type { Egress } from '../cloud.ts'
import { egressTable, type CloudConfig } from './config.ts'

export function machineEgress({ bridge, cluster }: NonNullable<CloudConfig['egress']>): Egress {
  const table = `ip ${egressTable(bridge)}`
  let written: string | undefined
  return {
    async ensureAddresses(addresses) {
      const elements = [...addresses].sort().map(([pod, address]) => `${pod} : ${address}`)
      const rules = `table ${table} {
  map addresses { type ipv4_addr : ipv4_addr; elements = { ${elements.join(', ')} } }
  chain postrouting {
    type nat hook postrouting priority srcnat - 1;
    ip daddr != ${cluster} oifname != "${bridge}" fib daddr type != { local, multicast, broadcast } snat to ip saddr map @addresses
  }
}
`
      const script = `table ${table} {}\ndelete table ${table}\n${elements.length > 0 ? rules : ''}`
      if (script === written) return
      await nft(script)
      written = script
    },
  }
}
