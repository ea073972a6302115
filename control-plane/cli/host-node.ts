/**
 * The node of a cluster that has no network of its own (without root, or on a Mac): plain processes on this machine. They belong together
 * by a variable in their environment, which children inherit: what the kernel does for a node with namespaces is done with its help.
 */
import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync, realpathSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { killMarked, processesMarked, signalMarked } from '#shared/component/processes.ts'
import { bundles, processEnv } from './components.ts'
import type { StateDir } from './state.ts'

/** A file as the kernel names it, also when it is gone. */
export const realPath = (file: string): string =>
  existsSync(file) ? realpathSync(file) : path.join(realPath(path.dirname(file)), path.basename(file))
const rootOf = (dir: StateDir, node: string): string => path.join(realPath(dir.root), 'nodes', node)
const markOf = (dir: StateDir, node: string): string => `COXSWAIN_NODE=${rootOf(dir, node)}`

/** How long containers get to end by themselves when their node stops, ms. */
const STOP_MS = 1000

/** Starts node-init with the node-agent's command line; its output goes to `log`. */
export function spawnHostNode(dir: StateDir, node: string, agent: readonly string[], log: number) {
  const env = { ...process.env, ...processEnv, COXSWAIN_NODE: rootOf(dir, node) }
  return spawn('/bin/sh', [path.join(bundles, '../node-agent/init-host.sh'), ...agent], {
    stdio: ['ignore', log, log],
    detached: true,
    cwd: rootOf(dir, node),
    env,
  })
}

/** Every process of the node. */
export const hostNodeProcesses = (dir: StateDir, node: string): number[] => processesMarked(markOf(dir, node))

/** Pulls the node's plug: nothing of it is left. */
export const killHostNode = (dir: StateDir, node: string): Promise<void> => killMarked(markOf(dir, node))

/** Ends what a stopped node-init left: the pods' processes are asked first. */
export async function stopHostNode(dir: StateDir, node: string): Promise<void> {
  const end = Date.now() + STOP_MS
  if (signalMarked(markOf(dir, node), 'SIGTERM')) while (Date.now() < end && processesMarked(markOf(dir, node)).length > 0) await delay(50)
  await killHostNode(dir, node)
}

/**
 * The address that the machine has for others, towards `other` (by default whatever is outside): Services cannot lead to a loopback
 * address.
 * 127.0.0.1 when there is no other.
 */
export async function machineAddress(other = '192.0.2.1'): Promise<string> {
  const socket = createSocket('udp4')
  try {
    // Nothing is sent: the kernel looks up its route. The address is of a documentation range.
    socket.connect(9, other)
    await Promise.race([once(socket, 'connect'), once(socket, 'error').then(([e]) => Promise.reject(e as Error))])
    const { address } = socket.address()
    if (!address.startsWith('127.')) return address
  } catch {
    // no route: perhaps a network without a gateway
  } finally {
    socket.close()
  }
  return (
    Object.values(networkInterfaces())
      .flatMap(list => list ?? [])
      .find(i => i.family === 'IPv4' && !i.internal)?.address ?? '127.0.0.1'
  )
}
