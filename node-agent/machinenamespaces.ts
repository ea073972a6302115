/**
 * The machine's own network and mount namespaces, of which `cox up` hands the nodes that it starts file descriptors: by way of them images
 * come from where the machine has its names, proxies and certificates, also from registries on its loopback. Nodes that are machines, or
 * containers, have no others than their own.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { commandPath } from '#shared/linux/run.ts'

/** Names the descriptors: `3,4`, of the network and of the mounts. */
export const machineNamespacesVariable = 'COXSWAIN_MACHINE_NAMESPACES'

function descriptors(): [number, number] | undefined {
  const [, net, mnt] = /^(\d+),(\d+)$/.exec(process.env[machineNamespacesVariable] ?? '') ?? []
  return net === undefined ? undefined : [Number(net), Number(mnt)]
}

/** Starts a command there; it may have a pipe or nothing as each of the three streams, and a channel for messages. */
export function spawnOnMachine(
  command: string,
  args: readonly string[],
  options: { stdio: ('pipe' | 'ignore' | 'inherit')[]; ipc?: boolean; env?: NodeJS.ProcessEnv; timeoutMs?: number; signal?: AbortSignal },
): ChildProcess {
  const { stdio, ipc, timeoutMs, signal } = options
  const fds = descriptors()
  const env = { ...(options.env ?? process.env), PATH: `${commandPath}:${process.env['PATH'] ?? ''}` }
  const common = { env, ...(timeoutMs ? { timeout: timeoutMs, killSignal: 'SIGKILL' as const } : {}), ...(signal ? { signal } : {}) }
  if (fds === undefined) return spawn(command, args, { ...common, stdio: [...stdio, ...(ipc ? ['ipc' as const] : [])] })
  delete (env as NodeJS.ProcessEnv)[machineNamespacesVariable]
  const enter = ['--net=/proc/self/fd/3', '--mount=/proc/self/fd/4', '--', command, ...args]
  return spawn('nsenter', enter, { ...common, stdio: [...stdio, ...fds, ...(ipc ? ['ipc' as const] : [])] })
}
