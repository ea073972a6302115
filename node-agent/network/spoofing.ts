/**
 * What keeps a pod from taking another's address. Link name and hardware address of a pod follow from its IP address.
 */
import { hardwareAddress } from '#shared/linux/ip.ts'
import { nft, nftJson } from '#shared/linux/nft.ts'
import { run } from '#shared/linux/run.ts'

const NAME = 'coxswain-pods'
const TABLE = `bridge ${NAME}`
/** A port is guarded from the moment that it is known; those of a former version of this table's owner are not. */
const skeleton = (ipv6: boolean): string => `table ${TABLE} {
  set guarded { type ifname; }
  set allowed { type ifname . ether_addr . ipv4_addr; }
${ipv6 ? '  set allowed6 { type ifname . ether_addr . ipv6_addr; }\n' : ''}  chain prerouting {
    type filter hook prerouting priority -300;
${ipv6 ? '    iifname @guarded ether type ip6 iifname . ether saddr . ip6 saddr != @allowed6 drop\n' : ''}    iifname @guarded ether type ip iifname . ether saddr . ip saddr != @allowed drop
    iifname @guarded ether type arp iifname . ether saddr . arp saddr ip != @allowed drop
  }
}
`

/** Of a pod; with `ipv6` where the node has both families. */
export interface Addresses {
  ip: string
  ipv6?: string | undefined
}
type Guarded = Addresses & { link: string }

/** Makes the table, or keeps the one that is there. Rejects where the kernel has no nftables for bridges. */
export async function openSpoofingGuard(ipv6: boolean): Promise<void> {
  const tables = await nftJson(['list', 'tables', 'bridge'])
  if (!tables.some(o => (o['table'] as { name?: string } | undefined)?.name === NAME)) await nft(skeleton(ipv6))
}

/**
 * Lines for `ip -batch` that bind addresses to ports of the bridge: the node asks nobody where a pod is, and pods hear of each other
 * through the node alone.
 */
export const bindingLines = (bridge: string, link: string, { ip, ipv6 }: Addresses): string[] => [
  `link set ${link} type bridge_slave isolated on learning off flood off`,
  ...[ip, ...(ipv6 === undefined ? [] : [ipv6])].map(a => `neigh replace ${a} lladdr ${hardwareAddress(ip)} dev ${bridge} nud permanent`),
]

const elements = (pods: readonly Guarded[]): [set: string, element: string][] =>
  pods.flatMap(({ ip, ipv6, link }): [string, string][] => [
    ...(ipv6 === undefined ? [] : [['allowed6', `"${link}" . ${hardwareAddress(ip)} . ${ipv6}`] as [string, string]]),
    ['allowed', `"${link}" . ${hardwareAddress(ip)} . ${ip}`],
    ['guarded', `"${link}"`],
  ])

/** Forgets pods whose links are gone. Adding first makes the deletion of what was never there no error. */
export async function unguard(pods: readonly Guarded[]): Promise<void> {
  const lines = elements(pods).flatMap(([set, element]) => [
    `add element ${TABLE} ${set} { ${element} }`,
    `delete element ${TABLE} ${set} { ${element} }`,
  ])
  await nft(lines.map(line => `${line}\n`).join(''))
}

/** The addresses that the table knows, also those of pods whose links went while nobody could tell it. */
export async function guardedAddresses(): Promise<string[]> {
  const objects = await nftJson(['list', 'set', 'bridge', NAME, 'allowed'])
  const { elem = [] } = (objects.find(o => 'set' in o)?.['set'] ?? {}) as { elem?: { concat: string[] }[] }
  return elem.flatMap(e => e.concat[2] ?? [])
}

/**
 * Lets these pods send from their own addresses alone, and the bridge send to them. `guarded` is false where the kernel lacks the table.
 */
export async function guard(pods: readonly Guarded[], guarded: boolean): Promise<void> {
  const entries = pods.map(({ ip, link }) => `fdb replace ${hardwareAddress(ip)} dev ${link} master static\n`)
  await Promise.all([
    run('bridge', ['-batch', '-'], { input: entries.join(''), timeoutMs: 20_000 }),
    guarded
      ? nft(elements(pods).map(([set, element]) => `add element ${TABLE} ${set} { ${element} }\n`).join('')) // prettier-ignore
      : undefined,
  ])
}
