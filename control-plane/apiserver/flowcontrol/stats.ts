/** What is counted of the requests of one FlowSchema, and upstream's metrics of it. */
import type { Metric, Registry as MetricsRegistry } from 'prom-client'
import type { Level } from './level.ts'

const bounds = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30]
const widths = [1, 2, 4, 10]

class Histogram {
  readonly #bounds: readonly number[]
  readonly #buckets: number[]
  #count = 0
  #sum = 0
  constructor(at: readonly number[]) {
    this.#bounds = at
    this.#buckets = at.map(() => 0)
  }
  observe(value: number): void {
    this.#count++
    this.#sum += value
    let i = 0
    while (i < this.#bounds.length && value > this.#bounds[i]!) i++
    if (i < this.#bounds.length) this.#buckets[i]!++
  }
  /** Nothing while nothing was observed. */
  samples(name: string, labels: Readonly<Record<string, string>>): object[] {
    if (this.#count === 0) return []
    let below = 0
    return [
      ...this.#bounds.map((le, i) => ({ metricName: `${name}_bucket`, labels: { le, ...labels }, value: (below += this.#buckets[i]!) })),
      { metricName: `${name}_bucket`, labels: { le: '+Inf', ...labels }, value: this.#count },
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: this.#count },
    ]
  }
}

export type RejectReason = 'queue-full' | 'concurrency-limit' | 'time-out' | 'cancelled'

export class Stats {
  readonly level: string
  readonly schema: string
  dispatched = 0
  waiting = 0
  executing = 0
  seats = 0
  readonly rejected = new Map<RejectReason, number>()
  /** Seconds. */
  readonly waited = new Histogram(bounds)
  readonly turnedAway = new Histogram(bounds)
  readonly executed = new Histogram(bounds)
  readonly width = new Histogram(widths)
  constructor(level: string, schema: string) {
    this.level = level
    this.schema = schema
  }
  reject(reason: RejectReason): void {
    this.rejected.set(reason, (this.rejected.get(reason) ?? 0) + 1)
  }
}

/** Registers upstream's `apiserver_flowcontrol_*` metrics, which look at what there is when somebody asks. */
export function flowControlMetrics(registry: MetricsRegistry, levels: () => Iterable<Level>, stats: () => Iterable<Stats>): void {
  const metric = (short: string, type: string, help: string, values: (name: string) => object[]): void => {
    const name = `apiserver_flowcontrol_${short}`
    registry.registerMetric({ name, get: async () => ({ name, help, type, aggregator: 'sum', values: values(name) }) } as unknown as Metric)
  }
  const ofLevels = (short: string, help: string, value: (level: Level) => number): void =>
    metric(short, 'gauge', help, () => [...levels()].map(level => ({ labels: { priority_level: level.name }, value: value(level) })))
  const labels = (s: Stats) => ({ priority_level: s.level, flow_schema: s.schema })
  const ofSchemas = (short: string, type: string, help: string, value: (s: Stats) => number): void =>
    metric(short, type, help, () => [...stats()].map(s => ({ labels: labels(s), value: value(s) })))
  const histogram = (short: string, help: string, samples: (s: Stats, name: string) => object[]): void =>
    metric(short, 'histogram', help, name => [...stats()].flatMap(s => samples(s, name)))

  metric('rejected_requests_total', 'counter', 'Requests that were turned away, by why.', () =>
    [...stats()].flatMap(s => [...s.rejected].map(([reason, value]) => ({ labels: { ...labels(s), reason }, value }))),
  )
  ofSchemas('dispatched_requests_total', 'counter', 'Requests that were let in.', s => s.dispatched)
  ofSchemas('current_inqueue_requests', 'gauge', 'Requests that wait.', s => s.waiting)
  ofSchemas('current_executing_requests', 'gauge', 'Requests that run; of a watch until its answer begins.', s => s.executing)
  ofSchemas('current_executing_seats', 'gauge', 'Seats of requests that run.', s => s.seats)
  histogram('request_wait_duration_seconds', 'How long requests waited.', (s, name) => [
    ...s.waited.samples(name, { ...labels(s), execute: 'true' }),
    ...s.turnedAway.samples(name, { ...labels(s), execute: 'false' }),
  ])
  histogram('request_execution_seconds', 'How long requests ran.', (s, name) => s.executed.samples(name, { ...labels(s), type: 'regular' }))
  histogram('work_estimated_seats', 'Seats that requests were thought to need.', (s, name) => s.width.samples(name, labels(s)))
  ofLevels('nominal_limit_seats', "Seats that are a level's own.", l => l.limits.nominal)
  ofLevels('lower_limit_seats', 'Seats that it keeps when it lends.', l => l.limits.nominal - l.limits.lendable)
  ofLevels('upper_limit_seats', 'Seats that it can have when it borrows.', l => l.limits.nominal + l.limits.borrowing)
  ofLevels('current_limit_seats', 'Seats that it has now, with those that it borrows.', l => Math.max(l.limits.nominal, l.set.inUse))
  ofLevels('demand_seats', 'Seats that its requests have or wait for.', l => l.set.inUse + l.set.seatsWaiting)
}
