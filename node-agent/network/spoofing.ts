/**
 * What keeps a pod from taking another's address. Link name and hardware address of a pod follow from its IP address, so what is said here of
 * one stays true for whichever pod has it: nothing is removed, and there is as much of it as the node has pod addresses.
 */
import { hardwareAddress } from '#shared/linux/ip.ts'
import { nft, nftJson } from '#shared/linux/nft.ts'
import { run } from '#shared/linux/run.ts'

const NAME = 'coxswain-pods'
const TABLE = `bridge ${NAME}`
/** A port is guarded from the moment that it is known; those of a former version of this table's owner are not. */
const SKELETON = `table ${TABLE} {
  set guarded { type ifname; }
  set allowed { type ifname . ether_addr . ipv4_addr; }
  chain prerouting {
    type filter hook prerouting priority -300;
    iifname @guarded ether type ip iifname . ether saddr . ip saddr != @allowed drop
    iifname @guarded ether type arp iifname . ether saddr . arp saddr ip != @allowed drop
  }
}
`

/** Makes the table, or keeps the one that is there. Rejects where the kernel has no nftables for bridges. */
export async function openSpoofingGuard(): Promise<void> {
  const tables = await nftJson(['list', 'tables', 'bridge'])
  if (!tables.some(o => (o['table'] as { name?: string } | undefined)?.name === NAME)) await nft(SKELETON)
}

/**
 * Lines for `ip -batch` that bind addresses to ports of the bridge: the node asks nobody where a pod is, and pods hear of each other through
 * the node alone.
 */
export const bindingLines = (bridge: string, link: string, ip: string): string[] => [
  `link set ${link} type bridge_slave isolated on learning off flood off`,
  `neigh replace ${ip} lladdr ${hardwareAddress(ip)} dev ${bridge} nud permanent`,
]

/** Lets these pods send from their own addresses alone, and the bridge send to them. `guarded` is false where the kernel lacks the table. */
export async function guard(pods: readonly { ip: string; link: string }[], guarded: boolean): Promise<void> {
  const entries = pods.map(({ ip, link }) => `fdb replace ${hardwareAddress(ip)} dev ${link} master static\n`)
  const links = pods.map(({ link }) => `"${link}"`)
  const allowed = pods.map(({ ip, link }) => `"${link}" . ${hardwareAddress(ip)} . ${ip}`)
  await Promise.all([
    run('bridge', ['-batch', '-'], { input: entries.join(''), timeoutMs: 20_000 }),
    guarded
      ? nft(`add element ${TABLE} allowed { ${allowed.join(', ')} }\nadd element ${TABLE} guarded { ${links.join(', ')} }\n`)
      : undefined,
  ])
}
