/** Commands inside a running container, through the runtime's `exec`. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cgroupProcesses } from '#shared/linux/cgroup.ts'
import type { ExecOptions } from '../runtime.ts'
import { runWithStreams } from '../streams.ts'
import type { RuntimeBinary } from './runtimes.ts'
import { runtimeArgs, type ContainerRecord } from './shim.ts'

/**
 * Resolves with the command's exit code; 126 or 127, with the runtime's words on stderr, when it cannot start. Aborting kills the command
 * and all it started.
 */
export async function execInContainer(
  binary: RuntimeBinary,
  directory: string,
  container: ContainerRecord,
  options: ExecOptions,
): Promise<number> {
  options.signal?.throwIfAborted()
  const scratch = await mkdtemp(join(directory, 'run/exec-'))
  const pidFile = join(scratch, 'pid')
  const args = [...runtimeArgs(directory), 'exec', '--pid-file', pidFile]
  for (const value of options.env ?? []) args.push('--env', value)
  if (options.tty) args.push('--tty')
  args.push(container.id, ...options.args)
  try {
    const code = await runWithStreams([binary.path, ...args], options, {}, () => killTree(pidFile, container.cgroup))
    return code === 255 && (await readPid(pidFile)) === undefined ? 126 : code
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

const readPid = async (file: string): Promise<number | undefined> => Number(await readFile(file, 'utf8').catch(() => '')) || undefined

/** Kills a process, its descendants and its session: everything an exec started that did not leave both. */
async function killTree(pidFile: string, cgroup: string): Promise<void> {
  const root = await readPid(pidFile)
  if (root === undefined) return
  const processes = await Promise.all(
    (await cgroupProcesses(cgroup)).map(async pid => {
      const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
      const [, parent, , session] = text
        .slice(text.lastIndexOf(')') + 2)
        .split(' ')
        .map(Number)
      return { pid, parent, session }
    }),
  )
  const doomed = new Set([root])
  for (let size = 0; size !== doomed.size;) {
    size = doomed.size
    for (const p of processes)
      if ((p.parent !== undefined && doomed.has(p.parent)) || (p.session !== undefined && doomed.has(p.session))) doomed.add(p.pid)
  }
  for (const pid of doomed) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // it went by itself
    }
  }
}
