/**
 * client-go's rate-limiting work queue (k8s.io/client-go/util/workqueue): a key waits once however often it is added, is handed to one
 * worker at a time, and comes again after `done` when it was added meanwhile.
 */
import { histogram, type Histogram } from '../component/histogram.ts'

export interface WorkQueue {
  add(key: string): void
  /** Adds later; of several the earliest counts. */
  addAfter(key: string, ms: number): void
  /** Adds after the key's back-off or when the queue's overall rate allows it, whichever is later. */
  addRateLimited(key: string): void
  /** The key's back-off starts again. */
  forget(key: string): void
  requeues(key: string): number
  /** The next key; undefined after shutdown. */
  next(): Promise<string | undefined>
  done(key: string): void
  shutDown(): void
  readonly length: number
  readonly statistics: QueueStatistics
}

/** What is counted of a queue; times in seconds, upstream's buckets. */
export interface QueueStatistics {
  readonly adds: number
  readonly retries: number
  /** From being added to being handed to a worker. */
  readonly queued: Histogram
  /** From being handed to a worker to `done`. */
  readonly worked: Histogram
  /** When (performance.now()) the keys that are with a worker were handed out. */
  handedOut(): number[]
}

export interface QueueOptions {
  /** Back-off of a key: this long after its first failure, doubled with each more, never longer than `limitMs`. Default 5 ms, 1000 s. */
  baseMs?: number
  limitMs?: number
  /** Retries of all keys together: `burst` at once, then `perSecond`. Default 100 and 10, as upstream's. */
  perSecond?: number
  burst?: number
}

const longestTimer = 2 ** 31 - 1
/** Upstream's: ten times larger each, from 10 ns to 1000 s. */
const bounds = Array.from({ length: 12 }, (_, i) => 10 ** (i - 8))

/** A key that is with a worker. */
interface Work {
  readonly key: string
  /** performance.now() when it was handed out. */
  readonly since: number
  /** When it was added meanwhile. */
  again: number | undefined
}

export function workQueue({ baseMs = 5, limitMs = 1_000_000, perSecond = 10, burst = 100 }: QueueOptions = {}): WorkQueue {
  /** In order, with performance.now() when each was added. */
  const waiting = new Map<string, number>()
  /** Goes on with what is added later, and passes over what was taken once only: a new one looks at all of that again. */
  let order = waiting.entries()
  /** As many as there are workers. */
  const working: Work[] = []
  const timers = new Map<string, { at: number; timer: NodeJS.Timeout }>()
  const failures = new Map<string, number>()
  let takers: ((key: string | undefined) => void)[] = []
  const counts = { adds: 0, retries: 0, queued: histogram(bounds), worked: histogram(bounds) }
  const overall = bucket(perSecond, burst, limitMs)
  let down = false

  function take(): string {
    let next = order.next()
    if (next.done) next = (order = waiting.entries()).next()
    const [key, added] = next.value!
    const since = performance.now()
    counts.queued.observe((since - added) / 1000)
    waiting.delete(key)
    working.push({ key, since, again: undefined })
    return key
  }
  function enqueue(key: string, since: number): void {
    waiting.set(key, since)
    if (takers.length) takers.shift()!(take())
  }
  function add(key: string): void {
    if (down || waiting.has(key)) return
    const work = working.find(w => w.key === key)
    if (work?.again !== undefined) return
    counts.adds++
    const now = performance.now()
    if (work) work.again = now
    else enqueue(key, now)
  }
  function addAfter(key: string, ms: number): void {
    if (down) return
    if (ms <= 0) return add(key)
    const at = performance.now() + ms
    const old = timers.get(key)
    if (old && old.at <= at) return
    clearTimeout(old?.timer)
    const timer = setTimeout(
      () => {
        timers.delete(key)
        const left = at - performance.now()
        if (left > 1) addAfter(key, left)
        else add(key)
      },
      Math.min(ms, longestTimer),
    )
    timers.set(key, { at, timer })
  }
  return {
    add,
    addAfter,
    addRateLimited(key) {
      if (down) return
      const n = failures.get(key) ?? 0
      failures.set(key, n + 1)
      counts.retries++
      addAfter(key, Math.max(Math.min(baseMs * 2 ** n, limitMs), overall(performance.now())))
    },
    forget: key => void failures.delete(key),
    requeues: key => failures.get(key) ?? 0,
    next: () =>
      new Promise(resolve => {
        if (down) resolve(undefined)
        else if (waiting.size > 0) resolve(take())
        else takers.push(resolve)
      }),
    done(key) {
      const at = working.findIndex(w => w.key === key)
      if (at < 0) return
      const { since, again } = working[at]!
      working[at] = working.at(-1)!
      working.pop()
      counts.worked.observe((performance.now() - since) / 1000)
      if (again !== undefined && !down) enqueue(key, again)
    },
    shutDown() {
      down = true
      for (const { timer } of timers.values()) clearTimeout(timer)
      timers.clear()
      failures.clear()
      waiting.clear()
      const left = takers
      takers = []
      for (const resolve of left) resolve(undefined)
    },
    get length() {
      return waiting.size
    },
    statistics: {
      get adds() {
        return counts.adds
      },
      get retries() {
        return counts.retries
      },
      queued: counts.queued,
      worked: counts.worked,
      handedOut: () => working.map(w => w.since),
    },
  }
}

/** A token bucket that lends: each call takes a token and says in how many ms it is there, `limitMs` at most. */
function bucket(perSecond: number, burst: number, limitMs: number): (now: number) => number {
  let tokens = burst
  let then = performance.now()
  // What lies further ahead than the limit is not promised: a storm of failures must not slow the queue down for hours.
  const most = (limitMs / 1000) * perSecond
  return now => {
    tokens = Math.min(burst, tokens + ((now - then) / 1000) * perSecond)
    then = now
    tokens = Math.max(tokens - 1, -most)
    return tokens >= 0 ? 0 : (-tokens / perSecond) * 1000
  }
}
