/** Starting and ending the nodes of a local cluster: each is a process tree in namespaces of its own, with node-init as its PID 1. */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, rmdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freeLoops } from '#shared/linux/loop.ts'
import { fitting } from '#shared/linux/vxlan.ts'
import { bundles, families, natsAuthority, nodeAgent, processEnv } from './components.ts'
import { plugIn } from './network.ts'
import { raiseNode } from './priority.ts'
import { writeRecord, type ProcessRecord } from './process.ts'
import { killHostNode, realPath, spawnHostNode } from './host-node.ts'
import type { Addresses, Cluster, NodeRecord, StateDir } from './state.ts'

export const nodeIdentity = (name: string): string => `system:node:${name}`
/** The name under which a node's process is recorded and logs. */
export const nodeProcess = (name: string): string => `node-${name}`

/**
 * The machine's resolvers for a node of its own network: those behind one that listens on loopback, which no node reaches, where systemd
 * names them.
 */
export function resolvConf(root: string): string[] {
  const read = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '')
  const servers = [...read('/etc/resolv.conf').matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, address]) => address!)
  if (servers.some(address => !/^127\.|^::1$/.test(address))) return []
  const file = path.join(root, 'resolv.conf')
  writeFileSync(file, read('/run/systemd/resolve/resolv.conf'))
  return ['--resolv-conf', file]
}

const credentialProviders = ({ imageCredentialProviderConfig: file, imageCredentialProviderBinDir: bin }: Partial<Cluster>): string[] =>
  file && bin ? ['--image-credential-provider-config', file, '--image-credential-provider-bin-dir', bin] : []

/** Nodes of other machines are behind this one, and packets to those have to fit into its VXLAN. */
async function towardsMachines({ listen, host }: Addresses): Promise<string[]> {
  if (!listen) return []
  return ['--machine-address', listen.address, '--machine-gateway', host, '--mtu', String(await fitting(listen.address))]
}

/** The only child of `unshare --fork`: the node's PID 1. */
async function firstChild(pid: number): Promise<number> {
  for (let tries = 0; tries < 2000; tries++) {
    const children = existsSync(`/proc/${pid}`) ? readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim() : ''
    if (children !== '') return Number(children.split(' ')[0])
    if (!existsSync(`/proc/${pid}`)) break
    await delay(2)
  }
  throw new Error('unshare started no process')
}

/**
 * Starts node-init with a node-agent's command line in namespaces of its own, given as `unshare` names them; its output goes to the node's
 * log. A node with a network of its own waits until `go` says that its link is there.
 */
export async function spawnNode(dir: StateDir, name: string, root: string, agent: readonly string[], namespaces: readonly string[]) {
  const ownNetwork = namespaces.includes('--net')
  const log = openSync(path.join(dir.logs, `${nodeProcess(name)}.log`), 'a', 0o600)
  // node-init starts only when its link is there: it waits for a line.
  const waiting = 'read -r _; echo "$1" > /proc/sys/kernel/hostname; shift; exec "$@"'
  // Images come by way of the machine's own namespaces.
  const machine = ownNetwork ? ['net', 'mnt'].map(ns => openSync(`/proc/self/ns/${ns}`, 'r')) : []
  const init = ['sh', path.join(bundles, '../node-agent/init.sh'), ...agent]
  const command = ownNetwork ? ['sh', '-c', waiting, 'node-init', name, ...init] : init
  const env = { ...process.env, ...processEnv, COXSWAIN_CLUSTER_DNS: '1', ...(ownNetwork ? { COXSWAIN_MACHINE_NAMESPACES: '3,4' } : {}) }
  const child = spawn('unshare', ['--fork', '--kill-child', '--mount-proc', ...namespaces, ...command], {
    stdio: [ownNetwork ? 'pipe' : 'ignore', log, log, ...machine],
    detached: true,
    cwd: root,
    env,
  })
  for (const fd of [log, ...machine]) closeSync(fd)
  if (child.pid === undefined) throw new Error('unshare cannot be started')
  raiseNode(child.pid)
  child.stdin?.on('error', () => {})
  try {
    return { child, pid: await firstChild(child.pid), go: () => void child.stdin?.end('\n') }
  } catch (e) {
    child.kill('SIGKILL')
    throw e
  }
}

/**
 * Starts a node: namespaces, link, then node-init with the node-agent's command line. Resolves with node-init's process and a
 * promise of its end.
 */
export async function startNode(
  dir: StateDir,
  at: Addresses,
  node: NodeRecord,
  told: Partial<Cluster> = {},
): Promise<{ record: ProcessRecord; ended: Promise<void> }> {
  const root = path.join(dir.nodes, node.name)
  mkdirSync(root, { recursive: true, mode: 0o755 })
  await clearNode(dir, at, node.name)
  const natsCaFile = natsAuthority(dir, at)
  const agent = nodeAgent(at, {
    name: node.name,
    credsFile: path.join(dir.creds, `${nodeIdentity(node.name)}.creds`),
    root,
    ip: at.nodeIP(node.index),
    podCIDR: at.podCIDR(node.index),
    ipv6: at.ipv6 && { ip: at.ipv6.nodeIP(node.index), podCIDR: at.ipv6.podCIDR(node.index) },
    cgroup: `${at.cgroup}/${node.name}`,
    // The machine has routes to pods through their nodes, and gives what goes further an address: IPv6 where it forwards that alone.
    nonMasqueradeCIDRs: [families('0.0.0.0/0', at.ipv6?.nodes)],
    flags: [
      ...(natsCaFile === undefined ? [] : ['--nats-ca-file', natsCaFile]),
      ...(at.onHost ? ['--network', 'host'] : ['--load-balancer-ip-range', families(at.balancers, at.ipv6?.balancers)]),
      ...(await towardsMachines(at)),
      ...(told.cloudProvider === 'none' ? [] : ['--cloud-provider', 'external']),
      ...(told.network === 'cni' ? ['--network', 'cni'] : []),
      ...(told.cniConf ? ['--cni-conf', told.cniConf] : []),
      ...(told.runtime ? ['--runtime', told.runtime] : []),
      ...(told.proxy ? ['--proxy', told.proxy] : []),
      ...(told.imageCatalogue ? ['--image-catalogue', told.imageCatalogue] : []),
      ...(told.kubeletConfig ? ['--config', told.kubeletConfig] : []),
      ...['--image-store', told.imageStore ?? dir.images],
      ...(told.registries ? ['--registries', told.registries] : []),
      ...credentialProviders(told),
      ...resolvConf(root),
    ],
  })
  const log = openSync(path.join(dir.logs, `${nodeProcess(node.name)}.log`), 'a', 0o600)
  if (at.onHost) {
    const child = spawnHostNode(dir, node.name, agent, log)
    closeSync(log)
    const ended = new Promise<void>(resolve => child.once('exit', () => resolve()).once('error', () => resolve()))
    if (child.pid === undefined) throw new Error('/bin/sh cannot be started')
    return { record: writeRecord(dir, nodeProcess(node.name), child.pid, node.starts), ended }
  }
  closeSync(log)
  const { child, pid, go } = await spawnNode(dir, node.name, root, agent, ['--pid', '--mount', '--net', '--uts', '--ipc'])
  const ended = new Promise<void>(resolve => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  try {
    const record = writeRecord(dir, nodeProcess(node.name), pid, node.starts)
    await plugIn(at, node.index, pid)
    go()
    return { record, ended }
  } catch (e) {
    child.kill('SIGKILL')
    throw e
  }
}

/** Ends and removes what a dead node left on the machine. */
export async function clearNode(dir: StateDir, at: Addresses, name: string): Promise<void> {
  if (at.onHost) await killHostNode(dir, name)
  else removeCgroups(`${at.cgroup}/${name}`)
  await freeDevices(dir, name)
}

/** Mounts go with a node by themselves, devices of its local volumes do not. */
export const freeDevices = (dir: StateDir, name: string): Promise<void> =>
  freeLoops(path.join(realPath(dir.nodes), name, 'local-volumes/images'), '.raw')

/** A node's state directory, for good. */
export const eraseNode = (dir: StateDir, name: string): void => {
  rmSync(path.join(dir.nodes, name), { recursive: true, force: true })
  rmSync(path.join(dir.creds, `${nodeIdentity(name)}.creds`), { force: true })
}

/** Removes a cgroup and all below it in every hierarchy; processes must be gone. */
export function removeCgroups(cgroup: string): void {
  const base = '/sys/fs/cgroup'
  const hierarchies = existsSync(path.join(base, 'cgroup.controllers')) ? [base] : readdirSync(base).map(h => path.join(base, h))
  const remove = (dir: string): void => {
    for (const entry of readdirSync(dir, { withFileTypes: true })) if (entry.isDirectory()) remove(path.join(dir, entry.name))
    rmdirSync(dir)
  }
  for (const h of hierarchies) {
    try {
      if (existsSync(h + cgroup)) remove(h + cgroup)
    } catch {
      // A process that is still dying holds it; the next start or stop of the node removes it.
    }
  }
}
