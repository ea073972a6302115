/**
 * Resolves when the file is there or its directory is gone, at the latest when the signal aborts. Whoever should make it may be killed
 * first: callers look again now and then.
 */
import { existsSync, watch, type FSWatcher } from 'node:fs'
import { dirname } from 'node:path'

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
