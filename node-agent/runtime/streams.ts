/** A command with a client's streams, in a terminal if it wants one. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { run } from '#shared/linux/run.ts'
import { spawnPiped, type Pipes, type Running } from './pipes.ts'
import type { ExecOptions } from './runtime.ts'

export interface Place {
  /** Default is our own environment, in a terminal only its PATH. */
  env?: Record<string, string>
  cwd?: string
  /** In a session, and so a group, of its own. */
  detached?: boolean
  /** What its streams are; default are sockets. A terminal has its own. */
  pipes?: Pipes
}

/**
 * Resolves with the command's exit code. When the client goes away, `kill` is to end what the command has started; then the command itself
 * is killed, and this rejects with the signal's reason.
 */
export async function runWithStreams(
  command: readonly string[],
  options: ExecOptions,
  place: Place,
  kill: (child: ChildProcess) => Promise<void>,
): Promise<number> {
  options.signal?.throwIfAborted()
  const running = options.tty ? await spawnWithTerminal(command, options, place) : await spawnWithPipes(command, options, place)
  const { child } = running
  const stop = (): void => void kill(child).finally(() => child.kill('SIGKILL'))
  options.signal?.addEventListener('abort', stop)
  // While its streams were made.
  if (options.signal?.aborted) stop()
  try {
    const ended = new Promise<number>((resolve, reject) => {
      child.on('error', error => reject(new Error(`${command[0]} exec: ${error.message}`)))
      child.on('close', (code, signal) => resolve(code ?? (signal === null ? 1 : 128 + constants.signals[signal])))
    })
    void pumpInput(running.stdin, options, ended)
    // A reader that fails is a client that went away.
    const outputs = [pumpOutput(running.stdout, options.stdout), pumpOutput(running.stderr, options.tty ? options.stdout : options.stderr)]
    for (const output of outputs) output.catch(stop)
    const code = await ended
    await Promise.all(outputs)
    options.signal?.throwIfAborted()
    return code
  } finally {
    options.signal?.removeEventListener('abort', stop)
  }
}

async function spawnWithPipes(command: readonly string[], { stdin }: ExecOptions, { pipes, ...place }: Place): Promise<Running> {
  return spawnPiped(command, place, stdin !== undefined, await pipes?.take())
}

/**
 * A terminal for the runtime's client: `script` makes one and copies our pipes to it; the runtime makes the container's own and follows the
 * size of the first. (Handing over the container's terminal directly needs file descriptors in a Unix socket's messages, which Node lacks.)
 */
async function spawnWithTerminal(
  [command, ...args]: readonly string[],
  options: ExecOptions,
  { pipes: _, ...place }: Place,
): Promise<Running> {
  const sizes = options.resize?.[Symbol.asyncIterator]()
  // Clients send the first size at once; the command should not start in a terminal of another.
  const first =
    sizes && (await Promise.race([sizes.next(), new Promise<undefined>(resolve => void setTimeout(() => resolve(undefined), 200))]))
  const size = first?.done === false ? `stty rows ${first.value.Height} cols ${first.value.Width}; ` : ''
  const script = `tty >&3; exec 3>&-; ${size}exec "$COX_COMMAND" ${args.map((_, n) => `"$COX_ARG_${n}"`).join(' ')}`
  // Arguments travel in the environment, since script takes one string that a shell reads.
  const env = {
    ...(place.env ?? { PATH: process.env['PATH'] }),
    SHELL: '/bin/sh',
    TERM: 'xterm',
    COX_COMMAND: command,
    ...Object.fromEntries(args.map((arg, n) => [`COX_ARG_${n}`, arg])),
  }
  const child = spawn('script', ['-q', '-e', '-f', '-E', 'never', '-c', script, '/dev/null'], {
    ...place,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    env,
  })
  const name = once((child.stdio[3] as Readable).setEncoding('utf8'), 'data').then(
    ([text]) => String(text).trim(),
    () => undefined,
  )
  if (sizes) void followSizes(sizes, name, child)
  return { child, stdin: child.stdin, stdout: child.stdout!, stderr: child.stderr! }
}

async function followSizes(
  sizes: AsyncIterator<{ Width: number; Height: number }>,
  name: Promise<string | undefined>,
  child: ChildProcess,
): Promise<void> {
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

async function pumpInput(stdin: Writable | null, options: ExecOptions, ended: Promise<number>): Promise<void> {
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
