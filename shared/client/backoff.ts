/** Exponential back-off with jitter. */
import { setTimeout as after } from 'node:timers/promises'

export interface Backoff {
  /** The next delay in ms: doubled each time up to the limit, spread by up to half of it. */
  next(): number
  reset(): void
}
export function backoff(baseMs: number, limitMs: number): Backoff {
  let delay = baseMs
  return {
    next() {
      const now = delay
      delay = Math.min(delay * 2, limitMs)
      return now * (0.5 + Math.random() / 2)
    },
    reset() {
      delay = baseMs
    },
  }
}

/** Waits; resolves early, and never rejects, when `signal` aborts. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await after(ms, undefined, { signal }).catch(() => {})
}
