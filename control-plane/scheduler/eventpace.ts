/**
 * When Events may be written beside bindings: nobody waits for an event, and each costs as much as a binding. While pods are bound, as many
 * as upstream's scheduler sends by its client's default of 50 requests a second and 100 at once (`clientConnection`); all when none is.
 */
import type { Slots } from './slots.ts'

const perSecond = 50
const atOnce = 100

/** Made for each scheduler. What it gives resolves when one more event may be written, after `maxMs` at the latest. */
export function eventPace(slots: Slots, now: () => number = () => performance.now()): (maxMs: number) => Promise<void> {
  /** Below zero: so many have their turn already and wait for it. */
  let tokens = atOnce
  let at = now()
  return async maxMs => {
    const clock = now()
    tokens = Math.min(atOnce, tokens + ((clock - at) * perSecond) / 1000)
    at = clock
    if (tokens >= 1) return void tokens--
    if (slots.quiet || maxMs <= 0) return
    tokens--
    if (await slots.idle(Math.min(maxMs, (-tokens * 1000) / perSecond))) tokens++
  }
}
