/**
 * JSON files that survive a SIGKILL at once and a power loss as a whole, and cost the event loop no fsync (3 ms each, several a pod). A new
 * version is `<name>.new`, complete from the moment it has that name; it becomes `<name>` when the disk has it. A reader prefers `.new`
 * unless a power loss tore it.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { logger } from '#shared/component/log.ts'

const log = logger('kubelet')

/** Files whose last version is not known to be on disk, and how often they were written meanwhile. */
const unsynced = new Map<string, number>()

/** One at a time: an fsync holds one of the few threads on which all else of the file system is done. */
let turn = Promise.resolve()

/** Throws when there is no space, and nothing has changed then. */
export function writeDurable(path: string, value: unknown): void {
  writeFileSync(`${path}.tmp`, JSON.stringify(value), { mode: 0o600 })
  renameSync(`${path}.tmp`, `${path}.new`)
  const writes = unsynced.get(path)
  unsynced.set(path, (writes ?? 0) + 1)
  if (writes === undefined) turn = turn.then(() => sync(path))
}

async function sync(path: string): Promise<void> {
  for (;;) {
    const writes = unsynced.get(path)
    try {
      const file = await open(`${path}.new`)
      await file.sync().finally(() => file.close())
      // A version that came meanwhile is not on disk.
      if (unsynced.get(path) !== writes) continue
      renameSync(`${path}.new`, path)
    } catch {
      // Its directory is gone, or the disk fails: `.new` is read as long as it is whole.
    }
    unsynced.delete(path)
    return
  }
}

/** Undefined when there is none, or none that is whole. */
export function readDurable<T>(path: string): T | undefined {
  try {
    return readWhole<T>(path)
  } catch (e) {
    const { message } = e as Error
    if (told.get(path) !== message) log.warn({ path, err: message }, 'what the node remembered here cannot be read, and counts as absent')
    if (told.size >= maxTold) told.clear()
    told.set(path, message)
    return undefined
  }
}
/** What was said of files that cannot be read. Of more than so many it is said again. */
const told = new Map<string, string>()
const maxTold = 1_000

/** The file is there and is not what was written. */
export class CorruptError extends Error {}

/** Undefined when there is none. Throws CorruptError when none that is there is whole, and the system's error when one cannot be read. */
export function readWhole<T>(path: string): T | undefined {
  let torn: Error | undefined
  for (const candidate of [`${path}.new`, path]) {
    try {
      return JSON.parse(readFileSync(candidate, 'utf8')) as T
    } catch (e) {
      const { code, message } = e as NodeJS.ErrnoException
      if (e instanceof SyntaxError) torn = new CorruptError(`${candidate} is corrupt: ${message}`)
      else if (code !== 'ENOENT' && code !== 'ENOTDIR') throw e
    }
  }
  if (torn) throw torn
  return undefined
}

/** In one go: a new version that is about to have the name, as the disk has it, does not come back by that. */
export function removeDurable(path: string): void {
  for (const version of [`${path}.tmp`, `${path}.new`, path]) rmSync(version, { force: true })
}
