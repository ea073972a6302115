/** What ends a supervisor. */
import { fstatSync } from 'node:fs'

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
