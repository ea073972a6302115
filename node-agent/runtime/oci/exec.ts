/** Commands inside a running container, through the runtime's `exec`. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { cgroupProcesses } from '#shared/linux/cgroup.ts'
import { run } from '#shared/linux/run.ts'
import type { ExecOptions } from '../runtime.ts'
import { runtimeArgs, type ContainerRecord, type RuntimeBinary } from './shim.ts'

/** Resolves with the command's exit code; 126 or 127, with the runtime's words on stderr, when it cannot start. Aborting kills the command and all it started. */
export async function execInContainer(binary: RuntimeBinary, directory: string, container: ContainerRecord, options: ExecOptions): Promise<number> {
  options.signal?.throwIfAborted()
  const scratch = await mkdtemp(join(directory, 'exec-'))
  const pidFile = join(scratch, 'pid')
  const args = [...runtimeArgs(directory), 'exec', '--pid-file', pidFile]
  for (const value of options.env ?? []) args.push('--env', value)
  if (options.tty) args.push('--tty')
  args.push(container.id, ...options.args)
  const child = options.tty ? await spawnWithTerminal(binary.path, args, options) : spawn(binary.path, args, { stdio: [options.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'] })
  const stop = (): void => void killTree(pidFile, container.cgroup).finally(() => child.kill('SIGKILL'))
  options.signal?.addEventListener('abort', stop)
  try {
    const ended = new Promise<number>((resolve, reject) => {
      child.on('error', error => reject(new Error(`${binary.path} exec: ${error.message}`)))
      child.on('close', (code, signal) => resolve(code ?? (signal === 'SIGKILL' ? 137 : 1)))
    })
    void pumpInput(child, options, ended)
    // A reader that fails is a client that went away.
    const outputs = [pumpOutput(child.stdout, options.stdout), pumpOutput(child.stderr, options.tty ? options.stdout : options.stderr)]
    for (const output of outputs) output.catch(stop)
    const code = await ended
    await Promise.all(outputs)
    options.signal?.throwIfAborted()
    return code === 255 && (await readPid(pidFile)) === undefined ? 126 : code
  } finally {
    options.signal?.removeEventListener('abort', stop)
    await rm(scratch, { recursive: true, force: true })
  }
}

/**
 * A terminal for the runtime's client: `script` makes one and copies our pipes to it; the runtime makes the container's own and follows the size of the first.
 * (Handing over the container's terminal directly needs file descriptors in a Unix socket's messages, which Node lacks.)
 */
async function spawnWithTerminal(command: string, args: readonly string[], options: ExecOptions): Promise<ChildProcess> {
  const sizes = options.resize?.[Symbol.asyncIterator]()
  // Clients send the first size at once; the command should not start in a terminal of another.
  const first = sizes && (await Promise.race([sizes.next(), new Promise<undefined>(resolve => void setTimeout(() => resolve(undefined), 200))]))
  const size = first?.done === false ? `stty rows ${first.value.Height} cols ${first.value.Width}; ` : ''
  const script = `tty >&3; exec 3>&-; ${size}exec "$COX_COMMAND" ${args.map((_, n) => `"$COX_ARG_${n}"`).join(' ')}`
  // Arguments travel in the environment, since script takes one string that a shell reads.
  const env = { PATH: process.env['PATH'], SHELL: '/bin/sh', TERM: 'xterm', COX_COMMAND: command, ...Object.fromEntries(args.map((arg, n) => [`COX_ARG_${n}`, arg])) }
  const child = spawn('script', ['-q', '-e', '-f', '-E', 'never', '-c', script, '/dev/null'], { stdio: ['pipe', 'pipe', 'pipe', 'pipe'], env })
  const name = once((child.stdio[3] as Readable).setEncoding('utf8'), 'data').then(([text]) => String(text).trim(), () => undefined)
  if (sizes) void followSizes(sizes, name, child)
  return child
}

async function followSizes(sizes: AsyncIterator<{ Width: number; Height: number }>, name: Promise<string | undefined>, child: ChildProcess): Promise<void> {
  const terminal = await name
  const ended = once(child, 'close').then(() => ({ done: true as const, value: undefined }))
  try {
    for (;;) {
      const next = await Promise.race([sizes.next(), ended])
      if (next.done || terminal === undefined) return void sizes.return?.()
      await run('stty', ['-F', terminal, 'rows', String(next.value.Height), 'cols', String(next.value.Width)]).catch(() => {})
    }
  } catch {
    // the stream of sizes broke: the client's end is seen elsewhere
  }
}

async function pumpInput(child: ChildProcess, options: ExecOptions, ended: Promise<number>): Promise<void> {
  const { stdin } = child
  if (!stdin) return
  stdin.on('error', () => {})
  // A terminal's input stays open when there is none: its end would be typed as ^D.
  if (!options.stdin) return
  const iterator = options.stdin[Symbol.asyncIterator]()
  const over = ended.then(
    () => ({ done: true as const, value: undefined }),
    () => ({ done: true as const, value: undefined }),
  )
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), over])
      if (next.done) break
      if (!stdin.write(next.value)) await Promise.race([once(stdin, 'drain'), over])
    }
  } catch {
    // a client whose input breaks off has none left
  }
  stdin.end()
  void iterator.return?.()
}

async function pumpOutput(from: Readable | null, to: ExecOptions['stdout']): Promise<void> {
  if (!from) return
  for await (const data of from) await to?.(data as Uint8Array)
}

const readPid = async (file: string): Promise<number | undefined> => Number(await readFile(file, 'utf8').catch(() => '')) || undefined

/** Kills a process, its descendants and its session: everything an exec started that did not leave both. */
async function killTree(pidFile: string, cgroup: string): Promise<void> {
  const root = await readPid(pidFile)
  if (root === undefined) return
  const processes = await Promise.all(
    (await cgroupProcesses(cgroup)).map(async pid => {
      const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
      const [, parent, , session] = text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number)
      return { pid, parent, session }
    }),
  )
  const doomed = new Set([root])
  for (let size = 0; size !== doomed.size; ) {
    size = doomed.size
    for (const p of processes) if ((p.parent !== undefined && doomed.has(p.parent)) || (p.session !== undefined && doomed.has(p.session))) doomed.add(p.pid)
  }
  for (const pid of doomed) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // it went by itself
    }
  }
}
