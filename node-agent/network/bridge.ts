/**
 * The `bridge` network: a network namespace and an address per pod, all pods of the node on one bridge. A pod's address is a /32 and everything it sends goes
 * through the gateway (the node), also to pods beside it: so the kernel tracks both directions of every connection and services can rewrite them.
 * What is there is read back from the kernel: the alias of a pod's link on the node names the pod and its address, and is set last.
 */
import { createHash } from 'node:crypto'
import { readdir, writeFile } from 'node:fs/promises'
import { hardwareAddress, ipBatch, ipJson, linkNames } from '#shared/linux/ip.ts'
import { nft } from '#shared/linux/nft.ts'
import { run } from '#shared/linux/run.ts'
import { addressPool, firstAddress, parseCidr } from './addresses.ts'
import { openHostPorts } from './hostports.ts'
import type { PodNetwork } from './network.ts'

export interface BridgeOptions {
  podCIDR: string
  /** All pods of the cluster, and all services: what the node has no better route for is unreachable, never sent outside. */
  clusterCIDR: string
  serviceCIDR: string
  nodeIP: string
  mtu?: number
}

const BRIDGE = 'cbr0'
const PREFIX = 'pod-'
const namespaceOf = (uid: string): string => `${PREFIX}${uid}`
const linkOf = (uid: string): string => `veth${createHash('sha256').update(uid).digest('hex').slice(0, 8)}`

/** Sets the node's side up (idempotent: what a former process made is kept) and finds the pods that have a network. Throws in iproute2's or nft's words. */
export async function openBridgeNetwork(options: BridgeOptions): Promise<PodNetwork> {
  const cidr = parseCidr(options.podCIDR)
  const gateway = firstAddress(cidr)
  await prepareNode(options, gateway)
  const pool = addressPool(cidr)
  const addresses = new Map<string, string>()
  for (const { ifalias } of await ipJson<{ ifalias?: string }>(['link', 'show', 'master', BRIDGE])) {
    const [uid, ip] = ifalias?.split(' ') ?? []
    if (uid === undefined || ip === undefined) continue
    addresses.set(uid, ip)
    pool.claim(ip)
  }
  const hostPorts = await openHostPorts()
  // Calls for one pod run one after the other.
  const turns = new Map<string, Promise<unknown>>()
  function inTurn<T>(uid: string, work: () => Promise<T>): Promise<T> {
    const mine = (turns.get(uid) ?? Promise.resolve()).then(work, work)
    turns.set(uid, mine)
    const forget = (): void => void (turns.get(uid) === mine && turns.delete(uid))
    mine.then(forget, forget)
    return mine
  }

  const existing = async (): Promise<Set<string>> => new Set((await readdir('/run/netns').catch(() => [])).filter(name => name.startsWith(PREFIX)).map(name => name.slice(PREFIX.length)))

  async function create(uid: string, sysctls: Record<string, string>): Promise<string> {
    await remove(uid)
    const ip = pool.take()
    const [namespace, link] = [namespaceOf(uid), linkOf(uid)]
    const inside = ['link set lo up', `addr add ${ip}/32 dev eth0`, 'link set eth0 up', `route add ${gateway} dev eth0 scope link`, `route add default via ${gateway}`]
    const script = [`ip -batch - <<'END'`, ...inside, 'END', '[ $? = 0 ] || exit 1', ...Object.entries({ ...POD_SYSCTLS, ...sysctls }).flatMap(sysctlCommand)].join('\n')
    const lines = [
      `netns add ${namespace}`,
      `link add ${link} mtu ${options.mtu ?? 1500} type veth peer name eth0 netns ${namespace} mtu ${options.mtu ?? 1500}`,
      `link set ${link} master ${BRIDGE} up`,
      // ip takes one line a command, so the script travels in the environment.
      `netns exec ${namespace} sh -c 'eval "$POD_SETUP"'`,
      `link set ${link} alias "${uid} ${ip}"`,
    ]
    try {
      await run('ip', ['-batch', '-'], { input: lines.join('\n') + '\n', env: { ...process.env, POD_SETUP: script } })
    } catch (error) {
      await remove(uid).catch(() => {})
      pool.release(ip)
      throw error
    }
    addresses.set(uid, ip)
    return ip
  }

  async function remove(uid: string): Promise<void> {
    await hostPorts.remove(uid)
    const [namespaces, links] = await Promise.all([existing(), linkNames()])
    const lines = [...(links.has(linkOf(uid)) ? [`link del ${linkOf(uid)}`] : []), ...(namespaces.has(uid) ? [`netns del ${namespaceOf(uid)}`] : [])]
    await ipBatch(lines, { force: true })
    const ip = addresses.get(uid)
    addresses.delete(uid)
    if (ip !== undefined) pool.release(ip)
  }

  return {
    name: 'bridge',
    setUp: pod =>
      inTurn(pod.uid, async () => {
        const known = addresses.get(pod.uid)
        const ip = known !== undefined && (await existing()).has(pod.uid) ? known : await create(pod.uid, pod.sysctls)
        await hostPorts.set(pod.uid, ip, pod.hostPorts)
        return { ip, namespacePath: `/run/netns/${namespaceOf(pod.uid)}` }
      }),
    tearDown: uid => inTurn(uid, () => remove(uid)),
    async retain(uids) {
      const found = new Set([...addresses.keys(), ...(await existing()), ...(await hostPorts.pods())])
      await Promise.all([...found].filter(uid => !uids.has(uid)).map(uid => inTurn(uid, () => remove(uid))))
    },
  }
}

/** What container runtimes set in every pod: any user may listen on low ports and ping. */
const POD_SYSCTLS = { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647' }

function sysctlCommand([name, value]: [string, string]): string[] {
  if (!name.startsWith('net.')) return []
  const path = name.includes('/') ? name.replace(/[./]/g, c => (c === '.' ? '/' : '.')) : name.replaceAll('.', '/')
  return [`printf %s ${quote(value)} >/proc/sys/${quote(path)} || exit 1`]
}
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** Bridge, forwarding, fallback routes and the masquerading of what leaves the cluster. */
async function prepareNode(options: BridgeOptions, gateway: string): Promise<void> {
  const { podCIDR, clusterCIDR, serviceCIDR, nodeIP } = options
  const prefix = podCIDR.split('/')[1]
  const links = await ipJson<{ ifname: string }>(['link', 'show', 'type', 'bridge'])
  if (!links.some(l => l.ifname === BRIDGE)) await ipBatch([`link add ${BRIDGE} address ${hardwareAddress(gateway)} type bridge`])
  await ipBatch([`link set lo up`, `link set ${BRIDGE} up`, `addr replace ${gateway}/${prefix} dev ${BRIDGE}`])
  await Promise.all([
    writeFile('/proc/sys/net/ipv4/ip_forward', '1'),
    // Packets come in and go out on the bridge when pods of one node talk: that needs no advice to the pods.
    writeFile('/proc/sys/net/ipv4/conf/all/send_redirects', '0'),
    writeFile(`/proc/sys/net/ipv4/conf/${BRIDGE}/send_redirects`, '0'),
    writeFile('/proc/sys/net/ipv4/conf/all/rp_filter', '0'),
    writeFile(`/proc/sys/net/ipv4/conf/${BRIDGE}/rp_filter`, '0'),
    // Where the machine has br_netfilter, the bridge would show packets to the rules before they are routed, and would not send one back where it came from.
    writeFile('/proc/sys/net/bridge/bridge-nf-call-iptables', '0').catch(() => {}),
  ])
  // The node's own processes need a route to services before the proxy sees their packets; it sends none of them to the bridge.
  const nodeHasAddress = (await ipJson<{ addr_info: { local: string }[] }>(['-4', 'addr', 'show'])).some(l => l.addr_info.some(a => a.local === nodeIP))
  await ipBatch([`route replace unreachable ${clusterCIDR} metric 4000000`, `route replace ${serviceCIDR} dev ${BRIDGE} scope link src ${nodeHasAddress ? nodeIP : gateway}`])
  await nft(`table ip coxswain-pods {}
delete table ip coxswain-pods
table ip coxswain-pods {
  chain postrouting {
    type nat hook postrouting priority srcnat + 10;
    ip saddr ${podCIDR} ip daddr != { ${clusterCIDR}, ${serviceCIDR}, ${nodeSubnet(nodeIP)} } oifname != "${BRIDGE}" fib daddr type != { local, multicast } masquerade
  }
}
`)
}

/** Nodes and the host talk to pods by their own addresses: a cluster's nodes share a /24. */
const nodeSubnet = (nodeIP: string): string => `${nodeIP.split('.').slice(0, 3).join('.')}.0/24`
