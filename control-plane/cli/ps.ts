/** `cox ps`: every process of a cluster, found from the processes on record downwards. */
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { leases, pods } from '#shared/api/kinds.ts'
import { adminClient } from './api.ts'
import { componentOf, controlPlaneComponents, identityOf } from './components.ts'
import { linkRelay } from './link.ts'
import { hostNodeProcesses } from './host-node.ts'
import { nodeProcess } from './node.ts'
import { isAlive, readRecord, recordedNames, supervisorProcess } from './process.ts'
import type { Cluster, StateDir } from './state.ts'

export interface ProcessRow {
  component: string
  /** Of a control-plane process: tells several of one component apart (kube-scheduler, kube-scheduler-2, ...). */
  name?: string
  /** Of a component of which one instance works at a time: whether this one holds the lease. */
  leader?: boolean
  node?: string
  namespace?: string
  pod?: string
  container?: string
  pid: number
  /** The process's share of memory, bytes. */
  pss: number
  uptimeSeconds: number
  command: string
}

const read = (file: string): string => {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

function describe(pid: number): Pick<ProcessRow, 'pid' | 'pss' | 'uptimeSeconds' | 'command'> {
  if (process.platform !== 'linux') return describeByPs(pid)
  const stat = read(`/proc/${pid}/stat`)
  const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? 0)
  return {
    pid,
    pss: Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0) * 1024,
    uptimeSeconds: Math.max(0, Math.floor(Number(read('/proc/uptime').split(' ')[0]) - ticks / 100)),
    command: read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim(),
  }
}

/** Where there is no /proc; a process's share of memory is all it has then. */
function describeByPs(pid: number): ReturnType<typeof describe> {
  const [rss = '0', elapsed = '0', ...command] = (
    spawnSync('ps', ['-ww', '-o', 'rss=,etime=,command=', '-p', String(pid)], { encoding: 'utf8', timeout: 10_000 }).stdout ?? ''
  )
    .trim()
    .split(/\s+/)
  const units = [1, 60, 3600, 86_400]
  const uptimeSeconds = elapsed
    .split(/[-:]/)
    .reverse()
    .reduce((total, part, n) => total + Number(part) * units[n]!, 0)
  return { pid, pss: Number(rss) * 1024, uptimeSeconds, command: command.join(' ') }
}

/** Children by parent, for all processes of the machine. */
export function processTree(): Map<number, number[]> {
  const children = new Map<number, number[]>()
  for (const entry of process.platform === 'linux' ? readdirSync('/proc') : []) {
    if (!/^\d+$/.test(entry)) continue
    const stat = read(`/proc/${entry}/stat`)
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)])
  }
  return children
}

/** Everything below a process, parents first. */
export function* descendants(tree: Map<number, number[]>, pid: number): Generator<number> {
  for (const child of tree.get(pid) ?? []) {
    yield child
    yield* descendants(tree, child)
  }
}

interface Owner {
  namespace: string
  pod: string
  container?: string
}

interface Known {
  /** Pods by UID and containers by id. */
  owners: Map<string, Owner>
  /** The identity that holds the lease of a component. */
  holders: Map<string, string>
}

/** What only the API knows; empty when it does not answer. */
async function askApi(dir: StateDir): Promise<Known> {
  const found = new Map<string, Owner>()
  const holders = new Map<string, string>()
  const { client, close } = adminClient(dir, { timeoutMs: 5000 })
  try {
    const [all, held] = await Promise.all([client.list(pods, ''), client.list(leases, 'kube-system')])
    for (const lease of held.items) holders.set(lease.metadata.name ?? '', lease.spec?.holderIdentity ?? '')
    for (const pod of all.items) {
      const owner = { namespace: pod.metadata?.namespace ?? '', pod: pod.metadata?.name ?? '' }
      found.set(pod.metadata?.uid ?? '', owner)
      const { initContainerStatuses = [], containerStatuses = [], ephemeralContainerStatuses = [] } = pod.status ?? {}
      // A container that waits for its first run has no id.
      for (const { containerID, name } of [...initContainerStatuses, ...containerStatuses, ...ephemeralContainerStatuses])
        if (containerID) found.set(containerID.replace(/^.*:\/\//, ''), { ...owner, container: name })
    }
  } catch {
    // Without an API server the rows lack the names of pods, and that is what the reader came to see.
  } finally {
    close()
  }
  return { owners: found, holders }
}

/**
 * The pod and container of a process, from its cgroup (`.../pod<uid>/<container id>`) or its environment (runtime `process`) or, for a
 * shim, its command line or, of plain processes, where it is.
 */
function ownerOf(pid: number, command: string, known: Map<string, Owner>): Owner | undefined {
  const marked = known.get(/\0COXSWAIN_CONTAINER=([0-9a-f]{64})\0/.exec(read(`/proc/${pid}/environ`))?.[1] ?? '')
  if (marked) return marked
  const cgroup = read(`/proc/${pid}/cgroup`)
  const [, uid, id] = /\/pod([0-9a-f-]{36})(?:\/([^/\n]+))?/.exec(cgroup) ?? []
  const place = command.includes('/process-shim.js') ? workingDirectory(pid) : command
  const [, shimUid, container] = /pods\/([0-9a-f-]{36})(?:\/containers\/([^/]+)\/\d+\b)?/.exec(place) ?? []
  const ofShim = known.get(shimUid ?? '')
  return (
    (id ? known.get(id) : undefined) ??
    [...known].find(([key]) => key.length > 36 && command.includes(key))?.[1] ??
    (ofShim && container ? { ...ofShim, container } : (ofShim ?? known.get(uid ?? '')))
  )
}

function workingDirectory(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ''
  }
}

/**
 * Which of a node's programs a process is, told by its command line with blanks; undefined for all others. The shells that keep them
 * (node-init, and one for cluster-dns) have the node-agent's command line behind their own.
 */
export const nodeProgram = (command: string): string | undefined => /^(?!sh ).*\/(node-agent|cluster-dns)\.js /.exec(command)?.[1]

/** All rows: supervisor, control plane, then node by node. */
export async function listProcesses(dir: StateDir, cluster: Cluster): Promise<ProcessRow[]> {
  const rows: ProcessRow[] = []
  const tree = processTree()
  const { owners, holders } = await askApi(dir)
  const names = recordedNames(dir)
  for (const component of [supervisorProcess, ...controlPlaneComponents]) {
    for (const name of names.filter(n => n === component || componentOf(n) === component)) {
      const record = readRecord(dir, name)
      // An identity is the name of the process and something that no other process has.
      const leader = holders.get(component)?.startsWith(`${identityOf(name, cluster)}_`) ?? false
      if (record && isAlive(record))
        rows.push({ component, ...(name === supervisorProcess ? {} : { name }), ...(leader ? { leader } : {}), ...describe(record.pid) })
    }
  }
  for (const node of cluster.nodes) {
    const record = readRecord(dir, nodeProcess(node.name))
    if (!record || !isAlive(record)) continue
    const own: ProcessRow[] = []
    for (const pid of cluster.host ? hostNodeProcesses(dir, node.name).filter(pid => pid !== record.pid) : descendants(tree, record.pid)) {
      const process = describe(pid)
      if (process.command === '') continue
      const owner = ownerOf(pid, process.command, owners)
      const bundle = nodeProgram(process.command)
      const component = bundle
        ? bundle
        : /^\S*conmon |\/process-shim\.js( |$)/.test(process.command)
          ? 'shim'
          : owner
            ? 'container'
            : 'node'
      own.push({ component, node: node.name, ...(bundle ? {} : owner), ...process })
    }
    const relay = linkRelay(dir, node.name)
    if (relay !== undefined) rows.push({ component: 'link', node: node.name, ...describe(relay) })
    rows.push(
      { component: 'node-init', node: node.name, ...describe(record.pid) },
      ...own.filter(r => r.component === 'node-agent'),
      ...own.filter(r => r.component !== 'node-agent'),
    )
  }
  return rows
}
