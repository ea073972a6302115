/** The nftables table of kube-proxy for a family of addresses, as far as it is the same whatever Services there are. */
import { familyWords } from '#shared/linux/nft.ts'
import type { IPFamily } from '#shared/machinery/ip.ts'

export interface TableOptions {
  family: IPFamily
  /** Where node ports answer. */
  nodeIPs: readonly string[]
  /** All pods of the cluster: traffic from elsewhere is masqueraded, so that answers come back this way. */
  clusterCIDR: string
  serviceCIDR: string
  /** The pods of this node: answers to them come back this way by themselves. */
  podCIDR?: string | undefined
}

const maps = (address: string) => {
  const frontend = `${address} . inet_proto . inet_service`
  return {
    'service-ids': `map service-ids { type ${frontend} : mark; }`,
    'service-ips': `map service-ips { type ${frontend} : verdict; }`,
    'nodeport-ids': 'map nodeport-ids { type inet_proto . inet_service : mark; }',
    'service-nodeports': 'map service-nodeports { type inet_proto . inet_service : verdict; }',
    'no-endpoint-services': `map no-endpoint-services { type ${frontend} : verdict; }`,
    'no-endpoint-nodeports': 'map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }',
    'firewall-ips': `map firewall-ips { type ${frontend} : verdict; }`,
    'cluster-ips': `set cluster-ips { type ${address}; }`,
    'hairpin-connections': `set hairpin-connections { type ${address} . ${address}; }`,
  }
}
export type ElementsName = keyof ReturnType<typeof maps>
export const ELEMENTS = Object.keys(maps('')) as ElementsName[]
export const tableOf = (family: IPFamily): string => `${familyWords[family].ip} kube-proxy`

/**
 * Where connections can go: the id of a Service's port, which a packet carries as its mark, and a number to an endpoint. All endpoints of
 * a protocol are in one map, and each is looked up in it by few rules: the kernel compares every element with every rule that names a map,
 * and every new map with all others, so that ten thousand maps or rules would cost minutes.
 */
const selections = (ip: string) => ({
  'endpoints-tcp': `map endpoints-tcp { typeof meta mark . numgen random mod 2 : ${ip} daddr . tcp dport; }`,
  'endpoints-udp': `map endpoints-udp { typeof meta mark . numgen random mod 2 : ${ip} daddr . udp dport; }`,
  'endpoints-sctp': `map endpoints-sctp { typeof meta mark . numgen random mod 2 : ${ip} daddr . sctp dport; }`,
  /** Chains of endpoints that remember their clients. */
  'endpoint-chains': 'map endpoint-chains { typeof meta mark . numgen random mod 2 : verdict; }',
})
export type SelectionMap = keyof ReturnType<typeof selections>

/** Packets that are to be masqueraded: a bit of the connection's mark, as the packet's own has the id of a Service's port. */
const masquerade = '0x4000'

/**
 * The table without any service, in place of what is there, in the same transaction as what follows it. Refusals are looked up in the
 * filter hooks: a packet that still has a service's address there found no endpoint.
 */
export function skeleton({ family, nodeIPs, clusterCIDR, serviceCIDR, podCIDR }: TableOptions): string {
  const { ip, address } = familyWords[family]
  const table = tableOf(family)
  return `table ${table} {}
delete table ${table}
table ${table} {
  ${[...Object.values(maps(address)), ...Object.values(selections(ip))].join('\n  ')}
  set nodeport-ips { type ${address}; ${nodeIPs.length > 0 ? `elements = { ${nodeIPs.join(', ')} }; ` : ''}}
  chain mark-for-masquerade { ct mark set ct mark or ${masquerade}; }
  chain reject-chain { reject; }
  chain services {
    ${ip} daddr @cluster-ips ${ip} saddr != ${clusterCIDR} jump mark-for-masquerade
    meta mark set ${ip} daddr . meta l4proto . th dport map @service-ids
    ${ip} daddr . meta l4proto . th dport vmap @service-ips
    ${ip} daddr @nodeport-ips meta mark set meta l4proto . th dport map @nodeport-ids
    ${ip} daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
  }
  chain refusals {
    ${ip} daddr . meta l4proto . th dport vmap @no-endpoint-services
    ${ip} daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
    ${ip} daddr @cluster-ips reject
    ${ip} daddr ${serviceCIDR} drop
  }
  chain firewall { ${ip} daddr . meta l4proto . th dport vmap @firewall-ips; }
  chain firewall-prerouting { type filter hook prerouting priority -110; ct state new jump firewall; }
  chain firewall-output { type filter hook output priority -110; ct state new jump firewall; }
  chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting {
    type nat hook postrouting priority srcnat;
    ct mark and ${masquerade} != 0 ${podCIDR === undefined ? '' : `${ip} saddr != ${podCIDR} `}masquerade fully-random
    ${ip} saddr . ${ip} daddr @hairpin-connections ct status dnat masquerade fully-random
  }
  chain filter-input { type filter hook input priority 0; ct state new jump refusals; }
  chain filter-forward { type filter hook forward priority 0; ct state new jump refusals; }
  chain filter-output { type filter hook output priority 0; ct state new jump refusals; }
}
`
}
