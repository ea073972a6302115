/** A cluster on this machine, as its supervisor holds it: files, bridge, control plane, nodes. */
import { existsSync, watch } from 'node:fs'
import path from 'node:path'
import { componentOf, controlPlane, instanceName } from './components.ts'
import { writeCloud } from './cloud.ts'
import { ensureCreds } from './files.ts'
import { restoreLink } from './link.ts'
import { withLock } from './lock.ts'
import { freePort } from './freeport.ts'
import { machineAddress, stopHostNode } from './host-node.ts'
import { lowerBridge, raiseBridge, routeThrough } from './network.ts'
import { clearNode, eraseNode, freeDevices, nodeIdentity, nodeProcess, removeCgroups, startNode } from './node.ts'
import { end, forgetRecord, isAlive, kill, readRecord, recordedNames, terminate, untilGone, type ProcessRecord } from './process.ts'
import { claimIndex } from './ranges.ts'
import {
  addressesOf,
  readCluster,
  requireCluster,
  writeCluster,
  type Addresses,
  type Cluster,
  type Instances,
  type NodeRecord,
  type StateDir,
} from './state.ts'
import { Supervisor, type Component, type SupervisorEvents } from './supervisor.ts'
import { isPrivileged } from './system.ts'
import { kept, type Wanted } from './wanted.ts'

export interface ClusterEvents extends SupervisorEvents {
  nodeStarted(name: string): void
  nodeDied(name: string): void
}

/** Changes cluster.json under the lock of the state directory. Throws when there is no cluster. */
export async function editCluster(dir: StateDir, edit: (cluster: Cluster) => void): Promise<Cluster> {
  requireCluster(dir)
  return withLock(path.join(dir.root, 'lock'), async () => {
    const cluster = requireCluster(dir)
    edit(cluster)
    writeCluster(dir, cluster)
    return cluster
  })
}

/** The node record for a new node: the lowest free index. */
export function newNode(cluster: Cluster, name?: string): NodeRecord {
  if (cluster.apiOnly) throw new Error('a cluster that was made with --api-only has no nodes')
  if (cluster.joined) throw new Error('this machine is of the control plane alone; `cox node join --server` makes it a node, too')
  if (cluster.host && cluster.nodes.length > 0)
    throw new Error("a cluster on the machine's own network has one node: several would have the same address")
  const taken = new Set(cluster.nodes.map(n => n.index))
  const index = Array.from({ length: 127 }, (_, i) => i + 1).find(
    i => !taken.has(i) && (name !== undefined || !cluster.nodes.some(n => n.name === `node-${i}`)),
  )
  if (index === undefined) throw new Error('a local cluster has at most 127 nodes')
  return { name: name ?? `node-${index}`, index, starts: 1 }
}

/** Reads or makes cluster.json: what stays the same over all lives of the cluster. */
export async function prepareCluster(dir: StateDir, wanted: Wanted): Promise<Cluster> {
  const { nodes, instances, network, runtime, proxy, imageCatalogue, imageStore } = wanted
  const had = readCluster(dir)
  if (had?.apiOnly) throw new Error(`the cluster in ${dir.root} was made with --api-only`)
  const onHost = had ? had.host !== undefined : (network ?? (isPrivileged() ? 'bridge' : 'host')) === 'host'
  if (network !== undefined && onHost !== (network === 'host'))
    throw new Error(`the cluster in ${dir.root} was made with the network ${onHost ? 'host' : 'bridge'}`)
  if (!onHost && !isPrivileged())
    throw new Error(`the cluster in ${dir.root} has nodes with networks of their own, which takes root on Linux`)
  const natsServers = had ? (had.natsServers ?? 1) : (wanted.natsServers ?? 1)
  if (wanted.natsServers !== undefined && wanted.natsServers !== natsServers)
    throw new Error(`the cluster in ${dir.root} was made with ${natsServers} nats-server${natsServers === 1 ? '' : 's'}`)
  if (onHost && wanted.listen !== undefined && wanted.listen !== 'none')
    throw new Error('nodes of other machines take a cluster with a network of its own')
  if (wanted.listen === 'none' && had?.natsAt) throw new Error('nats-servers of the cluster are on other machines')
  if (onHost && natsServers > 1) throw new Error('several nats-servers take a cluster with a network of its own')
  const dualStack = had ? had.dualStack : wanted.dualStack
  if (wanted.dualStack && !dualStack) throw new Error(`the cluster in ${dir.root} was made without IPv6`)
  if (dualStack && (wanted.listen ?? had?.listen?.address ?? 'none') !== 'none')
    throw new Error('--dual-stack is for the nodes of one machine: --listen takes IPv4 alone')
  if (dualStack && onHost) throw new Error("--dual-stack takes a cluster with a network of its own: this one has the machine's")
  if (dualStack && (proxy ?? had?.proxy) === 'userspace')
    throw new Error('--dual-stack takes the nftables proxy: the userspace one knows IPv4 alone')
  if (dualStack && !existsSync('/proc/sys/net/ipv6')) throw new Error('--dual-stack takes a kernel with IPv6')
  const runs = (component: string): boolean =>
    recordedNames(dir).some(name => componentOf(name) === component && isAlive(readRecord(dir, name)))
  const single: Instances = { 'kube-apiserver': 1, 'kube-controller-manager': 1, 'kube-scheduler': 1 }
  return claimIndex(dir.root, had?.index, onHost, async (index, takenPorts) => {
    const wantedPort = wanted.port ?? had?.securePort ?? 6443
    const securePort = runs('kube-apiserver') && had ? had.securePort : await freePort(wantedPort, takenPorts)
    if (wanted.port && securePort !== wanted.port) throw new Error(`port ${wanted.port} is taken`)
    const natsPort = runs('nats-server') && had?.host ? had.host.natsPort : await freePort(had?.host?.natsPort ?? 4222, takenPorts)
    const cluster: Cluster = {
      index,
      securePort,
      instances: { ...single, ...had?.instances, ...instances },
      ...(onHost ? { host: { address: await machineAddress(), natsPort } } : {}),
      ...(natsServers === 3 ? { natsServers } : {}),
      ...listening(wanted, had),
      ...(had?.natsAt ? { natsAt: had.natsAt } : {}),
      ...(had?.controlPlanes ? { controlPlanes: true } : {}),
      ...(dualStack ? { dualStack } : {}),
      runtime: runtime ?? had?.runtime,
      network: network === undefined ? had?.network : network === 'cni' ? 'cni' : undefined,
      proxy: proxy ?? had?.proxy,
      imageCatalogue: imageCatalogue ?? had?.imageCatalogue,
      imageStore: imageStore ?? had?.imageStore,
      ...kept(wanted, had),
      metricsServer: wanted.metricsServer ?? had?.metricsServer,
      cloudProvider: wanted.cloudProvider ?? had?.cloudProvider,
      zones: wanted.zones ?? had?.zones,
      ...(wanted.ephemeral ? { ephemeral: true } : {}),
      nodes: had?.nodes ?? [],
    }
    while (cluster.nodes.length < (nodes ?? (onHost ? 1 : 3))) cluster.nodes.push(newNode(cluster))
    // What died with the last supervisor, or with the machine, is started again.
    for (const node of cluster.nodes) if (!isAlive(readRecord(dir, nodeProcess(node.name)))) node.starts++
    writeCluster(dir, cluster)
    return cluster
  })
}

/** Where other machines join, as asked for or as before. */
function listening({ listen, directRoutes }: Wanted, had: Cluster | undefined): Pick<Cluster, 'listen'> {
  if (listen === 'none') return {}
  const [address = '', port = '4222'] = listen?.split(':') ?? []
  const found = listen === undefined ? had?.listen : { address, port: Number(port) }
  const routes = directRoutes ?? had?.listen?.routes
  return found ? { listen: { ...found, ...(routes ? { routes } : {}) } } : {}
}

/** The running cluster. `start` brings up everything side by side; nodes follow cluster.json from then on. */
export class LocalCluster {
  readonly #dir: StateDir
  readonly #at: Addresses
  readonly #events: ClusterEvents
  readonly #supervisors: Supervisor[]
  readonly #live = new Map<string, { node: NodeRecord; record: ProcessRecord }>()
  readonly #stopping = new AbortController()
  #reconciling: Promise<void> = Promise.resolve()

  constructor(dir: StateDir, cluster: Cluster, events: ClusterEvents) {
    this.#dir = dir
    this.#at = addressesOf(cluster)
    this.#events = events
    this.#supervisors = controlPlane(dir, this.#at, cluster).map(c => this.#supervise(c))
  }

  /** Resolves when every control-plane process serves and every node's process runs. */
  async start(): Promise<void> {
    if (!this.#at.onHost) await raiseBridge(this.#at)
    await endSurplus(this.#dir, this.#supervisors)
    this.#tellCloud()
    const control = this.#supervisors.map(s => s.start())
    await this.#reconcile()
    const watcher = watch(this.#dir.root, (_, file) => file === path.basename(this.#dir.cluster) && void this.#reconcile())
    this.#stopping.signal.addEventListener('abort', () => watcher.close())
    await Promise.all(control)
  }

  /** Where nats-servers are may be another place at its next start. */
  #supervise(component: Component): Supervisor {
    const now = (): Component => {
      const cluster = requireCluster(this.#dir)
      return controlPlane(this.#dir, addressesOf(cluster), cluster).find(c => c.name === component.name) ?? component
    }
    return new Supervisor(this.#dir, now, this.#events)
  }

  /** Ends a nats-server; resolves with how it is started again. */
  async withdrawNatsServer(n: number): Promise<() => void> {
    const name = instanceName('nats-server', n)
    const index = this.#supervisors.findIndex(s => s.name === name)
    const cluster = requireCluster(this.#dir)
    const component = controlPlane(this.#dir, this.#at, cluster).find(c => c.name === name)
    if (index < 0 || !component) return () => {}
    await this.#supervisors.splice(index, 1)[0]!.stop()
    return () => {
      const again = this.#supervise(component)
      this.#supervisors.push(again)
      void again.start().catch(() => {})
    }
  }

  /** Stops and removes everything that runs; objects stay in the registry, node state in the nodes' directories. */
  async stop(removed = false): Promise<void> {
    this.#stopping.abort()
    await this.#reconciling
    await (removed ? this.#stopRemoved() : stopEverything(this.#dir, this.#at, this.#supervisors))
  }

  /** The state directory tells nothing any more, or of another cluster by now: what is known is what was started from here. */
  async #stopRemoved(): Promise<void> {
    await Promise.all(
      [...this.#live.values()].map(async ({ node, record }) => {
        await terminate(record, nodeGraceMs)
        if (this.#at.onHost) await stopHostNode(this.#dir, node.name)
        await freeDevices(this.#dir, node.name)
      }),
    )
    await stopControlPlane(this.#dir, this.#supervisors, [])
    if (this.#at.onHost) return
    await lowerBridge(this.#at)
    removeCgroups(this.#at.cgroup)
  }

  /** Makes the nodes that run those that cluster.json asks for. */
  #reconcile(): Promise<void> {
    return this.#serially(() => this.#reconcileNodes())
  }

  /** One change of nodes after the other: what a dead node left is cleared before its next life makes the same again. */
  #serially(change: () => Promise<void>): Promise<void> {
    this.#reconciling = this.#reconciling.then(change).catch((e: Error) => this.#events.died('nodes', e.message, 0))
    return this.#reconciling
  }

  async #reconcileNodes(): Promise<void> {
    if (this.#stopping.signal.aborted) return
    const wanted = readCluster(this.#dir)?.nodes
    if (!wanted) return
    const results = await Promise.allSettled([
      ...wanted.map(node => this.#ensureNode(node)),
      ...[...this.#live.values()]
        .filter(l => !wanted.some(n => n.name === l.node.name))
        .map(({ node, record }) => this.#removeNode(node, record)),
    ])
    await this.#route()
    const failed = results.find(r => r.status === 'rejected')
    if (failed) throw failed.reason
  }

  async #ensureNode(node: NodeRecord): Promise<void> {
    if (this.#live.has(node.name)) return
    const former = readRecord(this.#dir, nodeProcess(node.name))
    const starts = former?.starts ?? 0
    if (isAlive(former)) return this.#follow(node, former, untilGone(former, Infinity, this.#stopping.signal))
    if (starts >= node.starts) return
    await ensureCreds(this.#dir, [nodeIdentity(node.name)])
    await restoreLink(this.#dir, this.#at, node)
    const { record, ended } = await startNode(this.#dir, addressesOf(requireCluster(this.#dir)), node, readCluster(this.#dir))
    this.#follow(node, record, ended)
    this.#events.nodeStarted(node.name)
  }

  #follow(node: NodeRecord, record: ProcessRecord, ended: Promise<unknown>): void {
    this.#live.set(node.name, { node, record })
    void ended.then(() => this.#serially(() => this.#clearDead(node, record)))
  }

  async #clearDead(node: NodeRecord, record: ProcessRecord): Promise<void> {
    // One that was removed is cleared already, and its name may be another's.
    if (this.#stopping.signal.aborted || this.#live.get(node.name)?.record !== record) return
    this.#live.delete(node.name)
    await clearNode(this.#dir, this.#at, node.name)
    await restoreLink(this.#dir, this.#at, node).catch((e: Error) => this.#events.died(`link of ${node.name}`, e.message, 0))
    this.#events.nodeDied(node.name)
    // Somebody may have asked for its next life while it died. Routes follow.
    await this.#reconcileNodes()
  }

  async #removeNode(node: NodeRecord, record: ProcessRecord): Promise<void> {
    this.#live.delete(node.name)
    kill(record, 'SIGKILL')
    await untilGone(record, 10_000)
    forgetRecord(this.#dir, nodeProcess(node.name))
    await clearNode(this.#dir, this.#at, node.name)
    eraseNode(this.#dir, node.name)
  }

  #tellCloud(): void {
    const cluster = readCluster(this.#dir)
    if (cluster) writeCloud(this.#dir, this.#at, cluster, name => this.#live.has(name))
  }

  async #route(): Promise<void> {
    this.#tellCloud()
    if (this.#at.onHost) return
    const nodes = readCluster(this.#dir)?.nodes ?? []
    await routeThrough(
      this.#at,
      [...this.#live.values()].map(l => l.node.index).sort((a, b) => a - b),
      nodes.map(n => n.index),
    )
  }
}

/**
 * Ends all processes of a cluster, with or without supervisors, then removes bridge, routes and cgroups. Nodes get 5 s to stop their pods,
 * and what a KubeletConfiguration gives them for that.
 */
export async function stopEverything(dir: StateDir, at: Addresses, supervisors: readonly Supervisor[] = []): Promise<void> {
  const cluster = readCluster(dir)
  const nodes = cluster?.nodes ?? []
  const graceMs = await shutdownMs(cluster?.kubeletConfig)
  await Promise.all(
    nodes.map(async node => {
      await end(dir, nodeProcess(node.name), graceMs)
      if (at.onHost) await stopHostNode(dir, node.name)
      await freeDevices(dir, node.name)
    }),
  )
  await stopControlPlane(dir, supervisors)
  if (at.onHost) return
  await Promise.all(nodes.map(node => restoreLink(dir, at, node)))
  await lowerBridge(at)
  removeCgroups(at.cgroup)
}

/** Ends what a former supervisor left of the control plane and nobody asks for any more. */
export async function endSurplus(dir: StateDir, supervisors: readonly Supervisor[]): Promise<void> {
  const surplus = recordedNames(dir).filter(name => componentOf(name) !== undefined && !supervisors.some(s => s.name === name))
  await Promise.all(surplus.map(name => end(dir, name)))
}

/**
 * Ends the processes of the control plane, with supervisors or on record. Those that lead give back their leases, which takes an API
 * server.
 */
export async function stopControlPlane(
  dir: StateDir,
  supervisors: readonly Supervisor[] = [],
  recorded: readonly string[] = recordedNames(dir),
): Promise<void> {
  for (const components of [
    ['kube-scheduler', 'kube-controller-manager', 'cloud-controller-manager'],
    ['kube-apiserver'],
    ['nats-server'],
  ]) {
    const all = [...recorded, ...supervisors.map(s => s.name)]
    const names = new Set(all.filter(name => components.includes(componentOf(name) ?? '')))
    await Promise.all([...names].map(name => supervisors.find(s => s.name === name)?.stop() ?? end(dir, name)))
  }
}

const nodeGraceMs = 5_000
/** How long nodes may take to go down. */
async function shutdownMs(kubeletConfig: string | undefined): Promise<number> {
  if (kubeletConfig === undefined) return nodeGraceMs
  const { readKubeletConfig, shutdownSeconds } = await import('./kubeletconfig.ts')
  // A file that is gone, or wrong by now, must keep nothing from going down.
  const seconds = await readKubeletConfig(kubeletConfig).then(shutdownSeconds, () => 0)
  return nodeGraceMs + seconds * 1000
}
