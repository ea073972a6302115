/** Growing delays per key, as client-go's flowcontrol.Backoff: doubled each time, forgotten after twice the longest delay without use. */

export interface DelaySettings {
  initialMs: number
  maxMs: number
}
export const crashLoop: DelaySettings = { initialMs: 10_000, maxMs: 300_000 }
/** One that never waits for longer does not begin with more. */
export const upTo = (maxMs: number, { initialMs }: DelaySettings): DelaySettings => ({ initialMs: Math.min(initialMs, maxMs), maxMs })
export const imagePull: DelaySettings = { initialMs: 10_000, maxMs: 300_000 }

export interface Delay {
  delayMs: number
  /** When it last grew, ms of the epoch. */
  updatedAt: number
}

const forgotten = (delay: Delay, at: number, { maxMs }: DelaySettings): boolean => at - delay.updatedAt > 2 * maxMs

/** Milliseconds still to wait after something failed at `eventAt`; 0 when it may be tried now. */
export function remaining(delay: Delay | undefined, eventAt: number, now: number, settings: DelaySettings): number {
  if (!delay || forgotten(delay, eventAt, settings)) return 0
  return Math.max(0, eventAt + delay.delayMs - now)
}

/** The delay that the next failure will have to wait. */
export function grow(delay: Delay | undefined, now: number, settings: DelaySettings): Delay {
  const fresh = !delay || forgotten(delay, now, settings)
  return { delayMs: fresh ? settings.initialMs : Math.min(delay.delayMs * 2, settings.maxMs), updatedAt: now }
}
