/**
 * Network namespaces for pods, `pod-<address>` below /run/netns, each with its address, routes and a link on the node's bridge. Making one
 * takes the kernel 15 ms or more, so some are made in advance, and those that are needed at the same time in one process.
 */
import { readdir } from 'node:fs/promises'
import { hardwareAddress, linkNames } from '#shared/linux/ip.ts'
import { holdNamespaces, type Holder } from '#shared/linux/namespaces.ts'
import { run } from '#shared/linux/run.ts'
import { ipToNumber, type AddressPool } from './addresses.ts'
import { batched } from './batch.ts'
import { bindingLines, guard, unguard, type Addresses } from './spoofing.ts'

export interface Namespaces {
  /**
   * The address of a namespace that nobody uses: one made in advance, else a new one. Throws when no address is left, or in iproute2's
   * words. One that is to belong to a user namespace, given by its path, is always a new one.
   */
  take(userNamespace?: string): Promise<string>
  /** Cuts it off at once and removes it; the kernel clears away what was in it a moment later. Idempotent. */
  remove(ip: string): Promise<void>
  /** Makes namespaces in advance until `count` are ready; stops when one is needed meanwhile. */
  prepare(count: number): Promise<void>
}

/** What one request of a batch got. */
interface Made {
  userNamespace?: string | undefined
  ip?: string
  error?: Error
}

const PREFIX = 'pod-'
export const namespaceOf = (ip: string): string => `${PREFIX}${ip}`
export const linkOf = (ip: string): string => `veth${ipToNumber(ip).toString(16).padStart(8, '0')}`
/** At a time, in advance: a pod that comes meanwhile may have to wait for them. */
const STEP = 2

/** The addresses of the namespaces that there are. */
export const existingNamespaces = async (): Promise<Set<string>> =>
  new Set((await readdir('/run/netns').catch(() => [])).filter(name => name.startsWith(PREFIX)).map(name => name.slice(PREFIX.length)))

const IPV6_SYSCTLS = {
  // The gateway is the only way, also to pods beside: advice to go there directly would lead nowhere.
  'net.ipv6.conf.all.accept_redirects': '0',
  'net.ipv6.conf.eth0.accept_redirects': '0',
  'net.ipv6.conf.eth0.accept_ra': '0',
}
/** What container runtimes set in every pod: any user may listen on low ports and ping. */
export const podSysctls = { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647' }

export interface NamespaceOptions {
  bridge: string
  gateway: string
  mtu: number
  guarded: boolean
  /** Of a node with both families: the gateway's address, and what a pod has beside its IPv4 address. */
  ipv6?: { gateway: string; of(ip: string): string } | undefined
}

export function podNamespaces(addresses: AddressPool, { bridge, gateway, mtu, guarded, ipv6 }: NamespaceOptions): Namespaces {
  const ready: string[] = []
  let needed = 0
  let preparing = false
  const inside = [
    `ip -batch - <<END`,
    'link set lo up',
    'addr add $1/32 dev eth0',
    'link set eth0 up',
    `route add ${gateway} dev eth0 scope link`,
    `route add default via ${gateway}`,
    ...(ipv6
      ? [
          'addr add $2/128 dev eth0 nodad',
          // Nobody has to be asked, and nobody could answer in the gateway's name.
          `neigh replace ${ipv6.gateway} lladdr ${hardwareAddress(gateway)} dev eth0 nud permanent`,
          `route add ${ipv6.gateway} dev eth0`,
          `route add default via ${ipv6.gateway} dev eth0`,
        ]
      : []),
    'END',
    '[ $? = 0 ] || exit 1',
  ]
  const script = [...inside, ...Object.entries(ipv6 ? { ...podSysctls, ...IPV6_SYSCTLS } : podSysctls).map(sysctlCommand)].join('\n')
  const addressesOf = (ip: string): Addresses => ({ ip, ...(ipv6 ? { ipv6: ipv6.of(ip) } : {}) })
  const guardedOf = (ips: readonly string[]) => ips.map(ip => ({ ...addressesOf(ip), link: linkOf(ip) }))

  const removeAll = async (ips: string[]): Promise<void> => {
    const [namespaces, links] = await Promise.all([existingNamespaces(), linkNames()])
    // Deleting a link by itself makes the kernel wait for 20 ms; it goes with its namespace.
    const lines = [...new Set(ips)].flatMap(ip => [
      ...(links.has(linkOf(ip)) ? [`link set ${linkOf(ip)} down`] : []),
      ...(namespaces.has(ip) ? [`netns del ${namespaceOf(ip)}`] : []),
      ...(links.has(linkOf(ip)) ? Object.values(addressesOf(ip)).map(a => `neigh del ${a} dev ${bridge}`) : []),
    ])
    if (lines.length > 0) await ip(lines, ['-force'])
    if (guarded) await unguard(guardedOf([...new Set(ips)]))
    for (const ip of ips) addresses.release(ip)
  }
  /** An address whose link is still there stays taken: something holds on to its former namespace. */
  function freeAddress(links: ReadonlySet<string>): string {
    const held: string[] = []
    try {
      for (;;) {
        const ip = addresses.take()
        if (!links.has(linkOf(ip))) return ip
        held.push(ip)
      }
    } finally {
      for (const ip of held) addresses.release(ip)
    }
  }
  const makeAll = async (wanted: Made[]): Promise<void> => {
    const links = await linkNames()
    for (const made of wanted) {
      try {
        made.ip = freeAddress(links)
      } catch (error) {
        made.error = error as Error
      }
    }
    const ips = wanted.flatMap(made => made.ip ?? [])
    const holders = new Map<string, Holder>()
    try {
      for (const { ip, userNamespace } of wanted)
        if (ip !== undefined && userNamespace !== undefined)
          holders.set(ip, await holdNamespaces(['nsenter', `--user=${userNamespace}`, '--', 'unshare', '--net']))
      const lines = ips.flatMap(ip => [
        holders.has(ip) ? `netns attach ${namespaceOf(ip)} ${holders.get(ip)!.pid}` : `netns add ${namespaceOf(ip)}`,
        `link add ${linkOf(ip)} mtu ${mtu} type veth peer name eth0 address ${hardwareAddress(ip)} netns ${namespaceOf(ip)} mtu ${mtu}`,
        `link set ${linkOf(ip)} master ${bridge} up`,
        ...bindingLines(bridge, linkOf(ip), addressesOf(ip)),
        // ip takes one line a command, so the script travels in the environment.
        `netns exec ${namespaceOf(ip)} sh -c 'eval "$POD_SETUP"' sh ${Object.values(addressesOf(ip)).join(' ')}`,
      ])
      if (lines.length > 0) {
        await ip(lines, [], { POD_SETUP: script })
        await guard(guardedOf(ips), guarded)
      }
    } catch (error) {
      await removeAll(ips).catch(() => {})
      throw error
    } finally {
      await Promise.all([...holders.values()].map(holder => holder.release()))
    }
  }
  const remove = batched(removeAll)
  const make = batched(makeAll)
  const makeOne = async (userNamespace?: string): Promise<string> => {
    const made: Made = { userNamespace }
    await make(made)
    if (made.ip === undefined) throw made.error
    return made.ip
  }

  return {
    async take(userNamespace) {
      const known = userNamespace === undefined ? ready.shift() : undefined
      if (known !== undefined) return known
      needed++
      return await makeOne(userNamespace).finally(() => needed--)
    },
    remove,
    async prepare(count) {
      if (preparing) return
      preparing = true
      try {
        while (ready.length < count && needed === 0)
          await Promise.all(Array.from({ length: Math.min(STEP, count - ready.length) }, async () => ready.push(await makeOne())))
      } finally {
        preparing = false
      }
    },
  }
}

/** Sets sysctls in a namespace; those that belong to none of its kind are left alone. */
export async function setSysctls(namespace: string, sysctls: Readonly<Record<string, string>>): Promise<void> {
  const commands = Object.entries(sysctls)
    .filter(([name]) => name.startsWith('net.'))
    .map(sysctlCommand)
  if (commands.length > 0) await run('ip', ['netns', 'exec', namespace, 'sh', '-c', commands.join('\n')])
}

function sysctlCommand([name, value]: [string, string]): string {
  const path = name.includes('/') ? name.replace(/[./]/g, c => (c === '.' ? '/' : '.')) : name.replaceAll('.', '/')
  return `printf %s ${quote(value)} >/proc/sys/${quote(path)} || exit 1`
}
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

const ip = (lines: readonly string[], args: readonly string[] = [], env: Record<string, string> = {}): Promise<string> =>
  run('ip', [...args, '-batch', '-'], { input: lines.join('\n') + '\n', env: { ...process.env, ...env }, timeoutMs: 20_000 })
