/**
 * API priority and fairness, for both transports: the FlowSchema of a request says to which priority level it goes and what its flow is;
 * the level says when it runs. https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
 */
import type { FlowSchema } from '#shared/api/flowcontrol/flowschema.ts'
import { mandatoryFlowSchemas, mandatoryPriorityLevels } from '#shared/api/flowcontrol/mandatory.ts'
import type { PriorityLevelConfiguration } from '#shared/api/flowcontrol/prioritylevelconfiguration.ts'
import { suggestedFlowSchemas, suggestedPriorityLevels } from '#shared/api/flowcontrol/suggested.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import { StatusError, timeout } from '#shared/machinery/status.ts'
import type { RequestInfo } from '../chain/requestinfo.ts'
import { RunQueue } from '../chain/runqueue.ts'
import { divide, newLevel, queuingOf, type Level } from './level.ts'
import { inOrder, matchesSchema } from './match.ts'
import type { Seat, Turn } from './queueset.ts'
import { Stats, type RejectReason } from './stats.ts'
import { Streams } from './streams.ts'
import { Work } from './work.ts'

export const tooManyRequests = (): StatusError =>
  new StatusError(429, 'TooManyRequests', 'Too many requests, please try again later.', { retryAfterSeconds: 1 })

export interface FlowControlOptions {
  /** Together they are the server's seats; upstream's flags of that name. */
  readonly maxRequestsInflight: number
  readonly maxMutatingRequestsInflight: number
  /** Streams of one node, and of anybody else. */
  readonly nodeStreams?: number
  readonly streams?: number
  /** How many objects there are of a resource, in a namespace or in all. */
  readonly count?: (group: string, resource: string, namespace: string) => number
}

/** A FlowSchema that is in force. */
interface Schema {
  readonly object: FlowSchema
  readonly uid: string
  readonly level: Level
  readonly stats: Stats
}

/** What a request is to flow control. */
export interface Flow {
  readonly schema: Schema
  /** Of those whose requests share queues. */
  readonly key: string
}

export interface Admitted {
  readonly flow: Flow
  readonly seat: Seat
  readonly mutating: boolean
}

/** A request waits at most so long: a quarter of what upstream gives a request. */
const maxWaitMs = 15_000
/** Flows of one user that are remembered. */
const maxFlows = 1_000
const readingVerbs = new Set(['get', 'list', 'watch', 'head', 'options'])
/** A list has a seat for so many objects, at most so many, and at most that part of its level's. */
const objectsPerSeat = 100
const maxListSeats = 10
const maxShare = 0.15
/**
 * Reads, by width, and writes that are worked on at a time. More writes would only wait in the store, a few tenths of a millisecond each.
 */
const maxReads = 32
const maxWrites = 48

export class FlowControl {
  /** Divides the event loop's time between the levels. */
  readonly runs = new RunQueue()
  readonly #o: FlowControlOptions
  readonly #levels = new Map<string, Level>()
  readonly #streams: Streams
  readonly #reads = new Work(maxReads)
  readonly #writes = new Work(maxWrites)
  #schemas: readonly Schema[] = []
  /** What users asked for and to which flow that belongs, for as long as the schemas are the same. */
  #flows = new WeakMap<UserInfo, Map<string, Flow>>()
  /** Requests that run. */
  reading = 0
  mutating = 0

  constructor(options: FlowControlOptions) {
    this.#o = options
    this.#streams = new Streams(options.nodeStreams, options.streams)
    this.configure([], [])
  }

  get levels(): Iterable<Level> {
    return this.#levels.values()
  }
  get stats(): readonly Stats[] {
    return this.#schemas.map(s => s.stats)
  }

  /**
   * Takes what is stored. While nothing is, a new cluster, upstream's suggestions are in force; the mandatory ones always are. A schema
   * whose level is not there is left out.
   */
  configure(schemas: readonly FlowSchema[], levels: readonly PriorityLevelConfiguration[]): void {
    const isNew = levels.length === 0
    const allLevels = [...(isNew ? suggestedPriorityLevels : levels)]
    for (const level of mandatoryPriorityLevels) if (!allLevels.some(l => l.metadata.name === level.metadata.name)) allLevels.push(level)
    const allSchemas = [...(isNew ? suggestedFlowSchemas : schemas)]
    for (const schema of mandatoryFlowSchemas) if (!allSchemas.some(s => s.metadata.name === schema.metadata.name)) allSchemas.push(schema)
    const seats = this.#o.maxRequestsInflight + this.#o.maxMutatingRequestsInflight
    const limits = divide(allLevels, seats)
    // Requests of a level that is gone finish on it.
    const names = new Set(allLevels.map(l => l.metadata.name))
    for (const name of this.#levels.keys()) if (!names.has(name)) this.#levels.delete(name)
    for (const [i, config] of allLevels.entries()) {
      const name = config.metadata.name!
      let level = this.#levels.get(name)
      if (!level) this.#levels.set(name, (level = newLevel(name, queuingOf(config), this.#levels)))
      level.uid = config.metadata.uid ?? ''
      level.exempt = config.spec.type === 'Exempt'
      level.limits = limits[i]!
      level.share = limits[i]!.nominal / seats
      level.line.weight = level.exempt ? 1 : Math.max(level.share, 1 / seats)
      level.set.configure(queuingOf(config))
    }
    this.#flows = new WeakMap()
    const former = new Map(this.#schemas.map(s => [`${s.stats.level}/${s.stats.schema}`, s.stats]))
    this.#schemas = inOrder(allSchemas).flatMap(object => {
      const level = this.#levels.get(object.spec.priorityLevelConfiguration.name)
      if (!level) return []
      const name = object.metadata.name!
      return [{ object, uid: object.metadata.uid ?? '', level, stats: former.get(`${level.name}/${name}`) ?? new Stats(level.name, name) }]
    })
  }

  classify(user: UserInfo, info: RequestInfo): Flow {
    if (!info.isResource) return this.#classified(user, info)
    let flows = this.#flows.get(user)
    if (!flows) this.#flows.set(user, (flows = new Map()))
    const { verb, group, resource, subresource, namespace } = info
    const what = `${verb} ${group} ${resource} ${subresource} ${namespace}`
    let flow = flows.get(what)
    if (!flow) {
      if (flows.size >= maxFlows) flows.clear()
      flows.set(what, (flow = this.#classified(user, info)))
    }
    return flow
  }
  #classified(user: UserInfo, info: RequestInfo): Flow {
    // Only a user in neither of the two groups that everybody is in one of matches none.
    const schema = this.#schemas.find(s => matchesSchema(s.object, user, info)) ?? this.#schemas.at(-1)!
    return { schema, key: keyOf(schema, user, info) }
  }

  /** How many seats a request needs. */
  width({ schema }: Flow, info: RequestInfo, query: URLSearchParams): number {
    const lists = info.verb === 'list' || (info.verb === 'watch' && startsWithAll(query))
    if (!lists || info.name !== '' || query.get('fieldSelector')?.startsWith('metadata.name=')) return 1
    const count = this.#o.count?.(info.group, info.resource, info.namespace) ?? 0
    if (count <= objectsPerSeat) return 1
    const limit = Number(query.get('limit')) || Infinity
    // A selector is asked about every object.
    const looked = query.has('labelSelector') || query.has('fieldSelector') ? count : Math.min(limit, count)
    const most = Math.max(1, Math.min(maxListSeats, Math.floor(schema.level.limits.nominal * maxShare)))
    return Math.min(most, Math.ceil(looked / objectsPerSeat))
  }

  /**
   * Lets a request in, at once or when its turn comes; a request that waits holds `bytes`. Throws 429 when too much waits already or it has
   * waited too long, 504 when its own time is over or its client gone.
   */
  enter(
    flow: Flow,
    verb: string,
    width: number,
    bytes: number,
    timeoutMs: number,
    request: { readonly signal: AbortSignal },
  ): Admitted | Promise<Admitted> {
    const { level, stats } = flow.schema
    stats.width.observe(width)
    const mutating = !readingVerbs.has(verb)
    const entered = level.set.enter(flow.key, width, bytes)
    if (!entered) throw this.#rejected(stats, level.set.queues > 0 ? 'queue-full' : 'concurrency-limit')
    return 'cancel' in entered ? this.#wait(flow, entered, mutating, timeoutMs, request.signal) : this.#admitted(flow, entered, mutating, 0)
  }

  async #wait(flow: Flow, turn: Turn, mutating: boolean, timeoutMs: number, signal: AbortSignal): Promise<Admitted> {
    const { level, stats } = flow.schema
    const since = performance.now()
    stats.waiting++
    const how = await waited(turn.started, Math.min(timeoutMs, maxWaitMs), signal)
    stats.waiting--
    const seconds = (performance.now() - since) / 1000
    // It may have got its seat in the last moment.
    const started = how === 'started' || !turn.cancel()
    if (started && how !== 'aborted') return this.#admitted(flow, turn.seat, mutating, seconds)
    if (started) level.set.leave(turn.seat)
    this.#wake(level)
    stats.turnedAway.observe(seconds)
    if (how === 'late' && timeoutMs > maxWaitMs) throw this.#rejected(stats, 'time-out')
    stats.reject(how === 'late' ? 'time-out' : 'cancelled')
    throw timeout('the request waited too long for its turn')
  }

  /** When a request that is whole may be worked on: at once, or when the promise resolves. */
  begin({ flow, seat, mutating }: Admitted): Promise<void> | undefined {
    return (mutating ? this.#writes : this.#reads).begin(flow.schema.level, seat.seats)
  }

  end({ flow, seat, mutating }: Admitted): void {
    ;(mutating ? this.#writes : this.#reads).end(flow.schema.level, seat.seats)
  }

  leave({ flow, seat, mutating }: Admitted): void {
    const { level, stats } = flow.schema
    level.set.leave(seat)
    stats.executing--
    stats.seats -= seat.seats
    stats.executed.observe((performance.now() - seat.started) / 1000)
    if (mutating) this.mutating--
    else this.reading--
    this.#wake(level)
  }

  /** A stream begins; throws 429 when the user has too many. Returns how to say, once or more often, that it has ended. */
  openStream(user: UserInfo): () => void {
    return this.#streams.open(user, tooManyRequests)
  }

  #admitted(flow: Flow, seat: Seat, mutating: boolean, seconds: number): Admitted {
    const { stats } = flow.schema
    stats.dispatched++
    stats.executing++
    stats.seats += seat.seats
    stats.waited.observe(seconds)
    if (mutating) this.mutating++
    else this.reading++
    return { flow, seat, mutating }
  }

  #rejected(stats: Stats, reason: RejectReason): StatusError {
    stats.reject(reason)
    return tooManyRequests()
  }

  /** A seat that is free may be lent. */
  #wake(freed: Level): void {
    for (const level of this.#levels.values()) if (level !== freed && level.set.waiting > 0) level.set.dispatch()
  }
}

function keyOf({ object }: Schema, user: UserInfo, info: RequestInfo): string {
  const method = object.spec.distinguisherMethod?.type
  return `${object.metadata.name}/${method === 'ByUser' ? user.name : method === 'ByNamespace' ? info.namespace : ''}`
}

/** Whether a watch begins with everything that there is. */
function startsWithAll(query: URLSearchParams): boolean {
  const version = query.get('resourceVersion') ?? ''
  return query.get('sendInitialEvents') === 'true' || version === '' || version === '0'
}

function waited(started: Promise<void>, ms: number, signal: AbortSignal): Promise<'started' | 'late' | 'aborted'> {
  return new Promise(resolve => {
    const end = (how: 'started' | 'late' | 'aborted'): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', aborted)
      resolve(how)
    }
    const aborted = (): void => end('aborted')
    const timer = setTimeout(() => end('late'), ms)
    if (signal.aborted) return aborted()
    signal.addEventListener('abort', aborted)
    void started.then(() => end('started'))
  })
}
