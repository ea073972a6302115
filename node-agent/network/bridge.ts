/**
 * The `bridge` network: a network namespace and an address per pod, all pods of the node on one bridge. A pod's address is a /32 and
 * everything it sends goes through the gateway (the node), also to pods beside it: so the kernel tracks both directions of every connection
 * and services can rewrite them.
 */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from '#shared/component/log.ts'
import { hardwareAddress, ipBatch, ipJson } from '#shared/linux/ip.ts'
import { addressPool, firstAddress, parseCidr } from './addresses.ts'
import { openHostPorts } from './hostports.ts'
import { podRules } from './masquerade.ts'
import { turns } from './turns.ts'
import { guardedAddresses, openSpoofingGuard } from './spoofing.ts'
import { existingNamespaces, linkOf, namespaceOf, podNamespaces, setSysctls } from './namespaces.ts'
import { counterpart } from '#shared/machinery/ip.ts'
import type { SecondFamily } from './ipv6.ts'
import type { PodNetwork } from './network.ts'

export interface BridgeOptions {
  podCIDR: string
  /** All pods of the cluster, and all services: what the node has no better route for is unreachable, never sent outside. */
  clusterCIDR: string
  serviceCIDR: string
  nodeIP: string
  /** Where pods' own addresses can be answered besides (nodes, the host): what goes elsewhere gets the node's address. */
  nonMasqueradeCIDRs?: readonly string[]
  /** Addresses of load balancers: what no Service answers there is refused, not sent back where it came from. */
  loadBalancerCIDR?: string | undefined
  /** On a node of both families. */
  ipv6?: SecondFamily | undefined
  mtu?: number
  log?: Logger
}

const BRIDGE = 'cbr0'
/** One link a pod: its UID, leading to its namespace. What is here lives exactly as long as the namespaces do. */
const CLAIMS = '/run/coxswain/pods'
/** Made in advance, so that a pod finds its network there. A small range is not used up by them. */
const READY = 8
/**
 * A connection whose first packet nobody answered is forgotten after that time. The kernel's own 120 s are for networks with answers that
 * take long.
 */
const SYN_SENT_SECONDS = 2

/**
 * Sets the node's side up (idempotent: what a former process made is kept) and finds the pods that have a network. Throws in iproute2's or
 * nft's words.
 */
export async function openBridgeNetwork(options: BridgeOptions): Promise<PodNetwork> {
  const cidr = parseCidr(options.podCIDR)
  const gateway = firstAddress(cidr)
  const ipv6 = options.ipv6 && { ...options.ipv6, of: counterpart(options.podCIDR, options.ipv6.podCIDR) }
  await prepareNode(options, gateway)
  if (ipv6) await prepareSecond(ipv6, ipv6.of(gateway))
  const pool = addressPool(cidr)
  const guarded = await openSpoofingGuard(ipv6 !== undefined).then(
    () => true,
    (e: Error) => {
      options.log?.warn({ err: e.message }, 'pods can send from addresses that are not theirs: the kernel has no nftables for bridges')
      return false
    },
  )
  const namespaces = podNamespaces(pool, {
    ...{ bridge: BRIDGE, gateway, mtu: options.mtu ?? 1500, guarded },
    ipv6: ipv6 && { gateway: ipv6.of(gateway), of: ipv6.of },
  })
  const addresses = await readClaims(await existingNamespaces())
  for (const ip of addresses.values()) pool.claim(ip)
  // Made in advance, or for a pod that never got it: it may be incomplete. And what a former process was about to forget when it died.
  const claimed = new Set(addresses.values())
  const known = [...(await existingNamespaces()), ...(guarded ? await guardedAddresses() : [])]
  await Promise.all([...new Set(known)].filter(ip => !claimed.has(ip)).map(namespaces.remove))
  const neighbours = await ipJson<{ dst: string }>(['neigh', 'show', 'dev', BRIDGE, 'nud', 'permanent'])
  const known6 = new Set(ipv6 && [...claimed].map(ipv6.of))
  await ipBatch(neighbours.filter(n => !claimed.has(n.dst) && !known6.has(n.dst)).map(n => `neigh del ${n.dst} dev ${BRIDGE}`))
  const hostPorts = await openHostPorts()
  const hostPorts6 = ipv6 && (await openHostPorts('IPv6'))
  const inTurn = turns()

  async function create(uid: string, sysctls: Record<string, string>, userNamespace?: string): Promise<string> {
    await remove(uid)
    const ip = await namespaces.take(userNamespace)
    try {
      await setSysctls(namespaceOf(ip), sysctls)
      await symlink(`/run/netns/${namespaceOf(ip)}`, join(CLAIMS, uid))
    } catch (error) {
      await namespaces.remove(ip).catch(() => {})
      throw error
    }
    addresses.set(uid, ip)
    return ip
  }

  async function remove(uid: string): Promise<void> {
    await Promise.all([hostPorts.remove(uid), hostPorts6?.remove(uid)])
    const ip = addresses.get(uid)
    if (ip === undefined) return
    await namespaces.remove(ip)
    await rm(join(CLAIMS, uid), { force: true })
    addresses.delete(uid)
  }

  return {
    name: 'bridge',
    linkOf,
    setUp: pod =>
      inTurn(pod.uid, async () => {
        const known = addresses.get(pod.uid)
        const ip =
          known !== undefined && existsSync(`/run/netns/${namespaceOf(known)}`)
            ? known
            : await create(pod.uid, pod.sysctls, pod.userNamespace)
        await Promise.all([hostPorts.set(pod.uid, ip, pod.hostPorts), ipv6 && hostPorts6?.set(pod.uid, ipv6.of(ip), pod.hostPorts)])
        return { ip, ...(ipv6 ? { ips: [ip, ipv6.of(ip)] } : {}), namespacePath: `/run/netns/${namespaceOf(ip)}` }
      }),
    tearDown: uid => inTurn(uid, () => remove(uid)),
    async retain(uids) {
      const found = new Set([...addresses.keys(), ...(await hostPorts.pods())])
      await Promise.all([...found].filter(uid => !uids.has(uid)).map(uid => inTurn(uid, () => remove(uid))))
    },
    prepare: () => namespaces.prepare(Math.min(READY, (2 ** (32 - cidr.prefix)) >> 4)),
  }
}

/** Pods and their addresses; a claim whose namespace is gone is removed. */
async function readClaims(existing: ReadonlySet<string>): Promise<Map<string, string>> {
  await mkdir(CLAIMS, { recursive: true })
  const claims = new Map<string, string>()
  for (const uid of await readdir(CLAIMS)) {
    const ip = (await readlink(join(CLAIMS, uid))).slice(`/run/netns/${namespaceOf('')}`.length)
    if (existing.has(ip)) claims.set(uid, ip)
    else await rm(join(CLAIMS, uid), { force: true })
  }
  return claims
}

/** Bridge, forwarding, fallback routes and the masquerading of what leaves the cluster. */
async function prepareNode(options: BridgeOptions, gateway: string): Promise<void> {
  const { podCIDR, clusterCIDR, serviceCIDR, nodeIP, nonMasqueradeCIDRs = [], loadBalancerCIDR } = options
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
    // A host port answers at 127.0.0.1 too. What pods send there is dropped below.
    writeFile(`/proc/sys/net/ipv4/conf/${BRIDGE}/route_localnet`, '1'),
    // Where the machine has br_netfilter, the bridge would show packets to the rules before they are routed, and would not send one back
    // where it came from.
    writeFile('/proc/sys/net/bridge/bridge-nf-call-iptables', '0').catch(() => {}),
  ])
  // The node's own processes need a route to services before the proxy sees their packets; it sends none of them to the bridge.
  await ipBatch([
    `route replace unreachable ${clusterCIDR} metric 4000000`,
    `route replace ${serviceCIDR} dev ${BRIDGE} scope link src ${(await hasAddress(nodeIP)) ? nodeIP : gateway}`,
  ])
  await podRules({ family: 'IPv4', podCIDR, known: [clusterCIDR, serviceCIDR, ...nonMasqueradeCIDRs], loadBalancerCIDR, bridge: BRIDGE })
  // As long as it is remembered, every other connection from its port goes to the same endpoint of a service, also when that is gone. There
  // only once there are rules.
  await writeFile('/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_syn_sent', String(SYN_SENT_SECONDS)).catch(() => {})
}

const hasAddress = async (ip: string): Promise<boolean> =>
  (await ipJson<{ addr_info: { local: string }[] }>(['addr', 'show'])).some(l => l.addr_info.some(a => a.local === ip))

/** The same for the second family, on a bridge that is there. */
async function prepareSecond(options: SecondFamily, gateway: string): Promise<void> {
  const { podCIDR, clusterCIDR, serviceCIDR, nodeIP, nonMasqueradeCIDRs, loadBalancerCIDR } = options
  const sysctl = (name: string, value: string): Promise<void> => writeFile(`/proc/sys/net/ipv6/conf/${name}`, value)
  // A router takes no advice about routes.
  await Promise.all([sysctl('all/forwarding', '1'), sysctl('all/accept_redirects', '0'), sysctl(`${BRIDGE}/accept_ra`, '0')])
  await writeFile('/proc/sys/net/bridge/bridge-nf-call-ip6tables', '0').catch(() => {})
  await ipBatch([
    `addr replace ${gateway}/${podCIDR.split('/')[1]} dev ${BRIDGE} nodad`,
    `route replace unreachable ${clusterCIDR} metric 4000000`,
    `route replace ${serviceCIDR} dev ${BRIDGE} src ${(await hasAddress(nodeIP)) ? nodeIP : gateway}`,
  ])
  await podRules({ family: 'IPv6', podCIDR, known: [clusterCIDR, serviceCIDR, ...nonMasqueradeCIDRs], loadBalancerCIDR, bridge: BRIDGE })
}
