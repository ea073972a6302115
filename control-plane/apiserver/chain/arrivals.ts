/**
 * Requests that have come and are not begun. Beginning one takes a tenth of a millisecond to a whole one of computing, and thousands may
 * arrive together: it is a slice of the loop's time as others, and those of each sender (an identity, a connection) are begun in turn, so
 * that a flood of one delays nobody else. What waits is bounded: until a request is begun nobody has asked what it may.
 */
import { newLine, type RunQueue } from './runqueue.ts'

/** What waits of one sender: requests, and bytes of their bodies. */
const maxRequests = 5_000
const maxBytes = 32 << 20
/** What has been begun is dropped from the front of the array when it is that much and half of it. */
const compactAt = 1024

interface Waiting {
  readonly bytes: number
  readonly begin: () => void
}
/** Those of one sender, in order, from `head` on. */
interface Flow {
  queue: Waiting[]
  head: number
  bytes: number
}

export class Arrivals {
  readonly #runs: RunQueue
  readonly #line = newLine()
  readonly #flows = new Map<unknown, Flow>()
  readonly #next = (): void => this.#begin()

  constructor(runs: RunQueue) {
    this.#runs = runs
  }

  /** Calls `begin`, which must not throw, in its turn. False when too much of that sender waits already. `bytes` are held meanwhile. */
  add(sender: unknown, bytes: number, begin: () => void): boolean {
    let flow = this.#flows.get(sender)
    if (flow && (flow.queue.length - flow.head >= maxRequests || flow.bytes + bytes > maxBytes)) return false
    if (!flow) this.#flows.set(sender, (flow = { queue: [], head: 0, bytes: 0 }))
    flow.queue.push({ bytes, begin })
    flow.bytes += bytes
    this.#runs.add(this.#line, this.#next)
    return true
  }

  /** Begins one of the sender whose turn it is, and puts that one behind all others: a Map is walked in the order of its entries. */
  #begin(): void {
    const [sender, flow] = this.#flows.entries().next().value!
    this.#flows.delete(sender)
    const { bytes, begin } = flow.queue[flow.head++]!
    flow.bytes -= bytes
    if (flow.head < flow.queue.length) {
      this.#flows.set(sender, flow)
      if (flow.head >= compactAt && flow.head * 2 >= flow.queue.length) {
        flow.queue = flow.queue.slice(flow.head)
        flow.head = 0
      }
    }
    begin()
  }
}
