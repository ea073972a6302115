/**
 * The `cni` network: plugins of the Container Network Interface connect pods, by the first configuration that is found. The node gives them
 * its pod range (capability `ipRanges`), routes to other nodes' ranges, and source addresses for what leaves the cluster, as it does for
 * its own bridge.
 */
import { existsSync, mkdirSync, watch } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from '#shared/component/log.ts'
import { ipBatch } from '#shared/linux/ip.ts'
import { listMounts } from '#shared/linux/mount.ts'
import { holdNamespaces } from '#shared/linux/namespaces.ts'
import { run } from '#shared/linux/run.ts'
import { openHostPorts } from '../hostports.ts'
import { podRules } from '../masquerade.ts'
import { podSysctls, setSysctls } from '../namespaces.ts'
import type { PodNetwork, PodToConnect } from '../network.ts'
import { turns } from '../turns.ts'
import type { BridgeOptions } from '../bridge.ts'
import { findNetwork, type NetworkConfig } from './config.ts'
import { checkNetwork, collectGarbage } from './plugin.ts'
import { podRecords, type Wanted } from './records.ts'
import { bandwidthOf } from './bandwidth.ts'
import { readResult } from './result.ts'

export type CniOptions = Pick<
  BridgeOptions,
  'podCIDR' | 'clusterCIDR' | 'serviceCIDR' | 'nonMasqueradeCIDRs' | 'loadBalancerCIDR' | 'ipv6'
> & {
  /** The node's: its own configurations, programs and records are in `cni` below it. */
  rootDir: string
  /** Where configurations are besides: a directory, or a file. */
  conf: string
  /** Where plugins are besides. */
  binDirs: readonly string[]
  log: Logger
}

const namespaceOf = (uid: string): string => `cni-${uid}`
const pathOf = (uid: string): string => `/run/netns/${namespaceOf(uid)}`
const primary = 'eth0'
/** Where plugins keep what they know, such as addresses: nodes that share a machine have one each. */
const pluginState = '/var/lib/cni'

/** What plugins find of a node, and where pods that bring plugins put them. */
export const cniPaths = ({ rootDir, conf, binDirs }: Pick<CniOptions, 'rootDir' | 'conf' | 'binDirs'>) => ({
  configurations: [join(rootDir, 'cni', 'net.d'), conf],
  programs: [join(rootDir, 'cni', 'bin'), ...binDirs],
})

/**
 * Makes the directories that pods see as /etc/cni/net.d and /opt/cni/bin, and the node's own /var/lib/cni in our mount namespace.
 * Idempotent.
 */
export async function prepareCniDirectories(rootDir: string): Promise<void> {
  const own = join(rootDir, 'cni')
  for (const name of ['net.d', 'bin', 'lib', 'networks', 'attachments']) mkdirSync(join(own, name), { recursive: true, mode: 0o755 })
  if ((await listMounts()).some(m => m.target === pluginState)) return
  mkdirSync(pluginState, { recursive: true })
  await run('mount', ['--bind', join(own, 'lib'), pluginState])
}

type Connected = Awaited<ReturnType<PodNetwork['setUp']>>

/** In upstream's words, of a node without a configuration. */
const notReady =
  'container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized'

export async function openCniNetwork(options: CniOptions): Promise<PodNetwork> {
  const { rootDir, podCIDR, ipv6, log } = options
  const { configurations, programs } = cniPaths(options)
  await prepareCniDirectories(rootDir)
  await prepareNode(options)
  const records = podRecords(join(rootDir, 'cni', 'networks'), programs, log)
  /** Of more networks than the first: plugins know no difference. */
  const more = podRecords(join(rootDir, 'cni', 'attachments'), programs, log)
  const hostPorts = await openHostPorts()
  const hostPorts6 = ipv6 && (await openHostPorts('IPv6'))
  const inTurn = turns()
  const links = new Map<string, string>()
  /** Pods that are being connected, and the collection of garbage, of which one waits for the other. */
  const coming = new Set<Promise<unknown>>()
  let sweeping: Promise<void> = Promise.resolve()

  const capabilitiesFor = ({ hostPorts: ports, annotations }: PodToConnect): Record<string, unknown> => ({
    ...bandwidthOf(annotations),
    ipRanges: [podCIDR, ...(ipv6 ? [ipv6.podCIDR] : [])].map(subnet => [{ subnet }]),
    ...(ports.length > 0 ? { portMappings: ports.map(p => ({ ...p, protocol: p.protocol.toLowerCase() })) } : {}),
  })
  const mapsPorts = ({ plugins }: NetworkConfig): boolean => plugins.some(p => p.capabilities?.['portMappings'])

  async function wanted(pod: PodToConnect): Promise<Wanted[]> {
    const network = findNetwork(configurations, log)
    if (!network) throw new Error(`network is not ready: ${notReady}`)
    if (!existsSync(pathOf(pod.uid))) await makeNamespace(pod)
    const place = { containerId: pod.uid, netns: pathOf(pod.uid), ifname: primary, args: argsOf(pod), capabilities: capabilitiesFor(pod) }
    return [{ network, place }]
  }

  async function remove(uid: string): Promise<void> {
    await Promise.all([hostPorts.remove(uid), hostPorts6?.remove(uid)])
    await records.detach(uid)
    if (existsSync(pathOf(uid))) await ipBatch([`netns del ${namespaceOf(uid)}`])
  }

  /** Plugins look whether pods that run are connected still. What is amiss is told; the pod goes on. */
  async function check(uid: string): Promise<void> {
    for (const { network, place, result } of records.attachments(uid))
      if (result)
        await checkNetwork(network, place, programs, result).catch((e: Error) =>
          log.warn({ pod: uid, network: network.name, err: e.message }, 'a pod is not connected as it was'),
        )
  }

  /** Plugins forget whom nobody knows any more. Nobody comes meanwhile: they would be taken for such. */
  async function sweep(): Promise<void> {
    await Promise.allSettled(coming)
    const first = records.uids().flatMap(uid => records.attachments(uid))
    const all = [...first, ...more.uids().flatMap(uid => more.attachments(uid))]
    const known = [...first.map(a => a.network), findNetwork(configurations, log)].filter(n => n !== undefined)
    for (const network of new Map(known.map(n => [n.name, n])).values()) {
      const valid = all.filter(a => a.network.name === network.name).map(a => a.place)
      for (const failure of await collectGarbage(network, valid, programs))
        log.warn({ network: network.name, err: failure.message }, 'a CNI plugin does not collect its garbage')
    }
  }

  async function connectPod(pod: PodToConnect): Promise<Connected> {
    const [attachment] = await records
      .attach(pod.uid, pathOf(pod.uid), () => wanted(pod))
      .catch(async (e: Error) => {
        await remove(pod.uid).catch(() => {})
        throw e
      })
    const { network, result } = attachment!
    const { ips, hostLink } = readResult(result!, primary)
    const [ip] = ips
    if (ip === undefined) throw new Error(`network "${network.name}" gave the pod no address`)
    if (hostLink) links.set(ip, hostLink)
    if (!mapsPorts(network)) {
      await hostPorts.set(pod.uid, ip, pod.hostPorts)
      const second = ips.find(a => a.includes(':'))
      if (second) await hostPorts6?.set(pod.uid, second, pod.hostPorts)
    }
    return { ip, ...(ips.length > 1 ? { ips } : {}), namespacePath: pathOf(pod.uid) }
  }

  return {
    name: 'cni',
    linkOf: ip => links.get(ip) ?? '',
    setUp: pod =>
      inTurn(pod.uid, async () => {
        await sweeping
        const connecting = connectPod(pod)
        coming.add(connecting)
        return connecting.finally(() => coming.delete(connecting))
      }),
    tearDown: uid => inTurn(uid, () => remove(uid)),
    async retain(uids) {
      const named = (await readdir('/run/netns').catch(() => [])).flatMap(name => /^cni-(.+)$/.exec(name)?.[1] ?? [])
      const found = new Set([...records.uids(), ...named, ...(await hostPorts.pods())])
      await Promise.all([...found].filter(uid => !uids.has(uid)).map(uid => inTurn(uid, () => remove(uid))))
      await Promise.all([...uids].map(uid => inTurn(uid, () => check(uid))))
      await (sweeping = sweep().catch((e: Error) => log.warn({ err: e.message }, 'CNI plugins were not asked to collect their garbage')))
    },
    notReady: () => (findNetwork(configurations, log) ? undefined : notReady),
    onChange(changed) {
      for (const place of configurations)
        try {
          watch(place, changed).on('error', e => log.warn({ place, err: e.message }, 'CNI configurations are not followed'))
        } catch {
          // There is none.
        }
    },
  }
}

/** As runtimes name a pod to plugins. */
export const argsOf = ({ namespace, name, uid }: Pick<PodToConnect, 'namespace' | 'name' | 'uid'>): Record<string, string> => ({
  IgnoreUnknown: '1',
  K8S_POD_NAMESPACE: namespace,
  K8S_POD_NAME: name,
  K8S_POD_INFRA_CONTAINER_ID: uid,
  K8S_POD_UID: uid,
})

/** The pod's namespace with its loopback; the rest is the plugins' work. */
async function makeNamespace({ uid, userNamespace, sysctls }: PodToConnect): Promise<void> {
  const name = namespaceOf(uid)
  if (userNamespace === undefined) await ipBatch([`netns add ${name}`])
  else {
    const holder = await holdNamespaces(['nsenter', `--user=${userNamespace}`, '--', 'unshare', '--net'])
    await ipBatch([`netns attach ${name} ${holder.pid}`]).finally(() => holder.release())
  }
  await ipBatch(['link set lo up'], { namespace: name })
  await setSysctls(name, { ...podSysctls, ...sysctls })
}

/** Forwarding, the way of what has no better one, and source addresses. */
async function prepareNode({
  podCIDR,
  clusterCIDR,
  serviceCIDR,
  nonMasqueradeCIDRs = [],
  loadBalancerCIDR,
  ipv6,
}: CniOptions): Promise<void> {
  const set = (name: string, value: string): Promise<void> => writeFile(`/proc/sys/net/${name}`, value)
  await Promise.all([
    set('ipv4/ip_forward', '1'),
    set('ipv4/conf/all/rp_filter', '0'),
    set('ipv4/conf/default/rp_filter', '0'),
    // Pods on one bridge talk past the node else: answers of Services would come from the wrong address.
    ...['iptables', 'ip6tables'].map(program => set(`bridge/bridge-nf-call-${program}`, '1').catch(() => {})),
    ...(ipv6 ? [set('ipv6/conf/all/forwarding', '1')] : []),
  ])
  await ipBatch([clusterCIDR, ...(ipv6 ? [ipv6.clusterCIDR] : [])].map(range => `route replace unreachable ${range} metric 4000000`))
  await podRules({ family: 'IPv4', podCIDR, known: [clusterCIDR, serviceCIDR, ...nonMasqueradeCIDRs], loadBalancerCIDR })
  if (ipv6)
    await podRules({
      family: 'IPv6',
      podCIDR: ipv6.podCIDR,
      known: [ipv6.clusterCIDR, ipv6.serviceCIDR, ...ipv6.nonMasqueradeCIDRs],
      loadBalancerCIDR: ipv6.loadBalancerCIDR,
    })
}
