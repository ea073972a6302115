/**
 * The parent of a container's process: a small program of its own, so that a node-agent can die and come back. It writes the log in the CRI
 * format, passes standard input on, reaps the process and leaves its exit code on disk. It is started in advance: standard input tells it
 * the container's directory, a line; see record.ts for what lies in it. When that ends first, so does it: the node-agent died. Standard
 * descriptor 3 hears `{"pid": n}` or `{"error": why}`, once. Those that follow are the pipes of the container's standard streams, see
 * ../pipes.ts.
 *
 * A POSIX shell cannot do this: without a terminal it has no process groups to give (dash, busybox), and what it starts in the background
 * ignores INT and QUIT.
 */
import { appendFileSync, closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { processStartTime } from '#shared/component/processes.ts'
import { criWriter } from './crilog.ts'
import { inherited, spawnPiped } from '../pipes.ts'
import { fillEntry, readEntry, reserveEntry, writeEntry, type Launch } from './record.ts'
import { terminalCommand } from './terminal.ts'

/** As it was given them. */
const shimPipes = process.platform === 'linux' ? inherited : undefined

/** How long output is waited for that a process outside of the container's group still holds open, ms. */
const LINGER_MS = 1000

/** The line that standard input says; undefined when it ends before. */
function readLine(): string | undefined {
  const part = Buffer.alloc(4096)
  let text = ''
  for (;;) {
    const length = readSync(0, part)
    if (length === 0) return undefined
    text += part.toString('utf8', 0, length)
    if (text.endsWith('\n')) return text.slice(0, -1)
  }
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP'] as const) process.on(signal, () => {})
const directory = readLine()
if (directory === undefined) process.exit(0)
// Sockets have short paths only.
process.chdir(directory)
let told = false
// A full disk while it starts, and whatever else.
process.once('uncaughtException', (error: Error) => {
  tell({ error: error.message })
  try {
    appendFileSync('shim.log', `${error.stack}\n`, { mode: 0o600 })
  } finally {
    process.exit(1)
  }
})
reserveEntry('.', 'exit')
const launch = readEntry<Launch>('.', 'launch.json')!
let log = openSync(launch.logPath, 'a', 0o640)
// Whoever rotates the log has renamed it.
process.on('SIGUSR2', () => {
  const old = log
  try {
    log = openSync(launch.logPath, 'a', 0o640)
    closeSync(old)
  } catch {
    // The renamed one is better than none.
  }
})
/** What a full disk has no space for is lost: it must not end what it tells of. */
function writeLog(entries: Buffer): void {
  try {
    writeSync(log, entries)
  } catch {
    // the next may fit
  }
}

function tell(message: object): void {
  if (told) return
  told = true
  try {
    writeSync(3, `${JSON.stringify(message)}\n`)
    closeSync(3)
  } catch {
    // The node-agent died while it waited; the next one reads the disk.
  }
}

function follow(stream: Readable, name: 'stdout' | 'stderr'): Promise<void> {
  stream.on('data', criWriter(name, writeLog))
  return new Promise(resolve => stream.once('close', resolve))
}

/** Clients of the socket write to the container's standard input; it ends with the first of them when it is to be used once. */
function serveInput(stdin: Writable): Server {
  stdin.on('error', () => {})
  return createServer({ allowHalfOpen: true }, client => {
    client.on('error', () => {})
    client.pipe(stdin, { end: launch.stdinOnce }).on('close', () => client.destroy())
    client.on('end', () => client.end())
  }).listen('attach')
}

const command = launch.tty ? terminalCommand(launch.args, join(process.cwd(), 'terminal')) : launch.args
// Its own session, and so its own group: whatever stays in it can be found again.
const place = { cwd: launch.cwd, env: launch.env, detached: true }
const { child, stdin, stdout, stderr } = spawnPiped(command, place, launch.stdin || launch.tty, shimPipes)
const output = Promise.all([follow(stdout, 'stdout'), follow(stderr, 'stderr')])
const server = launch.stdin ? serveInput(stdin!) : undefined
child.once('spawn', () => {
  const pid = child.pid!
  try {
    writeEntry('.', 'process', { pid, startTime: processStartTime(pid), startedAt: new Date().toISOString() })
  } catch (error) {
    process.kill(-pid, 'SIGKILL')
    throw error
  }
  tell({ pid })
})
child.once('error', error => {
  tell({ error: error.message })
  process.exit(1)
})
child.once('exit', async (code, name) => {
  const signal = name === null ? undefined : constants.signals[name]
  server?.close()
  // As when the first process of a PID namespace ends: nothing of the container goes on.
  try {
    process.kill(-child.pid!, 'SIGKILL')
  } catch {
    // it was alone
  }
  let timer: NodeJS.Timeout | undefined
  await Promise.race([output, new Promise(resolve => (timer = setTimeout(resolve, LINGER_MS)))])
  clearTimeout(timer)
  fillEntry('.', 'exit', {
    exitCode: code ?? 128 + (signal ?? 0),
    ...(signal === undefined ? {} : { signal }),
    finishedAt: new Date().toISOString(),
  })
  if (server) unlinkSync('attach')
  process.exit(0)
})
