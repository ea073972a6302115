/** What ends a supervisor. */
import { closeSync, existsSync, fstatSync, openSync, statSync, watch } from 'node:fs'
import path from 'node:path'
import type { StateDir } from './state.ts'

/**
 * Aborts on SIGINT, SIGTERM and SIGHUP; with `exitWithParent` also when standard input ends, a pipe or socket that its parent holds the
 * other end of. Throws when it is none: then nobody would notice the parent's end.
 */
export function untilStopped(exitWithParent = false): AbortSignal {
  const stop = new AbortController()
  const end = (): void => stop.abort()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, end)
  if (exitWithParent) {
    const input = fstatSync(0)
    if (!input.isFIFO() && !input.isSocket())
      throw new Error('--exit-with-parent wants a pipe as standard input: that it closes says that the parent has ended')
    process.stdin.on('end', end).on('close', end).on('error', end).resume()
    // While it is read, the process does not end.
    stop.signal.addEventListener('abort', () => process.stdin.destroy(), { once: true })
  }
  return stop.signal
}

/** Calls `removed` once when a cluster's state directory, or what it is in it, is gone from its place; returns how to stop looking. */
export function onRemoved({ root, cluster }: StateDir, removed: () => void): () => void {
  // As long as it is open no other directory has its number.
  const held = openSync(root, 'r')
  const own = fstatSync(held)
  const isSame = (): boolean => {
    const found = statSync(root, { throwIfNoEntry: false })
    return found?.ino === own.ino && found.dev === own.dev
  }
  const watcher = watch(root, (_, file) => {
    // A new cluster has no such file yet; one that changes it puts a new one in its place.
    if (file !== path.basename(cluster) && file !== path.basename(root)) return
    if (isSame() && (file !== path.basename(cluster) || existsSync(cluster))) return
    watcher.close()
    removed()
  })
  return () => {
    watcher.close()
    closeSync(held)
  }
}
