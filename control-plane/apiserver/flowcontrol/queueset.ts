/**
 * The requests of one priority level: those that run take seats, others wait in queues. A flow has a hand of a few queues, picked by its
 * hash, and uses the shortest; seats go to the queue that has had least of them (k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing).
 */
import { createHash } from 'node:crypto'

export interface QueueSetOptions {
  /** How many queues; 0 when no request waits. */
  readonly queues: number
  readonly handSize: number
  /** Requests that wait in one queue. */
  readonly queueLengthLimit: number
}

/** Bytes of bodies that may wait in one level. */
const maxWaitingBytes = 256 << 20
/** Until a request is done it is thought to take so long, ms. */
const estimateMs = 3
/** Flows whose hands are remembered. */
const maxHands = 10_000

interface Queue {
  readonly waiting: Waiting[]
  /** Seats of those that wait. */
  seatsWaiting: number
  executing: number
  /** The virtual time at which the next request of the queue starts: seat milliseconds that it has had. */
  next: number
}

/** A request that was let in: it is given back once. */
export interface Seat {
  readonly queue: Queue | undefined
  readonly seats: number
  started: number
}

interface Waiting extends Seat {
  readonly queue: Queue
  readonly bytes: number
  readonly start: () => void
  /** In virtual time. */
  readonly arrived: number
  done: boolean
}

/** A request that has to wait for its seat. */
export interface Turn {
  readonly seat: Seat
  /** Resolves when it has the seat. */
  readonly started: Promise<void>
  /** Nobody waits for it any more; false when it has its seat already. */
  cancel(): boolean
}

/** Whose seats a queue set takes: how many more requests of `seats` may start now is decided there. */
export interface Seats {
  /** Whether that many seats can be had when the set has `inUse` of them. */
  available(seats: number, inUse: number): boolean
}

export class QueueSet {
  readonly #seats: Seats
  #o: QueueSetOptions
  #queues: Queue[]
  readonly #hands = new Map<string, readonly number[]>()
  #robin = 0
  #virtual = 0
  #at = 0
  #active = 0
  #bytes = 0
  /** Seats that are taken, requests that have them, requests that wait. */
  inUse = 0
  executing = 0
  waiting = 0
  seatsWaiting = 0

  constructor(options: QueueSetOptions, seats: Seats) {
    this.#o = options
    this.#seats = seats
    this.#queues = newQueues(options.queues)
  }

  get queues(): number {
    return this.#o.queues
  }

  /** Requests that wait in a queue which is one too many go on waiting there. */
  configure(options: QueueSetOptions): void {
    if (options.queues !== this.#o.queues || options.handSize !== this.#o.handSize) this.#hands.clear()
    for (let i = this.#queues.length; i < options.queues; i++) this.#queues.push(newQueue())
    this.#o = options
    this.dispatch()
    // Queues that are too many go when they are empty.
    while (this.#queues.length > options.queues && isIdle(this.#queues.at(-1)!)) this.#queues.pop()
  }

  /** A seat at once, a turn, or undefined when too much waits already. */
  enter(flow: string, seats: number, bytes: number): Seat | Turn | undefined {
    const now = performance.now()
    const queue = this.#o.queues > 0 ? this.#queueOf(flow) : undefined
    if (this.waiting === 0 && this.#fits(seats)) {
      this.#advance(now)
      const seat: Seat = { queue, seats, started: now }
      this.#start(seat)
      return seat
    }
    if (!queue || queue.waiting.length >= this.#o.queueLengthLimit || this.#bytes + bytes > maxWaitingBytes) return undefined
    this.#advance(now)
    if (isIdle(queue)) {
      this.#active++
      queue.next = this.#virtual
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    const request: Waiting = { queue, seats, started: 0, bytes, start: resolve, arrived: this.#virtual, done: false }
    queue.waiting.push(request)
    queue.seatsWaiting += seats
    this.waiting++
    this.seatsWaiting += seats
    this.#bytes += bytes
    // Others of the level may wait for more seats than there are, while this one needs few.
    this.dispatch()
    return { seat: request, started: promise, cancel: () => this.#cancel(request) }
  }

  leave(seat: Seat): void {
    const now = performance.now()
    this.#advance(now)
    const { queue, seats } = seat
    this.inUse -= seats
    this.executing--
    if (queue) {
      // What it really took is known now.
      queue.next += (now - seat.started - estimateMs) * seats
      queue.executing--
      if (isIdle(queue)) this.#active--
    }
    if (this.waiting > 0) this.dispatch()
  }

  /** Starts what can start. */
  dispatch(): void {
    while (this.waiting > 0) {
      const queue = this.#least()
      if (!queue || !this.#fits(queue.waiting[0]!.seats)) return
      const request = queue.waiting.shift()!
      this.#forget(request)
      this.#advance(performance.now())
      request.started = performance.now()
      this.#start(request)
      request.start()
    }
  }

  /** A request that is wider than the level runs alone. */
  #fits(seats: number): boolean {
    return this.executing === 0 || this.#seats.available(seats, this.inUse)
  }

  #start(seat: Seat): void {
    const { queue, seats } = seat
    if (queue) {
      if (isIdle(queue)) {
        this.#active++
        queue.next = this.#virtual
      }
      queue.executing++
      queue.next += seats * estimateMs
    }
    this.inUse += seats
    this.executing++
  }

  #forget(request: Waiting): void {
    request.done = true
    request.queue.seatsWaiting -= request.seats
    this.waiting--
    this.seatsWaiting -= request.seats
    this.#bytes -= request.bytes
  }

  #cancel(request: Waiting): boolean {
    if (request.done) return false
    const { queue } = request
    queue.waiting.splice(queue.waiting.indexOf(request), 1)
    this.#forget(request)
    if (isIdle(queue)) this.#active--
    return true
  }

  /** Virtual time goes on by what each busy queue gets. */
  #advance(now: number): void {
    if (this.#active > 0) this.#virtual += ((now - this.#at) * this.inUse) / this.#active
    this.#at = now
  }

  /** The queue whose first request ends first in virtual time; of equals the one behind the last. */
  #least(): Queue | undefined {
    let least: Queue | undefined
    let end = Infinity
    let at = this.#robin
    const { length } = this.#queues
    for (let i = 1; i <= length; i++) {
      const index = (this.#robin + i) % length
      const queue = this.#queues[index]!
      const first = queue.waiting[0]
      if (!first) continue
      // What a queue did not use before its request came is not saved up.
      if (queue.next < first.arrived) queue.next = first.arrived
      const ends = queue.next + first.seats * estimateMs
      if (ends >= end) continue
      least = queue
      end = ends
      at = index
    }
    this.#robin = at
    return least
  }

  #queueOf(flow: string): Queue {
    let hand = this.#hands.get(flow)
    if (!hand) {
      this.#hands.set(flow, (hand = dealt(flow, this.#o.queues, this.#o.handSize)))
      if (this.#hands.size > maxHands) this.#hands.delete(this.#hands.keys().next().value!)
    }
    let best = this.#queues[hand[0]!]!
    for (let i = 1; i < hand.length; i++) {
      const queue = this.#queues[hand[i]!]!
      if (queue.seatsWaiting < best.seatsWaiting || (queue.seatsWaiting === best.seatsWaiting && queue.executing < best.executing))
        best = queue
    }
    return best
  }
}

const newQueue = (): Queue => ({ waiting: [], seatsWaiting: 0, executing: 0, next: 0 })
const newQueues = (n: number): Queue[] => Array.from({ length: n }, newQueue)
const isIdle = ({ waiting, executing }: Queue): boolean => waiting.length === 0 && executing === 0

/** A hand of different queues, by the hash of the flow (k8s.io/apiserver/pkg/util/shufflesharding). */
export function dealt(flow: string, queues: number, handSize: number): readonly number[] {
  let hash = createHash('sha256').update(flow).digest().readBigUInt64LE()
  const hand: number[] = []
  const deck = new Map<number, number>()
  for (let i = 0; i < Math.min(handSize, queues); i++) {
    const left = queues - i
    const at = Number(hash % BigInt(left))
    hash /= BigInt(left)
    hand.push(deck.get(at) ?? at)
    // The last card takes the place of the one that was dealt.
    deck.set(at, deck.get(left - 1) ?? left - 1)
  }
  return hand
}
