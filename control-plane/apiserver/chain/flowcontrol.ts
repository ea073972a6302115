/**
 * Flow control for both transports: how many requests run and wait, in all and of each identity, in priority levels as upstream's API
 * Priority and Fairness has them. A level's seats are its own, so that no other work holds up the heartbeats of nodes and leaders; within a
 * level free seats go to the flows (identities) in turn.
 */
import type { UserInfo } from '#shared/bus/transport.ts'
import { StatusError } from '#shared/machinery/status.ts'
import type { RequestInfo } from './requestinfo.ts'

export const tooManyRequests = (): StatusError =>
  new StatusError(429, 'TooManyRequests', 'Too many requests, please try again later.', { retryAfterSeconds: 1 })

export interface LevelOptions {
  /** How many requests run at once. */
  readonly seats: number
  /** How many of them are of one flow. */
  readonly flowSeats: number
  /** How many requests of one flow wait, and how many bytes they hold. */
  readonly flowQueue: number
  readonly flowBytes: number
  /** How many wait in all, and how many bytes they hold. */
  readonly queue: number
  readonly bytes: number
}

interface Waiting {
  readonly bytes: number
  readonly start: () => void
}
interface Flow {
  running: number
  /** Bytes that are held by those that wait. */
  bytes: number
  readonly waiting: Waiting[]
  /** Whether it stands in line for a seat. */
  queued: boolean
}

export class PriorityLevel {
  readonly #o: LevelOptions
  readonly #flows = new Map<string, Flow>()
  /** Flows that have requests waiting and seats left of their own, in the order of their turns. */
  readonly #line: Flow[] = []
  #running = 0
  #waiting = 0
  #bytes = 0

  constructor(options: LevelOptions) {
    this.#o = options
  }

  /** Requests that run. */
  get running(): number {
    return this.#running
  }
  get waiting(): number {
    return this.#waiting
  }

  /** Takes a seat at once, or a promise for one; a request that waits holds `bytes`. Throws 429 when too much waits already. */
  enter(name: string, bytes: number): Promise<void> | undefined {
    const o = this.#o
    let flow = this.#flows.get(name)
    if (!flow) this.#flows.set(name, (flow = { running: 0, bytes: 0, waiting: [], queued: false }))
    if (this.#running < o.seats && flow.running < o.flowSeats) {
      this.#running++
      flow.running++
      return undefined
    }
    if (
      flow.waiting.length >= o.flowQueue ||
      flow.bytes + bytes > o.flowBytes ||
      this.#waiting >= o.queue ||
      this.#bytes + bytes > o.bytes
    ) {
      if (flow.running === 0 && flow.waiting.length === 0) this.#flows.delete(name)
      throw tooManyRequests()
    }
    this.#waiting++
    this.#bytes += bytes
    flow.bytes += bytes
    const turn = new Promise<void>(start => flow.waiting.push({ bytes, start }))
    this.#queue(flow)
    return turn
  }

  /** Gives the seat back. */
  leave(name: string): void {
    const flow = this.#flows.get(name)!
    flow.running--
    this.#running--
    this.#queue(flow)
    while (this.#running < this.#o.seats) {
      const next = this.#line.shift()
      if (!next) break
      next.queued = false
      this.#start(next)
    }
    if (flow.running === 0 && flow.waiting.length === 0) this.#flows.delete(name)
  }

  #queue(flow: Flow): void {
    if (flow.queued || flow.waiting.length === 0 || flow.running >= this.#o.flowSeats) return
    flow.queued = true
    this.#line.push(flow)
  }

  #start(flow: Flow): void {
    const { bytes, start } = flow.waiting.shift()!
    this.#waiting--
    this.#bytes -= bytes
    flow.bytes -= bytes
    this.#running++
    flow.running++
    this.#queue(flow)
    start()
  }
}

/** Counts what lasts (watches, logs, tunnels) by identity. */
class Streams {
  readonly #counts = new Map<string, number>()

  /** Throws 429 when the identity has as many as it may have. */
  open(name: string, limit: number): void {
    const count = this.#counts.get(name) ?? 0
    if (count >= limit) throw tooManyRequests()
    this.#counts.set(name, count + 1)
  }

  close(name: string): void {
    const count = this.#counts.get(name)! - 1
    if (count === 0) this.#counts.delete(name)
    else this.#counts.set(name, count)
  }
}

export interface FlowControlOptions {
  /** Seats for requests that read and for those that write: upstream's flags of that name. */
  readonly maxRequestsInflight: number
  readonly maxMutatingRequestsInflight: number
  /** Streams of one node, and of anybody else. */
  readonly nodeStreams?: number
  readonly streams?: number
}

export interface FlowControl {
  readonly reading: PriorityLevel
  readonly mutating: PriorityLevel
  /** The level of a request. */
  levelOf(user: UserInfo, info: RequestInfo): PriorityLevel
  /** A stream begins; throws 429 when the user has too many. Returns how to say, once or more often, that it has ended. */
  openStream(user: UserInfo): () => void
}

const readingVerbs = new Set(['get', 'list', 'watch'])
/** One flow has at most half of a level to itself. Requests that wait over HTTP hold no body yet; those over NATS hold theirs. */
const level = (seats: number): PriorityLevel =>
  new PriorityLevel({ seats, flowSeats: Math.ceil(seats / 2), flowQueue: 5_000, flowBytes: 64 << 20, queue: 20_000, bytes: 256 << 20 })

export function newFlowControl(options: FlowControlOptions): FlowControl {
  const { nodeStreams = 1_000, streams: otherStreams = 10_000 } = options
  const reading = level(options.maxRequestsInflight)
  const mutating = level(options.maxMutatingRequestsInflight)
  // Upstream's levels of these names: Leases and the status of nodes; leaders' Leases.
  const nodeHigh = level(100)
  const leaderElection = level(50)
  const streams = new Streams()
  return {
    reading,
    mutating,
    levelOf(user, info) {
      if (info.resource === 'leases' && info.group === 'coordination.k8s.io' && info.name !== '')
        return isNode(user) ? nodeHigh : leaderElection
      if (info.resource === 'nodes' && info.subresource === 'status' && info.group === '' && isNode(user)) return nodeHigh
      return readingVerbs.has(info.verb) ? reading : mutating
    },
    openStream(user) {
      const { name } = user
      streams.open(name, isNode(user) ? nodeStreams : otherStreams)
      let open = true
      return () => {
        if (!open) return
        open = false
        streams.close(name)
      }
    },
  }
}

const isNode = (user: UserInfo): boolean => user.name.startsWith('system:node:')
