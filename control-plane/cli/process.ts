/** Processes of the cluster as files remember them: a pid is only ours together with its start time, since pids are used again. */
import { readFileSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import * as z from 'zod'
import { processStartTime } from '#shared/component/processes.ts'
import { writeAtomically, type StateDir } from './state.ts'

export const recordSchema = z.object({
  pid: z.number().int().positive(),
  /** With the pid, names a process for ever. */
  startTime: z.number(),
  /** For a node: the `starts` of its record that this process answers. */
  starts: z.number().optional(),
})
export type ProcessRecord = z.infer<typeof recordSchema>

/** The supervisor that `cox up` is; recorded under this name. */
export const supervisorProcess = 'cox'

const recordFile = (dir: StateDir, name: string): string => path.join(dir.run, `${name}.json`)

export const isAlive = (record: ProcessRecord | undefined): record is ProcessRecord =>
  record !== undefined && processStartTime(record.pid) === record.startTime

/** What the file says about a process, dead or alive; undefined when there is no readable record. */
export function readRecord(dir: StateDir, name: string): ProcessRecord | undefined {
  try {
    return recordSchema.parse(JSON.parse(readFileSync(recordFile(dir, name), 'utf8')))
  } catch {
    return undefined
  }
}

export const recordOf = (pid: number): ProcessRecord => ({ pid, startTime: processStartTime(pid) ?? 0 })

export function writeRecord(dir: StateDir, name: string, pid: number, starts?: number): ProcessRecord {
  const record = { ...recordOf(pid), ...(starts === undefined ? {} : { starts }) }
  writeAtomically(recordFile(dir, name), JSON.stringify(record))
  return record
}

/** The names of all processes on record, dead or alive, in order. */
export function recordedNames(dir: StateDir): string[] {
  try {
    return readdirSync(dir.run)
      .flatMap(file => (file.endsWith('.json') ? [file.slice(0, -'.json'.length)] : []))
      .sort()
  } catch {
    return []
  }
}

export const forgetRecord = (dir: StateDir, name: string): void => rmSync(recordFile(dir, name), { force: true })

/** Removes a record, unless it is of another process by now. */
export function forgetProcess(dir: StateDir, name: string, { pid, startTime }: ProcessRecord): void {
  const record = readRecord(dir, name)
  if (record?.pid === pid && record.startTime === startTime) forgetRecord(dir, name)
}

/** Resolves when a process that is not our child has gone. The kernel tells only parents, so this looks, four times a second. */
export async function untilGone(record: ProcessRecord, timeoutMs = Infinity, signal?: AbortSignal): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  while (isAlive(record) && !signal?.aborted) {
    if (Date.now() >= deadline) return false
    await delay(timeoutMs < 60_000 ? 20 : 250)
  }
  return !isAlive(record)
}

/** SIGTERM, then SIGKILL after `graceMs`; resolves when the process is gone. */
export async function terminate(record: ProcessRecord | undefined, graceMs: number): Promise<void> {
  if (!isAlive(record)) return
  kill(record, 'SIGTERM')
  if (await untilGone(record, graceMs)) return
  kill(record, 'SIGKILL')
  await untilGone(record, 5000)
}

/** Signals the process when it is still the one recorded. */
export function kill(record: ProcessRecord | undefined, signal: NodeJS.Signals): boolean {
  if (!isAlive(record)) return false
  try {
    process.kill(record.pid, signal)
    return true
  } catch {
    return false
  }
}

/** Ends a process, which has `graceMs` for that, and forgets it. */
export async function end(dir: StateDir, name: string, graceMs = 5000): Promise<void> {
  await terminate(readRecord(dir, name), graceMs)
  forgetRecord(dir, name)
}
