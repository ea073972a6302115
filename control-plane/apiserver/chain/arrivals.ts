/**
 * Requests that have come and are not begun. Beginning one takes a tenth of a millisecond to a whole one of computing, and thousands may
 * arrive together: it is a slice of the loop's time as others, and those of each sender (an identity, a connection) are begun in turn, so
 * that a flood of one delays nobody else. What waits is bounded: until a request is begun nobody has asked what it may.
 */
import { Fifo } from '#shared/machinery/fifo.ts'
import { newLine, type RunQueue } from './runqueue.ts'

/** What waits of one sender: requests, and bytes of their bodies. */
const maxRequests = 5_000
const maxBytes = 32 << 20
/** Of so many senders those of whom nothing waits are forgotten. */
const forgetAt = 64

interface Waiting {
  readonly bytes: number
  readonly begin: () => void
}
interface Flow {
  readonly queue: Fifo<Waiting>
  bytes: number
}

export class Arrivals {
  readonly #runs: RunQueue
  readonly #line = newLine()
  readonly #flows = new Map<unknown, Flow>()
  #forgetAt = forgetAt
  /** Those of whom something waits, in turn. */
  readonly #turns = new Fifo<Flow>()
  readonly #next = (): void => this.#begin()

  constructor(runs: RunQueue) {
    this.#runs = runs
  }

  /** Calls `begin`, which must not throw, in its turn. False when too much of that sender waits already. `bytes` are held meanwhile. */
  add(sender: unknown, bytes: number, begin: () => void): boolean {
    let flow = this.#flows.get(sender)
    if (flow && (flow.queue.length >= maxRequests || flow.bytes + bytes > maxBytes)) return false
    if (!flow) {
      if (this.#flows.size >= this.#forgetAt) this.#forget()
      this.#flows.set(sender, (flow = { queue: new Fifo(), bytes: 0 }))
    }
    if (flow.queue.length === 0) this.#turns.push(flow)
    flow.queue.push({ bytes, begin })
    flow.bytes += bytes
    this.#runs.add(this.#line, this.#next)
    return true
  }

  #forget(): void {
    for (const [sender, flow] of this.#flows) if (flow.queue.length === 0) this.#flows.delete(sender)
    this.#forgetAt = Math.max(forgetAt, 2 * this.#flows.size)
  }

  /** Begins one of the sender whose turn it is, and puts that one behind all others. */
  #begin(): void {
    const flow = this.#turns.shift()!
    const { bytes, begin } = flow.queue.shift()!
    flow.bytes -= bytes
    if (flow.queue.length > 0) this.#turns.push(flow)
    begin()
  }
}
