/** What the scheduler counts of its work, under upstream's names. pkg/scheduler/metrics */
import type { Registry } from 'prom-client'
import { histogram, type Histogram } from '#shared/component/histogram.ts'
import { durations, type Durations } from '#shared/component/counts.ts'
import { addMetric, histogramSamples, type Sample } from '#shared/component/metrics.ts'

export type Result = 'scheduled' | 'unschedulable' | 'error'

/** Each twice the one before. */
const doubling = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first * 2 ** i)

export class SchedulerMetrics {
  /** By profile and result. */
  readonly #attempts = new Map<string, Histogram>()
  readonly #algorithm = histogram(doubling(0.001, 15))
  readonly #tries = histogram(doubling(1, 5))
  /** By the number of attempts. */
  readonly #sli = new Map<number, Histogram>()
  /** By profile, extension point and status. */
  readonly #points = new Map<string, Histogram>()
  /** By queue and event. */
  readonly #incoming = new Map<string, number>()
  /** By `event`. */
  readonly eventHandling = durations(doubling(0.0001, 12))
  /** By `result`. */
  readonly permitWaits = durations(doubling(0.001, 15))
  /** Of the victims of one pod, by `result`. */
  readonly evictions = durations(doubling(0.01, 20))
  /** Pods that are being bound. */
  binding = 0
  #preemptions = 0
  readonly #victims = histogram(doubling(1, 7))

  /** An attempt ended after so many seconds. */
  attempt(profile: string, result: Result, seconds: number): void {
    const key = `${profile}\0${result}`
    let known = this.#attempts.get(key)
    if (!known) this.#attempts.set(key, (known = histogram(doubling(0.001, 15))))
    known.observe(seconds)
  }
  /** What ran at an extension point took so many seconds. */
  extensionPoint(profile: string, point: string, status: string, seconds: number): void {
    const key = `${profile}\0${point}\0${status}`
    let known = this.#points.get(key)
    if (!known) this.#points.set(key, (known = histogram(doubling(0.0001, 12))))
    known.observe(seconds)
  }
  /** A pod came to a queue. */
  incoming(queue: string, event: string): void {
    const key = `${queue}\0${event}`
    this.#incoming.set(key, (this.#incoming.get(key) ?? 0) + 1)
  }
  /** A node was looked for, found or not. */
  decision(seconds: number): void {
    this.#algorithm.observe(seconds)
  }
  /** A pod is bound after so many attempts, so many seconds after it came. */
  bound(attempts: number, seconds: number): void {
    this.#tries.observe(attempts)
    // Upstream's label is bounded, too: 15 attempts and more are one value.
    const label = Math.min(attempts, 15)
    let known = this.#sli.get(label)
    if (!known) this.#sli.set(label, (known = histogram(doubling(0.01, 20))))
    known.observe(seconds)
  }
  /** Room was looked for; `victims` are those that have to go. */
  preemption(victims: number): void {
    this.#preemptions++
    if (victims > 0) this.#victims.observe(victims)
  }

  /** Adds them to the registry, with what `sizes` tells of each when somebody asks: some look at every pod that waits. */
  register(
    registry: Registry,
    sizes: {
      queues(): Readonly<Record<string, number>>
      /** Pods by profile and the plugin that turned them down. */
      rejected(): ReadonlyMap<string, ReadonlyMap<string, number>>
      batches(): readonly { profile: string; attempts: Readonly<Record<string, number>> }[]
      cache(): { nodes: number; pods: number; assumed: number }
    },
  ): void {
    const each =
      <K>(of: ReadonlyMap<K, Histogram>, labels: (key: K) => Record<string, string>, name: string) =>
      (): Sample[] =>
        [...of].flatMap(([key, h]) => histogramSamples(name, labels(key), h))
    const byResult = (key: string): Record<string, string> => {
      const [profile = '', result = ''] = key.split('\0')
      return { profile, result }
    }
    addMetric(
      registry,
      'scheduler_schedule_attempts_total',
      'counter',
      "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.",
      () => [...this.#attempts].map(([key, h]) => ({ labels: byResult(key), value: h.count })),
    )
    const duration = 'scheduler_scheduling_attempt_duration_seconds'
    const durationHelp = 'Scheduling attempt latency in seconds (scheduling algorithm + binding)'
    addMetric(registry, duration, 'histogram', durationHelp, each(this.#attempts, byResult, duration))
    const one = (name: string, help: string, h: Histogram): void =>
      addMetric(registry, name, 'histogram', help, () => histogramSamples(name, {}, h))
    one('scheduler_scheduling_algorithm_duration_seconds', 'Scheduling algorithm latency in seconds', this.#algorithm)
    one('scheduler_pod_scheduling_attempts', 'Number of attempts to successfully schedule a pod.', this.#tries)
    one('scheduler_preemption_victims', 'Number of selected preemption victims', this.#victims)
    const sli = 'scheduler_pod_scheduling_sli_duration_seconds'
    const sliHelp =
      'E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts.'
    addMetric(
      registry,
      sli,
      'histogram',
      sliHelp,
      each(this.#sli, n => ({ attempts: n < 15 ? String(n) : '15+' }), sli),
    )
    addMetric(registry, 'scheduler_preemption_attempts_total', 'counter', 'Total preemption attempts in the cluster till now', () => [
      { value: this.#preemptions },
    ])
    addMetric(registry, 'scheduler_batch_attempts_total', 'counter', 'Counts of results when we attempt to use batching.', () =>
      sizes
        .batches()
        .flatMap(({ profile, attempts }) => Object.entries(attempts).map(([result, value]) => ({ labels: { profile, result }, value }))),
    )
    const points = 'scheduler_framework_extension_point_duration_seconds'
    const byPoint = (key: string): Record<string, string> => {
      const [profile = '', extension_point = '', status = ''] = key.split('\0')
      return { extension_point, profile, status }
    }
    const pointsHelp = 'Latency for running all plugins of a specific extension point.'
    addMetric(registry, points, 'histogram', pointsHelp, each(this.#points, byPoint, points))
    const incomingHelp = 'Number of pods added to scheduling queues by event and queue type.'
    addMetric(registry, 'scheduler_queue_incoming_pods_total', 'counter', incomingHelp, () =>
      [...this.#incoming].map(([key, value]) => {
        const [queue = '', event = ''] = key.split('\0')
        return { labels: { event, queue }, value }
      }),
    )
    const rejectedHelp =
      'The number of unschedulable pods broken down by plugin name. A pod will increment the gauge for all plugins that caused it to not schedule and so this metric have meaning only when broken down by plugin.'
    addMetric(registry, 'scheduler_unschedulable_pods', 'gauge', rejectedHelp, () =>
      [...sizes.rejected()].flatMap(([profile, plugins]) =>
        [...plugins].map(([plugin, value]) => ({ labels: { plugin, profile }, value })),
      ),
    )
    const timed = (name: string, help: string, of: Durations): void => addMetric(registry, name, 'histogram', help, () => of.samples(name))
    timed('scheduler_event_handling_duration_seconds', 'Event handling latency in seconds.', this.eventHandling)
    timed('scheduler_permit_wait_duration_seconds', 'Duration of waiting on permit.', this.permitWaits)
    const evictionHelp = 'Duration in seconds for running goroutines for the preemption.'
    timed('scheduler_preemption_goroutines_duration_seconds', evictionHelp, this.evictions)
    const workHelp = 'Number of running goroutines split by the work they do such as binding.'
    addMetric(registry, 'scheduler_goroutines', 'gauge', workHelp, () => [{ labels: { operation: 'binding' }, value: this.binding }])
    const pendingHelp =
      "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the scheduler attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted to schedule because they are gated."
    addMetric(registry, 'scheduler_pending_pods', 'gauge', pendingHelp, () =>
      Object.entries(sizes.queues()).map(([queue, value]) => ({ labels: { queue }, value })),
    )
    const cacheHelp = 'Number of nodes, pods, and assumed (bound) pods in the scheduler cache.'
    addMetric(registry, 'scheduler_cache_size', 'gauge', cacheHelp, () => {
      const { nodes, pods, assumed } = sizes.cache()
      return Object.entries({ nodes, pods, assumed_pods: assumed }).map(([type, value]) => ({ labels: { type }, value }))
    })
  }
}
