/** The containers' processes that really run, told by the machine's process table. */
import { readFileSync } from 'node:fs'
import { hostNodeProcesses } from '../host-node.ts'
import { nodeProcess } from '../node.ts'
import { isAlive, readRecord } from '../process.ts'
import { descendants, nodeProgram, processTree } from '../ps.ts'
import type { Cluster, StateDir } from '../state.ts'
import type { ContainerProcess } from './history.ts'

/**
 * The first process of every container, found by the cgroup that it lives in, `.../pod<uid>/<container id>`, or, without cgroups, by its
 * environment; `uidOf` says whose a container is where nothing else does.
 */
export function containerProcesses(dir: StateDir, cluster: Cluster, uidOf: (id: string) => string): ContainerProcess[] {
  const tree = processTree()
  const found = new Map<string, ContainerProcess>()
  for (const { name } of cluster.nodes) {
    const record = readRecord(dir, nodeProcess(name))
    if (!isAlive(record)) continue
    for (const pid of cluster.host ? hostNodeProcesses(dir, name) : descendants(tree, record.pid)) {
      const marked = cluster.host ? /\0COXSWAIN_CONTAINER=([0-9a-f]{64})\0/.exec(read(`/proc/${pid}/environ`))?.[1] : undefined
      const [, uid, id] = marked
        ? ['', uidOf(marked), marked]
        : (/\/pod([0-9a-f-]{36})\/([0-9a-f]{64})/.exec(read(`/proc/${pid}/cgroup`)) ?? [])
      const command = read(`/proc/${pid}/cmdline`)
      if (uid !== undefined && id !== undefined && !found.has(id) && command !== '' && !command.includes('process-shim.js'))
        found.set(id, { node: name, uid, id, pid })
    }
  }
  return [...found.values()]
}

/** The node-agent of a node; undefined while there is none. */
export function agentOf(dir: StateDir, node: string): number | undefined {
  const record = readRecord(dir, nodeProcess(node))
  if (!isAlive(record)) return undefined
  const tree = processTree()
  return (tree.get(record.pid) ?? []).find(pid => nodeProgram(read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')) === 'node-agent')
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
