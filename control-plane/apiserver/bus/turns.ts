/**
 * When requests are begun. Beginning one takes a millisecond of computing, and hundreds may arrive together: they are begun a few
 * milliseconds at a time, so that between them the event loop can read what goes before them, and answers can leave.
 */

/** How long requests are begun in one turn of the event loop, ms. */
const turnMs = 5
/** What has been begun is dropped from the front of the array when it is that much and half of it. */
const compactAt = 1024

export interface Turns {
  /** Calls `begin` in its turn. It must not throw. */
  add(begin: () => void): void
}

export function newTurns(): Turns {
  /** Those from `head` on wait, in order. */
  let queue: (() => void)[] = []
  let head = 0
  let scheduled = false

  function turn(): void {
    const end = performance.now() + turnMs
    do queue[head++]!()
    while (head < queue.length && performance.now() < end)
    scheduled = head < queue.length
    if (scheduled) setImmediate(turn)
    if (!scheduled || (head >= compactAt && head * 2 >= queue.length)) {
      queue = scheduled ? queue.slice(head) : []
      head = 0
    }
  }
  return {
    add(begin) {
      queue.push(begin)
      if (scheduled) return
      scheduled = true
      setImmediate(turn)
    },
  }
}
