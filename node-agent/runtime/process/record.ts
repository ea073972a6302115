/**
 * What lies in a container's directory, and what it tells:
 *
 *     root/          where the container's process starts; its volumes are links in it
 *     launch.json    what the shim is to start
 *     shim           {pid, startTime} of the shim, before it is told of the directory
 *     process        {pid, startTime, startedAt}, written by the shim as soon as the process exists
 *     exit           {exitCode, signal?, finishedAt}, written by the shim when it has ended
 *     attach         the shim's socket for standard input, when the container has one
 *     terminal       the path of its terminal, when it has one
 *     shim.log       what the shim had to say
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { processStartTime } from '#shared/component/processes.ts'
import type { ContainerStatus } from '../runtime.ts'

export interface Launch {
  id: string
  /** The command line; the first is the path of a program. */
  args: string[]
  env: Record<string, string>
  cwd: string
  logPath: string
  tty: boolean
  stdin: boolean
  stdinOnce: boolean
  /** The path of the pod's network namespace, or 'node'. */
  namespace: string
  /** Its control group, absolute below the cgroup root; absent without the right to make one. */
  cgroup?: string
}
interface Process {
  pid: number
  startTime?: number | undefined
}
export interface Started extends Process {
  startedAt: string
}
export interface Ended {
  exitCode: number
  signal?: number
  finishedAt: string
}

/** A file of the directory, parsed; undefined when there is none. */
export function readEntry<T>(directory: string, name: string): T | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, name), 'utf8')) as T
  } catch {
    return undefined
  }
}

/** Readers see the whole of it or nothing. The environment may hold secrets. */
export function writeEntry(directory: string, name: string, value: Launch | Process | Started | Ended): void {
  writeFileSync(join(directory, `${name}.new`), JSON.stringify(value), { mode: 0o600 })
  renameSync(join(directory, `${name}.new`), join(directory, name))
}

/** Sets space aside for an entry that must be written later, also on a full disk: `fillEntry` writes it then. */
export const reserveEntry = (directory: string, name: string): void =>
  writeFileSync(join(directory, `${name}.new`), ' '.repeat(256), { mode: 0o600 })
export function fillEntry(directory: string, name: string, value: Ended): void {
  writeFileSync(join(directory, `${name}.new`), JSON.stringify(value), { flag: 'r+' })
  renameSync(join(directory, `${name}.new`), join(directory, name))
}

export const runs = (entry: Process | undefined): boolean =>
  entry?.startTime !== undefined && processStartTime(entry.pid) === entry.startTime

/** The shim's pid; undefined when it is gone. */
export function shimPid(directory: string): number | undefined {
  const shim = readEntry<Process>(directory, 'shim')
  return runs(shim) ? shim!.pid : undefined
}

/** What the disk and the system tell of a container; undefined when there is no trace of it. */
export function readStatus(directory: string): ContainerStatus | undefined {
  const launch = readEntry<Launch>(directory, 'launch.json')
  if (launch === undefined) return undefined
  const { id } = launch
  const started = readEntry<Started>(directory, 'process')
  if (started === undefined) return { id, state: 'created' }
  const startedAt = new Date(started.startedAt)
  const exited = (): ContainerStatus | undefined => {
    const end = readEntry<Ended>(directory, 'exit')
    return (
      end && {
        id,
        state: 'exited',
        startedAt,
        finishedAt: new Date(end.finishedAt),
        exitCode: end.exitCode,
        ...(end.signal === undefined ? {} : { signal: end.signal }),
      }
    )
  }
  const known = exited()
  if (known) return known
  // The shim is about to tell how it ended: until then it has not.
  if (runs(started) || shimPid(directory) !== undefined) return { id, state: 'running', pid: started.pid, startedAt }
  // Nobody is left to tell. containerd tells of such a container in the same way.
  return exited() ?? { id, state: 'exited', startedAt, finishedAt: new Date(), exitCode: 255, unseen: true }
}
