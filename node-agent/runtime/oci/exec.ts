/** Commands inside a running container, through the runtime's `exec`. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { withDescendants } from '#shared/component/processes.ts'
import { ExecFailedError, type ExecOptions } from '../runtime.ts'
import { runWithStreams } from '../streams.ts'
import type { RuntimeBinary } from './runtimes.ts'
import { runtimeArgs, type ContainerRecord } from './shim.ts'

/** So begins what the runtime itself says, where the command's own output goes; and it says no more, bytes. */
const failed = /^exec failed: /
const mostSaid = 16 << 10

/**
 * Output that is handed on, but for what the runtime itself may have said, which is kept in `held`: whether it did is known when it has
 * ended.
 */
function holdBack(held: Uint8Array[], handOn: ExecOptions['stderr']): ExecOptions['stderr'] {
  let holding: boolean | undefined
  return async data => {
    holding ??= failed.test(Buffer.from(data.subarray(0, 32)).toString())
    if (holding) held.push(data)
    if (holding && held.reduce((bytes, part) => bytes + part.length, 0) <= mostSaid) return
    const all = holding ? held.splice(0) : [data]
    holding = false
    for (const part of all) await handOn?.(part)
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
    const code = await runWithStreams([binary.path, ...args], streams, {}, child => killTree(child.pid, pidFile))
    if (code === 255 && (await readPid(pidFile)) === undefined)
      throw new ExecFailedError(Buffer.concat(held).toString().trim() || 'unable to retrieve OCI runtime error')
    for (const data of held) await options[output]?.(data)
    return code
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

const readPid = async (file: string): Promise<number | undefined> => Number(await readFile(file, 'utf8').catch(() => '')) || undefined

/**
 * Kills the runtime's client, the command and all it started that did not leave both its parents and its session. What there is is stopped
 * first: a runtime that had just made the command's process, and has told nobody of it, is still its parent then, and makes no other.
 */
async function killTree(client: number | undefined, pidFile: string): Promise<void> {
  for (const signal of ['SIGSTOP', 'SIGKILL'] as const) {
    const roots = [client, await readPid(pidFile)].filter(pid => pid !== undefined)
    for (const pid of withDescendants(roots)) {
      try {
        process.kill(pid, signal)
      } catch {
        // it went by itself
      }
    }
  }
}
