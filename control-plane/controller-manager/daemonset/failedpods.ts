/** How fast failed pods of daemon sets are replaced: a second, doubled with each more up to a quarter of an hour. */
const baseMs = 1000
const limitMs = 900_000
/** What has not failed for so long is forgotten. */
const forgetMs = 2 * limitMs

export interface FailedPods {
  /** How long the pod of this place is to stay still, in ms; 0 lets it go now, and the next one will stay longer. */
  hold(place: string): number
}

export function failedPods(clock: () => number = () => performance.now()): FailedPods {
  /** By place, in the order of the last failure. */
  const places = new Map<string, { at: number; delayMs: number }>()
  return {
    hold(place) {
      const now = clock()
      for (const [old, { at }] of places) {
        if (now - at <= forgetMs) break
        places.delete(old)
      }
      const last = places.get(place)
      if (last && now < last.at + last.delayMs) return last.at + last.delayMs - now
      places.delete(place)
      places.set(place, { at: now, delayMs: last ? Math.min(last.delayMs * 2, limitMs) : baseMs })
      return 0
    },
  }
}
