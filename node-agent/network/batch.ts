/** Many small requests as few large ones: what comes while one is under way goes together in the next. */

/** `work` is never called twice at a time; when it rejects, so does each of its items. */
export function batched<T>(work: (items: T[]) => Promise<void>): (item: T) => Promise<void> {
  let waiting: T[] = []
  let next: Promise<void> | undefined
  let last: Promise<unknown> = Promise.resolve()
  const runNext = (): Promise<void> => {
    const items = waiting
    waiting = []
    next = undefined
    return work(items)
  }
  return item => {
    waiting.push(item)
    if (!next) last = next = last.then(runNext, runNext)
    return next
  }
}
