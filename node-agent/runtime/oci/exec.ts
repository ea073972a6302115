/** Commands inside a running container, through the runtime's `exec`. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cgroupProcesses } from '#shared/linux/cgroup.ts'
import { ExecFailedError, type ExecOptions } from '../runtime.ts'
import { runWithStreams } from '../streams.ts'
import type { RuntimeBinary } from './runtimes.ts'
import { runtimeArgs, type ContainerRecord } from './shim.ts'

/** So begins what the runtime itself says, where the command's own output goes. */
const failed = /^exec failed: /

/**
 * Output that is handed on, but for what the runtime itself may have said, which is kept in `held`: whether it did is known when it has
 * ended.
 */
function holdBack(held: Uint8Array[], handOn: ExecOptions['stderr']): ExecOptions['stderr'] {
  let begun = false
  return data => {
    if (held.length > 0 || (!begun && failed.test(Buffer.from(data.subarray(0, 32)).toString()))) held.push(data)
    else {
      begun = true
      return handOn?.(data)
    }
  }
}

/** Resolves with the command's exit code; rejects with an ExecFailedError when it cannot start. Aborting kills it and all it started. */
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
  const held: Uint8Array[] = []
  const output = options.tty ? 'stdout' : 'stderr'
  const streams = { ...options, [output]: holdBack(held, options[output]) }
  try {
    const code = await runWithStreams([binary.path, ...args], streams, {}, () => killTree(pidFile, container.cgroup))
    if (code === 255 && (await readPid(pidFile)) === undefined)
      throw new ExecFailedError(Buffer.concat(held).toString().trim() || 'unable to retrieve OCI runtime error')
    for (const data of held) await options[output]?.(data)
    return code
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
