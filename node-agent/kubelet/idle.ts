/** Tells when nothing has been going on for a moment: the time for what can wait. */

export interface Activity {
  begin(): void
  end(): void
}

/** Calls `onIdle` when every `begin` has had its `end` for `ms`; for the first time `firstMs` from now. */
export function watchActivity(ms: number, firstMs: number, onIdle: () => void, signal: AbortSignal): Activity {
  let under = 0
  let timer: NodeJS.Timeout | undefined
  const wait = (duration: number): void => {
    clearTimeout(timer)
    if (!signal.aborted) timer = setTimeout(onIdle, duration)
  }
  wait(firstMs)
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true })
  return {
    begin() {
      under++
      clearTimeout(timer)
    },
    end() {
      if (--under === 0) wait(ms)
    },
  }
}
