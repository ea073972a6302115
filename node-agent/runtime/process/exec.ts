/** Commands beside a running container: a process in its root, with its environment. */
import { randomUUID } from 'node:crypto'
import { killMarked } from '#shared/component/processes.ts'
import { findBinary } from '../binaries.ts'
import type { Pipes } from '../pipes.ts'
import { ExecFailedError, type ExecOptions } from '../runtime.ts'
import { runWithStreams } from '../streams.ts'
import { findProgram } from './command.ts'
import type { Launch } from './record.ts'

/** Resolves with the command's exit code; rejects with an ExecFailedError when it cannot start. Aborting kills it and all it started. */
export async function execInRoot(
  launch: Launch,
  enter: (args: string[]) => Promise<string[]>,
  pipes: Pipes | undefined,
  options: ExecOptions,
): Promise<number> {
  // Everything the command starts inherits this, wherever it goes.
  const id = randomUUID()
  const env = {
    ...launch.env,
    ...Object.fromEntries((options.env ?? []).map(e => [e.slice(0, e.indexOf('=')), e.slice(e.indexOf('=') + 1)])),
    COXSWAIN_EXEC: id,
  }
  // What `script` takes differs from system to system.
  if (options.tty && (process.platform !== 'linux' || findBinary('script') === undefined))
    throw new ExecFailedError('a terminal needs Linux with the program script (Debian package bsdutils); without -t it works')
  const [name = '', ...args] = options.args
  const failure = (why: string): Error => new ExecFailedError(`exec failed: unable to start container process: ${why}`)
  const program = findProgram(name, launch.env, launch.cwd, failure)
  const place = { env, cwd: launch.cwd, detached: !options.tty, ...(pipes ? { pipes } : {}) }
  return await runWithStreams(await enter([program, ...args]), options, place, () => killMarked(`COXSWAIN_EXEC=${id}`))
}
