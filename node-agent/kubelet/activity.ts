/** Whether pods are being worked on: what can wait, waits for a moment without. */

export interface Activity {
  /** A worker begins a step; each needs its `end`. */
  begin(): void
  end(): void
  /** Resolves when nothing is under way, after `maxMs` whatever happens. */
  quiet(maxMs: number): Promise<void>
  /** Has `work` done whenever nothing has been under way for `ms`; for the first time after `firstMs`. */
  whenIdle(ms: number, firstMs: number, work: () => void, signal: AbortSignal): void
}

export function newActivity(): Activity {
  let under = 0
  let waiting: (() => void)[] = []
  const watchers = new Set<{ busy(): void; idle(): void }>()
  return {
    begin() {
      under++
      for (const w of watchers) w.busy()
    },
    end() {
      if (--under > 0) return
      for (const resolve of waiting) resolve()
      waiting = []
      for (const w of watchers) w.idle()
    },
    async quiet(maxMs) {
      if (under === 0 || maxMs <= 0) return
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, maxMs)
        waiting.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    },
    whenIdle(ms, firstMs, work, signal) {
      let timer = setTimeout(work, firstMs)
      const watcher = {
        busy: () => clearTimeout(timer),
        idle() {
          clearTimeout(timer)
          timer = setTimeout(work, ms)
        },
      }
      watchers.add(watcher)
      signal.addEventListener('abort', () => (watchers.delete(watcher), clearTimeout(timer)), { once: true })
    },
  }
}
