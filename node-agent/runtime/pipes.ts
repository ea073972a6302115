/**
 * Processes whose standard streams are pipes. Those that Node makes are sockets, which no program can open by a name: one that logs to
 * /dev/stdout or /dev/stderr would fail. A shell makes real ones, for documents that it is to read, and we open them in its place.
 */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { once } from 'node:events'
import { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'

/** The two ends, file descriptors that are the taker's to close. */
export interface Pipe {
  read: number
  write: number
}
/** Of one process: standard input, output and errors. */
export type StreamPipes = readonly [Pipe, Pipe, Pipe]

/** Where a process finds those that it was given for another: behind four descriptors of its own. */
export const inherited: StreamPipes = [
  { read: 4, write: 5 },
  { read: 6, write: 7 },
  { read: 8, write: 9 },
]

export interface Pipes {
  take(): Promise<StreamPipes>
}

/** A process and our ends of its streams. */
export interface Running {
  child: ChildProcess
  stdin: Writable | null
  stdout: Readable
  stderr: Readable
}

/** As many as a shell has names for, which are one digit. */
const batch = [3, 4, 5, 6, 7, 8]
const script = `exec ${batch.map(fd => `${fd}<<.`).join(' ')}\n${batch.map(() => '\n.\n').join('')}echo; read -r over`
const timeoutMs = 10_000

/** Undefined where there is no /proc: there such names mean open descriptors, whatever those are. */
export function openPipes(): Pipes | undefined {
  if (process.platform !== 'linux') return undefined
  const ready: StreamPipes[] = []
  return {
    async take() {
      if (ready.length === 0) ready.push(...(await makePipes()))
      return ready.pop() ?? (await this.take())
    },
  }
}

/** Those of two processes: the next one finds its own there. */
async function makePipes(): Promise<StreamPipes[]> {
  const shell = spawn('/bin/sh', ['-c', script], { stdio: ['pipe', 'pipe', 'ignore'], timeout: timeoutMs, killSignal: 'SIGKILL' })
  try {
    const ended = once(shell, 'exit').then(() => Promise.reject(new Error('a shell made no pipes')))
    await Promise.race([once(shell.stdout, 'data'), ended])
    const [a, b, c, d, e, f] = batch.map(fd => open(`/proc/${shell.pid}/fd/${fd}`)) as [Pipe, Pipe, Pipe, Pipe, Pipe, Pipe]
    return [
      [a, b, c],
      [d, e, f],
    ]
  } finally {
    shell.stdin.on('error', () => {}).end('\n')
  }
}

function open(name: string): Pipe {
  const read = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    // The shell's document, a line.
    readSync(read, Buffer.alloc(1))
    return { read, write: openSync(name, constants.O_WRONLY) }
  } catch (error) {
    closeSync(read)
    throw error
  }
}

export function closePipes(pipes: readonly Pipe[]): void {
  for (const { read, write } of pipes) for (const end of [read, write]) closeSync(end)
}

/** Starts a process on these pipes, or on what Node has. Without `input` it has none. */
export function spawnPiped(
  [command = '', ...args]: readonly string[],
  options: SpawnOptions,
  input: boolean,
  pipes: StreamPipes | undefined,
): Running {
  if (!pipes) {
    const child = spawn(command, args, { ...options, stdio: [input ? 'pipe' : 'ignore', 'pipe', 'pipe'] })
    return { child, stdin: child.stdin, stdout: child.stdout!, stderr: child.stderr! }
  }
  const [stdin, stdout, stderr] = pipes
  let child: ChildProcess
  try {
    child = spawn(command, args, { ...options, stdio: [input ? stdin.read : 'ignore', stdout.write, stderr.write] })
  } catch (error) {
    closePipes(pipes)
    throw error
  }
  for (const end of [stdin.read, stdout.write, stderr.write, ...(input ? [] : [stdin.write])]) closeSync(end)
  const reading = ({ read }: Pipe): Readable => new Socket({ fd: read, readable: true, writable: false })
  const writing = input ? new Socket({ fd: stdin.write, readable: false, writable: true }) : null
  return { child, stdin: writing, stdout: reading(stdout), stderr: reading(stderr) }
}
