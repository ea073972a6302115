/**
 * When requests are begun. Beginning one takes a millisecond of computing, and thousands may arrive together: they are begun a few
 * milliseconds at a time, so that between them the event loop can read what goes before them, and answers can leave; and those of each
 * identity in turn, so that a flood of one delays nobody else. What waits is bounded: until a request is begun nobody has asked what it may.
 */

/** How long requests are begun in one turn of the event loop, ms. */
const turnMs = 5
/** What waits of one identity: requests, and bytes of their bodies. */
const maxRequests = 5_000
const maxBytes = 32 << 20
/** What has been begun is dropped from the front of the array when it is that much and half of it. */
const compactAt = 1024

export interface Turns {
  /** Calls `begin`, which must not throw, in its turn. False when too much of that identity waits already. */
  add(identity: string, bytes: number, begin: () => void): boolean
}

interface Waiting {
  readonly bytes: number
  readonly begin: () => void
}
/** Those of one identity, in order, from `head` on. */
interface Flow {
  readonly identity: string
  queue: Waiting[]
  head: number
  bytes: number
}

export function newTurns(): Turns {
  const flows = new Map<string, Flow>()
  let scheduled = false

  /** Begins one request of each flow. */
  function round(end: number): void {
    for (const flow of flows.values()) {
      const { bytes, begin } = flow.queue[flow.head++]!
      flow.bytes -= bytes
      if (flow.head === flow.queue.length) flows.delete(flow.identity)
      else if (flow.head >= compactAt && flow.head * 2 >= flow.queue.length) {
        flow.queue = flow.queue.slice(flow.head)
        flow.head = 0
      }
      begin()
      if (performance.now() < end) continue
      // The next turn goes on with the next flow: a Map is walked in the order of its entries.
      if (flows.delete(flow.identity)) flows.set(flow.identity, flow)
      return
    }
  }
  function turn(): void {
    const end = performance.now() + turnMs
    do round(end)
    while (flows.size > 0 && performance.now() < end)
    scheduled = flows.size > 0
    if (scheduled) setImmediate(turn)
  }
  return {
    add(identity, bytes, begin) {
      let flow = flows.get(identity)
      if (flow && (flow.queue.length - flow.head >= maxRequests || flow.bytes + bytes > maxBytes)) return false
      if (!flow) flows.set(identity, (flow = { identity, queue: [], head: 0, bytes: 0 }))
      flow.queue.push({ bytes, begin })
      flow.bytes += bytes
      if (!scheduled) {
        scheduled = true
        setImmediate(turn)
      }
      return true
    },
  }
}
