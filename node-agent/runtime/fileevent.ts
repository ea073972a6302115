/**
 * Resolves when the file is there or its directory is gone, at the latest when the signal aborts. Whoever should make it may be killed
 * first: callers look again now and then.
 */
import { existsSync, watch, type FSWatcher } from 'node:fs'
import { dirname } from 'node:path'
import { whenGone } from './gone.ts'

export function fileEvent(file: string, signal: AbortSignal): Promise<void> {
  const directory = dirname(file)
  return new Promise(resolve => {
    const done = (): void => {
      signal.removeEventListener('abort', done)
      watcher?.close()
      resolve()
    }
    let watcher: FSWatcher | undefined
    signal.addEventListener('abort', done)
    try {
      // Who makes it writes beside it and renames: only the name itself tells.
      watcher = watch(directory, () => (existsSync(file) || !existsSync(directory)) && done()).on('error', done)
      // It may have come before the watch.
      if (existsSync(file) || signal.aborted) done()
    } catch {
      done()
    }
  })
}

/**
 * As `fileEvent`, of a file that a process makes, of which it is known that it runs: it resolves, too, some seconds after that has gone.
 */
export async function fileOf(pid: number, file: string, signal: AbortSignal | undefined): Promise<void> {
  const ended = new AbortController()
  const forget = whenGone(pid, () => ended.abort())
  const abort = (): void => ended.abort()
  signal?.addEventListener('abort', abort, { once: true })
  try {
    await fileEvent(file, ended.signal)
  } finally {
    forget()
    signal?.removeEventListener('abort', abort)
  }
}
