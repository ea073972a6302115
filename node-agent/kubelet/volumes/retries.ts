/** When a volume whose mount failed is tried again, and whether the pod's owner hears of it. */
import { NotYetError, UnresolvedError } from './plugin.ts'

/** Upstream's pkg/util/goroutinemap/exponentialbackoff: each operation that fails waits 500 ms, and twice as long each time after. */
const firstMs = 500
const lastMs = 122_000
/** What comes by itself, mostly within a second, and costs nobody anything to ask for. */
const notYetMs = 5_000
/** Upstream's pod workers look again after 10 s at a pod whose claims are not what they should be. */
const unresolvedMs = 10_000
/** As long as upstream's kubelet waits for volumes before it says so. */
const patienceMs = 123_000

/** A volume whose last try failed. */
export interface Failing {
  message: string
  /** How long it waits, and until when (ms of the epoch). */
  waitMs: number
  at: number
  /** What the pod's volumes had to show at that try. */
  shows: string
  /** Since when it waits for what comes by itself, or when that was last told. */
  since: number
  /** This try is an event's matter. */
  tell: boolean
}

export const isDue = (failing: Failing | undefined, shows: string, now: number): boolean =>
  !failing || now >= failing.at || failing.shows !== shows

/** After one more try that failed. */
export function failedAgain(before: Failing | undefined, { message, cause }: Error, shows: string, now: number): Failing {
  const limit = cause instanceof NotYetError ? notYetMs : cause instanceof UnresolvedError ? unresolvedMs : lastMs
  const waitMs = Math.min(before ? before.waitMs * 2 : firstMs, limit)
  const since = before?.since ?? now
  const tell = !(cause instanceof NotYetError) || now - since >= patienceMs
  return { message, waitMs, at: now + waitMs, shows, since: tell ? now : since, tell }
}
