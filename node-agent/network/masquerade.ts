/** The node's rules for all of its pods: the source address of what leaves the cluster, and who is refused. */
import { familyWords, nft } from '#shared/linux/nft.ts'
import type { IPFamily } from '#shared/machinery/ip.ts'

export interface PodRules {
  family: IPFamily
  podCIDR: string
  /** Where pods are known by their own addresses; what goes elsewhere gets the node's. */
  known: readonly string[]
  /** Addresses of load balancers: what no Service answers there is refused, not sent back where it came from. */
  loadBalancerCIDR?: string | undefined
  /** The link that all pods are behind, if there is one. */
  bridge?: string
}

/** What still has an address of a load balancer after kube-proxy's rules. */
const refusals = (cidr: string, ip: string): string =>
  ['forward', 'output']
    .map(
      hook => `  chain ${hook} {
    type filter hook ${hook} priority 10;
    ${ip} daddr ${cidr} meta l4proto tcp reject with tcp reset
    ${ip} daddr ${cidr} reject
  }\n`,
    )
    .join('')

/** A host port answers at 127.0.0.1, too, so pods' packets to there must not come in. */
const loopback = (bridge: string): string => `  chain prerouting {
    type filter hook prerouting priority raw;
    iifname "${bridge}" ip daddr 127.0.0.0/8 drop
  }\n`

/** Writes the table `coxswain-pods` of a family, in the place of the one that is there. */
export async function podRules({ family, podCIDR, known, loadBalancerCIDR, bridge }: PodRules): Promise<void> {
  const { ip } = familyWords[family]
  // The machine sees to it.
  const everywhere = known.some(range => range === '0.0.0.0/0' || range === '::/0')
  const elsewhere = bridge === undefined ? '' : `oifname != "${bridge}" `
  const masquerade = `  chain postrouting {
    type nat hook postrouting priority srcnat + 10;
    ${ip} saddr ${podCIDR} ${ip} daddr != { ${known.join(', ')} } ${elsewhere}fib daddr type != { local, multicast } masquerade
  }
`
  await nft(`table ${ip} coxswain-pods {}
delete table ${ip} coxswain-pods
table ${ip} coxswain-pods {
${bridge !== undefined && family === 'IPv4' ? loopback(bridge) : ''}${everywhere ? '' : masquerade}${loadBalancerCIDR === undefined ? '' : refusals(loadBalancerCIDR, ip)}}
`)
}
