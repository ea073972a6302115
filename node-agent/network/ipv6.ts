/** The second family of a node with both. What has an IPv4 address has the IPv6 address with the same number in the range beside. */
import { ipBatch, ipJson } from '#shared/linux/ip.ts'

/** The ranges and the address of a node's second family, as the flags name them behind a comma. */
export interface SecondFamily {
  nodeIP: string
  podCIDR: string
  clusterCIDR: string
  serviceCIDR: string
  nonMasqueradeCIDRs: readonly string[]
  loadBalancerCIDR?: string | undefined
}

/** Marks our routes in the kernel's table, as those of IPv4. */
const PROTOCOL = '120'

/** Makes the kernel's table hold exactly these routes of ours: pod range of another node to its address. */
export async function setIPv6Routes(routes: ReadonlyMap<string, string>): Promise<void> {
  const found = await ipJson<{ dst: string; gateway?: string }>(['-6', 'route', 'show', 'proto', PROTOCOL])
  const present = new Map(found.map(r => [r.dst, r.gateway]))
  await ipBatch(
    [
      ...[...routes]
        .filter(([cidr, node]) => present.get(cidr) !== node)
        .map(([cidr, node]) => `route replace ${cidr} via ${node} proto ${PROTOCOL}`),
      ...[...present.keys()].filter(cidr => !routes.has(cidr)).map(cidr => `route del ${cidr} proto ${PROTOCOL}`),
    ],
    { force: true },
  )
}
