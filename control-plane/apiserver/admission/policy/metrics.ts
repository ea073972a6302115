/** Counts of what policies did, under upstream's names. */
import type { Metric, Registry } from 'prom-client'

const bounds = [0.0000005, 0.001, 0.01, 0.1, 1]
/** Policies come and go: of more than that many label sets no new ones are counted. */
const maxSeries = 5000

interface Series {
  readonly labels: Readonly<Record<string, string>>
  count: number
  sum: number
  readonly buckets: number[]
}

export type ErrorType = 'compile_error' | 'invalid_error' | 'out_of_budget' | 'no_error'

/** By what was said, as upstream does. */
export function errorType(message: string): ErrorType {
  if (message.startsWith('compilation')) return 'compile_error'
  return message.startsWith('validation failed due to running out of cost budget') ? 'out_of_budget' : 'invalid_error'
}

export interface PolicyMetrics {
  observe(labels: Readonly<Record<string, string>>, seconds: number): void
  register(registry: Registry): void
}

/** `subsystem`: `validating_admission_policy`. */
export function policyMetrics(subsystem: string): PolicyMetrics {
  const series = new Map<string, Series>()
  const samples = (name: string): object[] =>
    [...series.values()].flatMap(({ labels, count, sum, buckets }) => {
      let below = 0
      return [
        ...bounds.map((le, i) => ({ metricName: `${name}_bucket`, labels: { le, ...labels }, value: (below += buckets[i]!) })),
        { metricName: `${name}_bucket`, labels: { le: '+Inf', ...labels }, value: count },
        { metricName: `${name}_sum`, labels, value: sum },
        { metricName: `${name}_count`, labels, value: count },
      ]
    })
  return {
    observe(labels, seconds) {
      const key = Object.values(labels).join('\n')
      let s = series.get(key)
      if (!s) {
        if (series.size >= maxSeries) return
        series.set(key, (s = { labels, count: 0, sum: 0, buckets: bounds.map(() => 0) }))
      }
      s.count++
      s.sum += seconds
      const i = bounds.findIndex(bound => seconds <= bound)
      if (i >= 0) s.buckets[i]!++
    },
    register(registry) {
      const metric = (name: string, type: string, help: string, values: () => object[]): void =>
        registry.registerMetric({ name, get: async () => ({ name, help, type, aggregator: 'sum', values: values() }) } as unknown as Metric)
      const total = `apiserver_${subsystem}_check_total`
      const duration = `apiserver_${subsystem}_check_duration_seconds`
      metric(total, 'counter', 'Checks of policies by policy, binding and what came of them.', () =>
        [...series.values()].map(({ labels, count }) => ({ labels, value: count })),
      )
      metric(duration, 'histogram', 'How long they took, by the same.', () => samples(duration))
    },
  }
}
