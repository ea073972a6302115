/** The machine's side of the cluster's network: one bridge that the nodes hang on, and routes to pods and Services through them. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { hardwareAddress } from '#shared/linux/ip.ts'
import { nft } from '#shared/linux/nft.ts'
import { connectionsPriority, connectionsTable, egressTable } from '../cloud-controller-manager/local/config.ts'
import { run } from './run.ts'
import { which } from './system.ts'
import { closeUplink, openUplink } from './uplink.ts'
import type { Addresses } from './state.ts'

/** Runs `ip -batch`; with `force`, lines that fail do not stop the others and their errors are ignored. */
export async function ip(lines: string[], options: { force?: boolean; netnsOf?: number } = {}): Promise<void> {
  const args = [...(options.force ? ['-force'] : []), '-batch', '-']
  const [command, argv] = options.netnsOf === undefined ? ['ip', args] : ['nsenter', ['-t', String(options.netnsOf), '-n', 'ip', ...args]]
  const result = await run(command, argv, { input: `${lines.join('\n')}\n`, timeoutMs: 10_000 })
  if (!result.ok && !options.force) throw new Error(`ip: ${result.stderr.split('\n')[0] || result.error}`)
}

/** With Docker beside us, bridged packets pass iptables' FORWARD chain, whose policy Docker sets to DROP. */
const bridgedPacketsAreFiltered = (): boolean =>
  existsSync('/proc/sys/net/bridge/bridge-nf-call-iptables') &&
  readFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', 'utf8').trim() === '1'

/** Lets packets pass a bridge of ours, or takes that back. */
export async function acceptBridged(bridge: string, accept: boolean): Promise<void> {
  if (!bridgedPacketsAreFiltered() || !which('iptables')) return
  const rule = ['FORWARD', '-i', bridge, '-o', bridge, '-j', 'ACCEPT']
  const iptables = (action: string) => run('iptables', ['-w', action, ...rule], { timeoutMs: 10_000 })
  if (!accept) await iptables('-D')
  else if (!(await iptables('-C')).ok) await iptables('-I')
}

/** Makes the bridge, or finds it. Cluster addresses without a route of their own are unreachable, so nothing leaves for the outside. */
export async function raiseBridge(at: Addresses): Promise<void> {
  if (!existsSync(`/sys/class/net/${at.bridge}`)) await ip([`link add ${at.bridge} address ${hardwareAddress(at.host)} type bridge`])
  await ip([`addr replace ${at.host}/24 dev ${at.bridge}`, `link set ${at.bridge} up`, `route replace unreachable ${at.all}`])
  if (!at.listen && existsSync(`/sys/class/net/${at.vxlanLink}`)) await ip([`link del ${at.vxlanLink}`], { force: true })
  if (at.ipv6) await ip([`addr replace ${at.ipv6.host}/64 dev ${at.bridge} nodad`, `route replace unreachable ${at.ipv6.all}`])
  await acceptBridged(at.bridge, true)
  await openUplink(at)
}

/** Takes the bridge down; the routes over it go with it. The kernel would remove the links of dead nodes by itself, but later. */
export async function lowerBridge(at: Addresses): Promise<void> {
  const links = readdirSync('/sys/class/net').filter(l => l.startsWith(`${at.bridge}n`))
  const unreachable = [at.all, ...(at.ipv6 ? [at.ipv6.all] : [])].map(range => `route del unreachable ${range}`)
  const ours = [...links, at.vxlanLink, at.bridge].map(link => `link del ${link}`)
  await ip([...unreachable, ...ours], { force: true })
  await acceptBridged(at.bridge, false)
  const balancers = [`ip ${connectionsTable(at.bridge)}`, ...(at.ipv6 ? [`ip6 ${connectionsTable(at.bridge)}`] : [])]
  await nft([`ip ${egressTable(at.bridge)}`, ...balancers].map(table => `table ${table} {}\ndelete table ${table}\n`).join(''))
  for (const range of [at.balancers, ...(at.ipv6 ? [at.ipv6.balancers] : [])]) {
    const family = range.includes(':') ? '-6' : '-4'
    const rules = `while ip ${family} rule del to ${range} priority ${connectionsPriority}; do :; done`
    await run('sh', ['-c', rules], { timeoutMs: 10_000 })
  }
  await closeUplink(at)
}

/** Hangs a node on the bridge: `pid` is a process in the node's network namespace. */
export async function plugIn(at: Addresses, index: number, pid: number): Promise<void> {
  const link = at.link(index)
  // The kernel removes a dead node's link some time after the node.
  if (existsSync(`/sys/class/net/${link}`)) await ip([`link del ${link}`], { force: true })
  await ip([`link add ${link} type veth peer name eth0 netns ${pid}`, `link set ${link} master ${at.bridge} up`])
  const { ipv6 } = at
  await ip(
    [
      'link set lo up',
      ...[`addr add ${at.nodeIP(index)}/24 dev eth0`, ...(ipv6 ? [`addr add ${ipv6.nodeIP(index)}/64 dev eth0 nodad`] : [])],
      'link set eth0 up',
      ...[`route add default via ${at.host}`, ...(ipv6 ? [`route add default via ${ipv6.host}`] : [])],
    ],
    { netnsOf: pid },
  )
}

/** Routes of the machine to pods, each through its node, and to Services through the first of the nodes that live. */
export async function routeThrough(at: Addresses, live: readonly number[], all: readonly number[]): Promise<void> {
  const gone = all.filter(i => !live.includes(i))
  const first = live[0]
  const lines = ({ podCIDR, nodeIP, services }: Pick<Addresses, 'podCIDR' | 'nodeIP' | 'services'>): string[] => [
    ...live.map(i => `route replace ${podCIDR(i)} via ${nodeIP(i)}`),
    ...gone.map(i => `route del ${podCIDR(i)}`),
    first === undefined ? `route del ${services}` : `route replace ${services} via ${nodeIP(first)}`,
  ]
  await ip([at, ...(at.ipv6 ? [at.ipv6] : [])].flatMap(lines), { force: true })
}
