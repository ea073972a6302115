/** When a volume whose mount failed is tried again, and whether the pod's owner hears of it. */
import { grow } from '../container/backoff.ts'
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
  delayMs: number
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
  // A try may last for longer than any wait: what came before it is not forgotten for that.
  const { delayMs } = grow(before && { ...before, updatedAt: now }, now, { initialMs: firstMs, maxMs: limit })
  const since = before?.since ?? now
  const tell = !(cause instanceof NotYetError) || now - since >= patienceMs
  return { message, delayMs, at: now + delayMs, shows, since: tell ? now : since, tell }
}
