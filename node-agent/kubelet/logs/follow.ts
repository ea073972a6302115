/** Waits for a file, or for what is in a directory, to change: inotify, armed before the caller looks, so that nothing is missed. */
import { watch } from 'node:fs'

export interface FileWatch {
  /** Resolves when something has changed since the last time it resolved, or when `signal` aborts. */
  changed(): Promise<void>
  close(): void
}

export function watchDirectory(directory: string, signal: AbortSignal): FileWatch {
  let dirty = false
  let wake: (() => void) | undefined
  const mark = (): void => {
    dirty = true
    wake?.()
  }
  const watcher = watch(directory, mark)
  // The directory was removed: the reader will see for itself.
  watcher.on('error', mark)
  signal.addEventListener('abort', mark, { once: true })
  return {
    async changed() {
      if (!dirty && !signal.aborted) await new Promise<void>(resolve => (wake = resolve))
      wake = undefined
      dirty = false
    },
    close: () => watcher.close(),
  }
}
