/** How a component tells its supervisor that it is ready, and how it stops. */

import { flushCompileCache } from 'node:module'

/**
 * Tells the supervisor, when there is one on the other end of an IPC channel; then keeps the compiled code for the next start, since a
 * killed process never does.
 */
export function ready(): void {
  setImmediate(flushCompileCache)
  if (process.send) process.send('ready', undefined, {}, () => {})
}

/** Aborts on SIGTERM and SIGINT; a second signal exits at once. */
export function untilTerminated(): AbortSignal {
  const stop = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => (stop.signal.aborted ? process.exit(1) : stop.abort()))
  // Without a listener of its own, losing the supervisor must not end the component.
  process.on('disconnect', () => {})
  return stop.signal
}

/**
 * Exit code of a process that would end the same way again until somebody changes something: its supervisor says so at once (EX_CONFIG).
 */
export const hopelessExitCode = 78
