/** `cox node ...`: changes to cluster.json, which the supervisor follows, and signals to node processes. */
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { nodes } from '#shared/api/kinds.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { adminClient, isReady, untilNodesReady } from './api.ts'
import { editCluster, newNode } from './local-cluster.ts'
import { killHostNode } from './host-node.ts'
import { localNatsUrl } from './components.ts'
import { revokeCreds } from './revoke.ts'
import type { Joining } from './join.ts'
import { nodeIdentity, nodeProcess } from './node.ts'
import { isAlive, kill, readRecord, untilGone, supervisorProcess } from './process.ts'
import { addressesOf, requireCluster, writeAtomically, type Cluster, type NodeRecord, type StateDir } from './state.ts'

export interface NodeRow {
  name: string
  status: 'Ready' | 'NotReady' | 'Dead'
  pid?: number
  address: string
  podCIDR: string
}

function needSupervisor(dir: StateDir): void {
  if (!isAlive(readRecord(dir, supervisorProcess))) throw new Error(`the cluster in ${dir.root} is not up; \`cox up\` starts it`)
}

function find(cluster: Cluster, name: string): NodeRecord {
  const node = cluster.nodes.find(n => n.name === name)
  if (!node) throw new Error(`there is no node "${name}"; there are: ${cluster.nodes.map(n => n.name).join(', ')}`)
  return node
}

const ready = async (dir: StateDir, name: string, since: number): Promise<void> => {
  let seen = false
  await untilNodesReady(dir, new Map([[name, since]]), AbortSignal.timeout(60_000), () => (seen = true))
  if (!seen) throw new Error(`node "${name}" was started but is not Ready after 60 s; see \`cox logs node-${name}\``)
}

/** Adds a node and waits until it is Ready. Resolves with its name. */
export async function addNode(dir: StateDir, name: string | undefined): Promise<string> {
  needSupervisor(dir)
  if (name !== undefined && !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name))
    throw new Error(`"${name}" is no node name: lower-case letters, digits and '-', at most 63 characters`)
  const since = Date.now()
  let added = ''
  await editCluster(dir, cluster => {
    if (cluster.nodes.some(n => n.name === name)) throw new Error(`there is a node "${name}" already`)
    const node = newNode(cluster, name)
    cluster.nodes.push(node)
    added = node.name
  })
  await ready(dir, added, since)
  return added
}

/**
 * Makes a node of this machine by a bootstrap token, as another machine would become one: its credentials are asked for, not made by the
 * cluster's owner. Waits until it is Ready; resolves with its name.
 */
export async function joinNode(
  dir: StateDir,
  { name, server, ...joining }: Omit<Joining, 'server'> & { name?: string; server?: string },
): Promise<string> {
  needSupervisor(dir)
  const cluster = requireCluster(dir)
  const node = name ?? newNode(cluster).name
  if (cluster.nodes.some(n => n.name === node)) throw new Error(`there is a node "${node}" already`)
  const { join } = await import('./join.ts')
  const { cert, key, creds, ca } = await join({ ...joining, server: server ?? `https://127.0.0.1:${cluster.securePort}` }, node)
  const pki = path.join(dir.nodes, node, 'pki')
  mkdirSync(pki, { recursive: true, mode: 0o755 })
  writeAtomically(path.join(pki, 'kubelet-client-current.pem'), cert + key)
  writeAtomically(path.join(pki, 'ca.crt'), ca, 0o644)
  writeAtomically(path.join(dir.creds, `${nodeIdentity(node)}.creds`), creds)
  return addNode(dir, node)
}

/**
 * Ends the credentials of a node at once, of another machine's too while it is connected: whoever holds them is cut off. A node of this
 * machine gets others in its next life; another machine has to join again.
 */
export async function revokeNode(dir: StateDir, name: string): Promise<void> {
  const cluster = requireCluster(dir)
  await revokeCreds(dir, localNatsUrl(addressesOf(cluster)), nodeIdentity(name))
}

/** Ends a node for good: its process, its state, its Node object. */
export async function removeNode(dir: StateDir, name: string): Promise<void> {
  needSupervisor(dir)
  const record = readRecord(dir, nodeProcess(name))
  await editCluster(dir, cluster => {
    find(cluster, name)
    cluster.nodes = cluster.nodes.filter(n => n.name !== name)
  })
  if (record && !(await untilGone(record, 15_000))) throw new Error(`node "${name}" does not end`)
  const { client, close } = adminClient(dir)
  try {
    await client.delete(nodes, '', name)
  } catch (e) {
    if (!isNotFound(e)) throw e
  } finally {
    close()
  }
}

/** Pulls the plug: SIGKILL to node-init, and the kernel ends everything in the node. */
export async function killNode(dir: StateDir, name: string): Promise<void> {
  const cluster = requireCluster(dir)
  find(cluster, name)
  const record = readRecord(dir, nodeProcess(name))
  if (!record || !kill(record, 'SIGKILL')) throw new Error(`node "${name}" is dead already; \`cox node start ${name}\` starts it`)
  await untilGone(record, 10_000)
  if (cluster.host) await killHostNode(dir, name)
}

/** Starts a dead node and waits until it is Ready. */
export async function startDeadNode(dir: StateDir, name: string): Promise<void> {
  needSupervisor(dir)
  if (isAlive(readRecord(dir, nodeProcess(name)))) throw new Error(`node "${name}" runs already`)
  const since = Date.now()
  await editCluster(dir, cluster => void find(cluster, name).starts++)
  await ready(dir, name, since)
}

export async function listNodes(dir: StateDir): Promise<NodeRow[]> {
  const cluster = requireCluster(dir)
  const at = addressesOf(cluster)
  const { client, close } = adminClient(dir)
  const known = await client
    .list(nodes, '')
    .then(
      l => l.items,
      () => [],
    )
    .finally(close)
  return cluster.nodes.map(node => {
    const record = readRecord(dir, nodeProcess(node.name))
    const alive = record !== undefined && isAlive(record)
    const object = known.find(n => n.metadata?.name === node.name)
    return {
      name: node.name,
      status: !alive ? 'Dead' : object && isReady(object) ? 'Ready' : 'NotReady',
      ...(alive ? { pid: record.pid } : {}),
      address: at.nodeIP(node.index),
      podCIDR: at.podCIDR(node.index),
    }
  })
}
