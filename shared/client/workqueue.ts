/**
 * A queue of keys as client-go's: a key waits once however often it is added, is handed to one worker at a time, and comes again after
 * `done` when it was added meanwhile.
 */
export interface WorkQueue {
  add(key: string): void
  /** Adds later; of several the earliest counts. */
  addAfter(key: string, ms: number): void
  /** Adds after the key's back-off: 5 ms, doubled each time up to 1000 s. */
  addRateLimited(key: string): void
  /** The key's back-off starts again. */
  forget(key: string): void
  requeues(key: string): number
  /** The next key; undefined after shutdown. */
  next(): Promise<string | undefined>
  done(key: string): void
  shutDown(): void
  readonly length: number
}

const longestTimer = 2 ** 31 - 1

export function workQueue(baseMs = 5, limitMs = 1_000_000): WorkQueue {
  const waiting = new Set<string>() // in order
  const processing = new Set<string>()
  const dirty = new Set<string>() // added while processed
  const timers = new Map<string, { at: number; timer: NodeJS.Timeout }>()
  const failures = new Map<string, number>()
  const takers: ((key: string | undefined) => void)[] = []
  let down = false

  function hand(): void {
    while (takers.length && waiting.size) {
      const key: string = waiting.values().next().value!
      waiting.delete(key)
      processing.add(key)
      takers.shift()!(key)
    }
  }
  function add(key: string): void {
    if (down) return
    if (processing.has(key)) dirty.add(key)
    else {
      waiting.add(key)
      hand()
    }
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
      const n = failures.get(key) ?? 0
      failures.set(key, n + 1)
      addAfter(key, Math.min(baseMs * 2 ** n, limitMs))
    },
    forget: key => void failures.delete(key),
    requeues: key => failures.get(key) ?? 0,
    next() {
      return new Promise(resolve => {
        if (down) return resolve(undefined)
        takers.push(resolve)
        hand()
      })
    },
    done(key) {
      processing.delete(key)
      if (dirty.delete(key)) add(key)
    },
    shutDown() {
      down = true
      for (const { timer } of timers.values()) clearTimeout(timer)
      timers.clear()
      waiting.clear()
      for (const take of takers.splice(0)) take(undefined)
    },
    get length() {
      return waiting.size
    },
  }
}
