/**
 * The way of nodes and pods to what is outside of the machine: packets that leave the cluster's ranges go out with the machine's own
 * address. Everything is in a table of the cluster's own; the machine's other rules are left alone. Where forwarding is off, it is switched
 * on for the bridge and for the links that default routes name, and nobody outside gets at anything by that.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { ipJson } from '#shared/linux/ip.ts'
import { nft, nftJson } from '#shared/linux/nft.ts'
import { routesAfter } from './files.ts'
import { run } from './run.ts'
import type { Addresses } from './state.ts'
import { which } from './system.ts'

const prefix = 'coxswain-'
const tableOf = (at: Addresses): string => `${prefix}${at.bridge}`
/** Of a cluster's table: the links on which it switched forwarding on. The kernel is the only record. */
const opened = 'opened'

const forwarding = (link: string): string => `/proc/sys/net/ipv4/conf/${link}/forwarding`
const isOn = (file: string): boolean => {
  try {
    return readFileSync(file, 'utf8').trim() === '1'
  } catch {
    return false
  }
}
const forwardsAll = (): boolean => isOn('/proc/sys/net/ipv4/ip_forward')

/** Lets the cluster's packets out; idempotent. Without a default route now, what there will be is used when forwarding is on by then. */
export async function openUplink(at: Addresses): Promise<void> {
  const links = forwardsAll() ? [] : await linksToOpen(at)
  const segment = segmentOf(at)
  // Pods of others on the segment send by this machine what has an egress address.
  // What comes in by a link of these was not forwarded before; only answers are now, and what others have redirected on purpose.
  const guard =
    links.length === 0
      ? ''
      : `  set ${opened} { type ifname; elements = { ${links.map(l => `"${l}"`).join(', ')} }; }
  chain forward {
    type filter hook forward priority filter;
    iifname != @${opened} accept
    ct state established,related accept
    ct status dnat accept
${segment === undefined ? '' : `    ip saddr ${segment} ip daddr ${at.all} accept\n    ip saddr ${at.pods} accept\n`}    drop
  }
`
  await nft(`table ip ${tableOf(at)} {}
delete table ip ${tableOf(at)}
table ip ${tableOf(at)} {
${guard}${entrance(at)}  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr ${at.all} ip daddr != ${at.all} oifname != "${at.bridge}" fib daddr type != { local, multicast, broadcast } masquerade
  }
}
`)
  await openIPv6(at)
  for (const link of [at.bridge, ...links]) writeFileSync(forwarding(link), '1')
  await acceptForwarded(at, true)
}

/** The link that has an address, and its range. */
const linkWith = (address: string): [link?: string, range?: string] =>
  Object.entries(networkInterfaces()).flatMap(([link, list]) =>
    (list ?? []).flatMap(i => (i.address === address && i.cidr ? [[link, i.cidr] as [string, string]] : [])),
  )[0] ?? []

/** Where machines are that send packets for our pods as they are. */
const segmentOf = ({ listen }: Addresses): string | undefined => (listen?.routes ? linkWith(listen.address)[1] : undefined)

/**
 * Who connects to the machine's address, clients and other nats-servers, comes to the nats-servers, which listen on the bridge: other
 * clusters of the machine have theirs there.
 */
function entrance({ listen, nats }: Addresses): string {
  if (!listen) return ''
  const first = nats.servers > 1 ? [0, routesAfter] : [0]
  const rules = first
    .flatMap(from => Array.from({ length: nats.servers }, (_, i) => from + i))
    .map(i => `    ip daddr ${listen.address} tcp dport ${listen.port + i} dnat to ${nats.host}:${nats.port + i}\n`)
    .join('')
  return `  chain prerouting {
    type nat hook prerouting priority dstnat;
${rules}  }
  chain output {
    type nat hook output priority -100;
${rules}  }
`
}

/** Takes all of it back; idempotent. */
export async function closeUplink(at: Addresses): Promise<void> {
  const all = await openedLinks()
  const mine = all.get(tableOf(at)) ?? []
  all.delete(tableOf(at))
  // Who switched forwarding on for the whole machine meanwhile relies on it.
  if (!forwardsAll())
    for (const link of mine) {
      if ([...all.values()].some(links => links.includes(link)) || !isOn(forwarding(link))) continue
      writeFileSync(forwarding(link), '0')
    }
  await nft(`table ip ${tableOf(at)} {}\ndelete table ip ${tableOf(at)}\n`)
  if (at.ipv6) await nft(`table ip6 ${tableOf(at)} {}\ndelete table ip6 ${tableOf(at)}\n`)
  await acceptForwarded(at, false)
}

/**
 * The same for IPv6 where the machine forwards it: switching that on makes a machine a router, which hears no more of routes from others
 * (accept_ra), so it is left to its owner.
 */
async function openIPv6(at: Addresses): Promise<void> {
  if (!at.ipv6) return
  await nft(`table ip6 ${tableOf(at)} {}
delete table ip6 ${tableOf(at)}
table ip6 ${tableOf(at)} {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip6 saddr ${at.ipv6.all} ip6 daddr != ${at.ipv6.all} oifname != "${at.bridge}" fib daddr type != { local, multicast } masquerade
  }
}
`)
}

/** The links of default routes that do not forward, or do because a cluster made them to. */
async function linksToOpen(at: Addresses): Promise<string[]> {
  const [routes, clusters] = await Promise.all([
    ipJson<{ dev?: string; nexthops?: { dev: string }[] }>(['-4', 'route', 'show', 'default']),
    openedLinks(),
  ])
  const links = new Set(routes.flatMap(r => [...(r.dev ? [r.dev] : []), ...(r.nexthops ?? []).map(hop => hop.dev)]))
  const [machines] = at.listen?.routes ? linkWith(at.listen.address) : []
  if (machines !== undefined) links.add(machines)
  const ours = new Set([...clusters.values()].flat())
  return [...links].filter(link => link !== at.bridge && (ours.has(link) || !isOn(forwarding(link))))
}

/** Table to what it opened, for all clusters of the machine. */
async function openedLinks(): Promise<Map<string, string[]>> {
  const sets = (await nftJson(['list', 'sets', 'ip'])).flatMap(o => (o['set'] as { table: string; name: string; elem?: string[] }) ?? [])
  return new Map(sets.filter(s => s.table.startsWith(prefix) && s.name === opened).map(s => [s.table, s.elem ?? []]))
}

/**
 * Docker and others drop what iptables' FORWARD chain does not accept, whatever other tables say. Where it accepts all, it is left alone.
 */
async function acceptForwarded(at: Addresses, accept: boolean): Promise<void> {
  if (!which('iptables')) return
  const iptables = (...args: string[]) => run('iptables', ['-w', ...args], { timeoutMs: 10_000 })
  const chain = (await iptables('-S', 'FORWARD')).stdout.split('\n').filter(Boolean)
  // Bridges of ours, this cluster's and others', have rules that accept, too.
  const touches = accept
    ? chain.some(line => line !== '-P FORWARD ACCEPT' && !line.endsWith(' -j ACCEPT'))
    : chain.some(line => line.includes(` ${at.bridge} `))
  if (!touches) return
  const rules = [
    ['FORWARD', '-i', at.bridge, '!', '-o', at.bridge, '-j', 'ACCEPT'],
    ['FORWARD', '-o', at.bridge, '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED', '-j', 'ACCEPT'],
    // Pods of other machines.
    ['FORWARD', '-i', at.vxlanLink, '-o', at.bridge, '-j', 'ACCEPT'],
    // What they send to the outside with the address of their namespace, and the answers.
    ['FORWARD', '-i', at.vxlanLink, '!', '-o', at.bridge, '-j', 'ACCEPT'],
    ['FORWARD', '-o', at.vxlanLink, '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED', '-j', 'ACCEPT'],
    ...[segmentOf(at), at.listen?.routes ? at.pods : undefined].flatMap(from =>
      from === undefined ? [] : [['FORWARD', '-s', from, '-o', at.bridge, '-j', 'ACCEPT']],
    ),
  ]
  for (const rule of rules) {
    const there = (await iptables('-C', ...rule)).ok
    if (there !== accept) await iptables(accept ? '-I' : '-D', ...rule)
  }
}
