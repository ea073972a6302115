/**
 * conmon, the parent of a container: it holds the standard streams, writes the log (its `k8s-file` is the CRI format), reaps the process
 * and leaves the exit code on disk. In a container's directory:
 *
 *     config.json upper/ work/ root/   the bundle
 *     ctl attach                       conmon's
 *     container                        {id, cgroup, tty, stdin}
 *     process                          {pid, startTime, startedAt}, written by us before the process is let go
 *     oom                              there when the kernel killed something for lack of memory (conmon's, in its working directory)
 *     run ->                           what is true as long as the node lives, in memory: that a disk is full must not cost an exit code or
 * an exec probe
 *     run/runc/<id>/                   the runtime's own state
 *     run/pidfile run/conmon.pid       conmon's
 *     run/released                     there when somebody lets the process go
 *     run/exits/<id>                   the exit code, when the process has ended
 */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { killMarked } from '#shared/component/processes.ts'
import { mountOf } from '#shared/linux/mount.ts'
import { commandPath, run } from '#shared/linux/run.ts'
import { CreateContainerError, startFailure, type ContainerSpec, type ContainerStatus } from '../runtime.ts'
import { fileEvent, fileOf } from '../fileevent.ts'
import { oomKills } from './cgroups.ts'
import type { ContainerRoot } from './rootfs.ts'
import type { RuntimeBinary } from './runtimes.ts'

const CREATE_TIMEOUT_MS = 30_000

/**
 * The runtime's global arguments: its state lives in the container's directory; with a log elsewhere, standard error has the bare message.
 */
export const runtimeArgs = (directory: string): string[] => ['--root', join(directory, 'run/runc'), '--log', '/dev/null']

/**
 * In the environment of conmon and of all that makes a container, with the container's directory: whoever began that may be killed before
 * anything of it is on disk.
 */
const shimMark = 'COXSWAIN_SHIM'

/** The first to make the file `$0` goes on; that is enough for the others. */
const claim = 'set -C; true >"$0" || { test -e "$0"; exit; }; '
/** Reads the byte that a created container's process wants to get rid of. Fails when there is none: the process has ended. */
const readByte = 'read -r byte <"$1"; [ -n "$byte" ] && rm -f "$1"'

/**
 * What `release` does, by a shell that waits beside conmon for a word on descriptor 4, and answers there: to start one when the container
 * is there would keep it waiting. It ends without a word when we do.
 */
const letGoer = `{
exec 3>&-
read -r go <&4 || exit
cd "$${shimMark}/run" || exit
set -C; true >released || { test -e released && echo released; exit; }
for fifo in runc/*/exec.fifo; do read -r byte <"$fifo"; [ -n "$byte" ] && rm -f "$fifo" && echo released; done
} >&4 2>&4 &
exec 4>&-
`

/**
 * conmon lives in a mount namespace of its own, in which the container's root is mounted: it goes with the last process that uses it,
 * however that ends, and there is nothing to unmount. What is unmounted on the node is unmounted there too. When the container is to mount
 * something for the node (Bidirectional), its namespace is the node's peer, but for the mount that the root is mounted in, which is a
 * slave: were it private, what was mounted below it at that moment would stay mounted here until conmon ends. Arguments: that mount or
 * nothing, the overlay's options, where the names in them begin, the container's directory, then conmon's command line.
 */
const inOwnMounts = (outer: string | undefined, { overlay, from }: ContainerRoot, directory: string): string[] => [
  '--mount',
  '--propagation',
  outer === undefined ? 'slave' : 'unchanged',
  '--',
  '/bin/sh',
  '-c',
  `${letGoer}{ [ -z "$1" ] || mount --make-slave "$1"; } && cd "$3" && mount -n -t overlay -o "$2" overlay "$4/root" && cd "$4" && shift 4 && exec "$@"`,
  'sh',
  outer ?? '',
  overlay,
  from,
  directory,
]

/** The same when a command does the mounting. */
const afterMounting = (command: readonly string[]): string[] => {
  const words = command.map((_, n) => `"$${n}"`).join(' ')
  return [
    '--mount',
    '--propagation',
    'slave',
    '--',
    '/bin/sh',
    '-c',
    `${letGoer}${words} && shift ${command.length - 1} && exec "$@"`,
    ...command,
  ]
}

/** Held as long as anybody lives who has it open: conmon does, as it does the mount namespace. */
const withLock = (lock: string | undefined): string[] => (lock === undefined ? [] : ['flock', '--shared', '--no-fork', lock])

export interface Created {
  pid: number
  /** To the shell that lets the process go. */
  letGo: Socket
}

/**
 * Creates the container of the bundle in `directory`, on this root, under a conmon of its own; `mounting` is a command that mounts all that
 * in its stead. Resolves with its pid: the process exists and waits for `startProcess`, which gets what is told of it.
 */
export async function createUnderShim(
  binary: RuntimeBinary,
  spec: Pick<ContainerSpec, 'id' | 'directory' | 'logPath' | 'stdin' | 'stdinOnce' | 'tty' | 'mounts'>,
  root: ContainerRoot,
  mounting?: readonly string[],
): Promise<Created> {
  const { id, directory } = spec
  const outer = spec.mounts.some(m => m.propagation === 'rshared') ? await mountOf(directory) : undefined
  await mkdir(join(directory, 'run/exits'), { recursive: true })
  const args = [
    '--api-version',
    '1',
    '-c',
    id,
    '-u',
    id,
    '-n',
    id,
    '-r',
    binary.path,
    '-b',
    directory,
    '-p',
    join(directory, 'run/pidfile'),
    '-P',
    join(directory, 'run/conmon.pid'),
  ]
  args.push('--exit-dir', join(directory, 'run/exits'), '--full-attach', '-l', `k8s-file:${spec.logPath}`, '--log-level', 'error')
  for (const arg of runtimeArgs(directory)) args.push('--runtime-arg', arg)
  if (binary.noSyncLog) args.push('--no-sync-log')
  if (spec.tty) args.push('-t')
  if (spec.stdin) args.push('-i', ...(spec.stdinOnce ? [] : ['--leave-stdin-open']))
  const errors = openSync(join(directory, 'run/conmon.log'), 'a')
  const namespace = mounting ? afterMounting(mounting) : inOwnMounts(outer, root, directory)
  const locks = new Set([root.lock, ...spec.mounts.map(m => m.lock)])
  const [command = '', ...rest] = [...[...locks].flatMap(withLock), binary.unshare, ...namespace, binary.conmon, ...args]
  const child = spawn(command, rest, {
    stdio: ['ignore', 'ignore', errors, 'pipe', 'pipe'],
    detached: true,
    cwd: directory,
    env: { PATH: commandPath, _OCI_SYNCPIPE: '3', [shimMark]: directory },
  })
  closeSync(errors)
  child.unref()
  const [pipe, letGo] = child.stdio.slice(3) as [Socket, Socket]
  letGo.on('error', () => {})
  // Our child writes the pid of the conmon that it leaves behind, which may be faster.
  const left = new Promise(resolve => child.once('exit', resolve))
  let deadline: NodeJS.Timeout | undefined
  try {
    const pid = await new Promise<number>((resolve, reject) => {
      deadline = setTimeout(
        () =>
          reject(
            new CreateContainerError(`${binary.name} create: no answer within ${CREATE_TIMEOUT_MS / 1000} s: context deadline exceeded`),
          ),
        CREATE_TIMEOUT_MS,
      )
      let text = ''
      const fail = (why: string): void => reject(new Error(creationError(binary.name, why || readTail(join(directory, 'run/conmon.log')))))
      pipe.setEncoding('utf8').on('data', (part: string) => {
        text += part
        const end = text.indexOf('\n')
        if (end < 0) return
        const message = parseSync(text.slice(0, end))
        const pid = message.pid ?? message.data ?? -1
        if (pid > 0) void left.then(() => resolve(pid))
        else fail(message.message ?? '')
      })
      pipe.on('error', () => {})
      pipe.on('close', () => void (text.includes('\n') || fail('')))
      child.on('error', error => reject(new CreateContainerError(`${command}: ${error.message}`)))
    })
    return { pid, letGo }
  } catch (error) {
    letGo.destroy()
    throw error
  } finally {
    clearTimeout(deadline)
    pipe.destroy()
  }
}

interface SyncMessage {
  pid?: number
  data?: number
  message?: string
}
function parseSync(line: string): SyncMessage {
  try {
    return JSON.parse(line) as SyncMessage
  } catch {
    return { message: line }
  }
}

/** The runtime's own message out of what it and conmon wrote: its log line's `msg`, with the prefix that Kubernetes users know. */
function creationError(name: string, text: string): string {
  const quoted = [...text.matchAll(/msg="((?:[^"\\]|\\.)*)"/g)].at(-1)?.[1]
  const message = (quoted === undefined ? text : quoted.replace(/\\(["\\])/g, '$1')).trim().replace(/^[a-z]+ create failed: /, '')
  return startFailure(`${name} create failed: ${message || 'no reason given'}`)
}

const readTail = (path: string): string => {
  try {
    return readFileSync(path, 'utf8').slice(-2000)
  } catch {
    return ''
  }
}

/** Notes who the process of a created container is, then lets it go. From here on the container is started, whoever has to end that. */
export async function startProcess(binary: RuntimeBinary, id: string, directory: string, { pid, letGo }: Created): Promise<void> {
  try {
    const record = JSON.stringify({ pid, startTime: processStartTime(pid), startedAt: new Date().toISOString() })
    await writeFile(join(directory, 'process.new'), record)
    await rename(join(directory, 'process.new'), join(directory, 'process'))
    if (binary.name === 'runc') await sayGo(letGo)
    else await release(binary, id, directory)
  } finally {
    letGo.destroy()
  }
}

/** Resolves when the shell beside conmon has let the process go. */
async function sayGo(letGo: Socket): Promise<void> {
  let said = ''
  const deadline = setTimeout(() => letGo.destroy(), CREATE_TIMEOUT_MS)
  const answer = new Promise<void>(resolve => letGo.setEncoding('utf8').on('data', (text: string) => (said += text)).once('close', resolve)) // prettier-ignore
  letGo.write('go\n')
  await answer
  clearTimeout(deadline)
  if (!/^released$/m.test(said)) throw new Error(`cannot start a container that has stopped: ${said.trim() || 'it did not wait'}`)
}

/**
 * Lets a created container's process go, unless somebody does already. What `runc start` does is to open the `exec.fifo` that the process
 * waits on; a shell does that in a tenth of the time. It is a process of its own, so that it ends what it began if we are killed: a reader
 * that is gone too early ends the container. Other runtimes are asked.
 */
export async function release(binary: RuntimeBinary, id: string, directory: string): Promise<void> {
  const how =
    binary.name === 'runc'
      ? [readByte, released(directory), execFifo(directory, id)]
      : ['exec "$@"', released(directory), binary.path, ...runtimeArgs(directory), 'start', id]
  const letGo = run('sh', ['-c', claim + how[0], ...how.slice(1)], { timeoutMs: CREATE_TIMEOUT_MS })
  await letGo.catch((e: Error) => Promise.reject(new Error(`cannot start a container that has stopped: ${e.message}`)))
}

const execFifo = (directory: string, id: string): string => join(directory, 'run/runc', id, 'exec.fifo')
const released = (directory: string): string => join(directory, 'run/released')

/** Whether nobody has let the process go: whoever created it died before that. */
const waits = (directory: string): boolean => !existsSync(released(directory))

/** Sends a signal to the first process. A runtime may keep that where we cannot see it: all but those that are known not to are asked. */
export async function signalProcess(binary: RuntimeBinary, id: string, directory: string, pid: number, signal: number): Promise<void> {
  if (['runc', 'crun', 'youki'].includes(binary.name)) process.kill(pid, signal)
  else await run(binary.path, [...runtimeArgs(directory), 'kill', id, String(signal)], { timeoutMs: CREATE_TIMEOUT_MS })
}

/**
 * Takes back what `startProcess` noted, so that the end that it now comes to is no result, and ends what may still be making the container.
 */
export async function forgetProcess(directory: string): Promise<void> {
  await rm(join(directory, 'process'), { force: true })
  if (!existsSync(released(directory))) await killMarked(`${shimMark}=${directory}`)
}

/**
 * Field 22 of /proc/PID/stat: clock ticks since boot; undefined when there is no such process. With the pid it names a process for ever.
 */
export function processStartTime(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19])
  } catch {
    return undefined
  }
}

/** What the runtime must know of a container whoever started it. */
export interface ContainerRecord {
  id: string
  /** Absolute below the cgroup root. */
  cgroup: string
  tty: boolean
  stdin: boolean
  /** Of its runtime, when that is not the default. */
  handler?: string
}
interface ProcessRecord {
  pid: number
  startTime?: number
  startedAt: string
}

export const writeRecord = (directory: string, record: ContainerRecord): Promise<void> =>
  writeFile(join(directory, 'container'), JSON.stringify(record))
export const readRecord = (directory: string): Promise<ContainerRecord | undefined> => readJson(join(directory, 'container'))

/** What the disk and the kernel tell of a container; undefined when there is no trace of it. */
export async function readStatus(directory: string): Promise<ContainerStatus | undefined> {
  const [container, started] = await Promise.all([readRecord(directory), readJson<ProcessRecord>(join(directory, 'process'))])
  if (container === undefined) return undefined
  const { id } = container
  if (started === undefined) return { id, state: 'created' }
  const startedAt = new Date(started.startedAt)
  const status = async (): Promise<ContainerStatus | undefined> => {
    const exited = await readExit(directory, container)
    if (exited) return { id, startedAt, ...exited }
    if (!runs(started)) return undefined
    return waits(directory) ? { id, state: 'created', pid: started.pid } : { id, state: 'running', pid: started.pid, startedAt }
  }
  const known = await status()
  if (known) return known
  // The process is gone but its parent may be about to tell the exit code.
  if (shimPid(directory, id) !== undefined) await fileEvent(join(directory, 'run/exits', id), AbortSignal.timeout(SHIM_CHECK_MS))
  // Neither the process nor its parent is there: the node went down under it. containerd tells of such a container in the same way.
  return (await status()) ?? { id, state: 'exited', startedAt, finishedAt: new Date(), exitCode: 255, unseen: true }
}

const SHIM_CHECK_MS = 5_000

/** Resolves with the status once the container has exited; rejects when it was removed, or with the signal's reason. */
export async function waitForExit(directory: string, signal?: AbortSignal): Promise<ContainerStatus> {
  for (;;) {
    signal?.throwIfAborted()
    const container = await readRecord(directory)
    if (container === undefined) throw new Error(`container ${basename(directory)} was removed`)
    // Looked for first: it goes in its turn once the exit code is there.
    const shim = shimPid(directory, container.id)
    const status = await readStatus(directory)
    if (status?.state === 'exited') return status
    const exit = join(directory, 'run/exits', container.id)
    if (shim !== undefined) await fileOf(shim, exit, signal)
    else if (status?.state === 'running') await abandon(directory, container.id, status.pid!)
    else await fileEvent(exit, AbortSignal.any([AbortSignal.timeout(SHIM_CHECK_MS), ...(signal ? [signal] : [])]))
  }
}

/** A container whose shim was killed has nobody to read its output or to learn its exit code: it ends, as if killed. */
async function abandon(directory: string, id: string, pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // already gone
  }
  await mkdir(join(directory, 'run/exits'), { recursive: true })
  await writeFile(join(directory, 'run/exits', id), '137')
}

async function readExit(directory: string, { id, cgroup }: ContainerRecord): Promise<Omit<ContainerStatus, 'id'> | undefined> {
  const file = join(directory, 'run/exits', id)
  const [text, written, oom] = await Promise.all([
    readFile(file, 'utf8').catch(() => ''),
    stat(file).catch(() => undefined),
    stat(join(directory, 'oom')).catch(() => undefined),
  ])
  if (written === undefined || text.trim() === '') return undefined
  const kills = await oomKills(cgroup)
  const oomKilled = kills === undefined ? oom !== undefined : kills > 0
  return { state: 'exited', finishedAt: written.mtime, exitCode: Number(text), ...(oomKilled ? { oomKilled } : {}) }
}

/** The pid of the container's conmon, undefined when it is gone. */
export function shimPid(directory: string, id: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(directory, 'run/conmon.pid'), 'utf8'))
    // A pid that was taken by another process has another command line.
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(id) ? pid : undefined
  } catch {
    return undefined
  }
}

const runs = (started: ProcessRecord): boolean => started.startTime !== undefined && processStartTime(started.pid) === started.startTime

async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T
  } catch {
    return undefined
  }
}
