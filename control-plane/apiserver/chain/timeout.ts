/** How long a request may take: the `timeout` parameter, at most and by default 60 s. */
import { Bag, type Item } from '#shared/machinery/bag.ts'
import { parseDuration } from '#shared/machinery/duration.ts'
import { StatusError, badRequest } from '#shared/machinery/status.ts'

const defaultMs = 60_000
/** The request's time in ms. Throws 400 for a text that is no duration. */
export function timeoutOf(parameter: string | null): number {
  if (parameter === null || parameter === '') return defaultMs
  const ms = parseDuration(parameter)
  if (ms === undefined)
    throw badRequest(`invalid timeout specified in the request URL - time: invalid duration ${JSON.stringify(parameter)}`)
  return ms <= 0 ? defaultMs : Math.min(ms, defaultMs)
}

const timedOut = (): StatusError =>
  new StatusError(504, 'Timeout', 'Timeout: request did not complete within requested timeout - context deadline exceeded', {})

interface Waiting extends Item {
  readonly until: number
  readonly reject: (e: Error) => void
}
// One timer for all requests: few ever get to their deadline, and a timer each costs more than many of them.
const waiting = new Bag<Waiting>()
const sweepMs = 100
let sweeper: NodeJS.Timeout | undefined

function sweep(): void {
  const now = performance.now()
  const { items } = waiting
  for (let i = items.length - 1; i >= 0; i--) {
    const w = items[i]!
    if (w.until > now) continue
    waiting.delete(w)
    w.reject(timedOut())
  }
  if (items.length > 0) return
  clearInterval(sweeper)
  sweeper = undefined
}

/**
 * The work's result, or 504 when it takes longer (give or take a tenth of a second). Work that fails later fails silently: its client has
 * its answer.
 */
export function deadline<T>(work: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const entry: Waiting = { at: -1, until: performance.now() + ms, reject }
    waiting.add(entry)
    sweeper ??= setInterval(sweep, sweepMs).unref()
    work.then(
      value => {
        waiting.delete(entry)
        resolve(value)
      },
      (error: unknown) => {
        waiting.delete(entry)
        reject(error as Error)
      },
    )
  })
}
