/**
 * What drivers have refused for good, by the uid of its claim. It is asked again after a while, as it may have become possible.
 * csi-lib-utils slowset
 */

export interface Refusals {
  /** Refused just now. */
  add(uid: string): void
  /** Whether a refusal holds. One that is over is forgotten by that. */
  holds(uid: string): boolean
  /** When to look again at one that is known; undefined without one. */
  againMs(uid: string): number | undefined
  forget(uid: string): void
}

/** `waitMs` is how long a refusal holds. */
export function refusals(waitMs: number): Refusals {
  const until = new Map<string, number>()
  return {
    add: uid => void until.set(uid, performance.now() + waitMs),
    holds(uid) {
      if ((until.get(uid) ?? 0) > performance.now()) return true
      until.delete(uid)
      return false
    },
    againMs(uid) {
      const at = until.get(uid)
      return at === undefined ? undefined : Math.max(1, at - performance.now())
    },
    forget: uid => void until.delete(uid),
  }
}
