/**
 * What drivers have refused for good, by the uid of its claim, or have not answered, by who was asked. It is asked again after a while, as
 * it may have become possible. csi-lib-utils slowset
 */

export interface Refusals {
  /** Refused just now. */
  add(key: string): void
  /** Whether a refusal holds. One that is over is forgotten by that. */
  holds(key: string): boolean
  /** When to look again at one that is known; undefined without one. */
  againMs(key: string): number | undefined
  forget(key: string): void
}

/** `waitMs` is how long a refusal holds. */
export function refusals(waitMs: number): Refusals {
  const until = new Map<string, number>()
  return {
    add: key => void until.set(key, performance.now() + waitMs),
    holds(key) {
      if ((until.get(key) ?? 0) > performance.now()) return true
      until.delete(key)
      return false
    },
    againMs(key) {
      const at = until.get(key)
      return at === undefined ? undefined : Math.max(1, at - performance.now())
    },
    forget: key => void until.delete(key),
  }
}
