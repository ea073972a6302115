/** Metrics of conversion webhooks under upstream's names (k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/metrics.go). */
import type { Registry } from 'prom-client'
import { histogram, type Histogram } from '#shared/component/histogram.ts'
import { addMetric, histogramSamples } from '#shared/component/metrics.ts'

export type Failure =
  | 'conversion_webhook_call_failure'
  | 'conversion_webhook_malformed_response_failure'
  | 'conversion_webhook_partial_response_failure'
  | 'conversion_webhook_invalid_converted_object_failure'

export interface ConversionMetrics {
  /** One request; `failure` is absent when it succeeded. */
  observe(failure: Failure | undefined, seconds: number): void
}

const bounds = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 45, 60]

export function conversionMetrics(registry: Registry): ConversionMetrics {
  const series = new Map<string, { readonly labels: Readonly<Record<string, string>>; readonly durations: Histogram }>()
  addMetric(
    registry,
    'apiserver_conversion_webhook_request_total',
    'counter',
    'Requests of conversion webhooks by result and kind of failure.',
    () => [...series.values()].map(({ labels, durations }) => ({ labels, value: durations.count })),
  )
  const name = 'apiserver_conversion_webhook_duration_seconds'
  addMetric(registry, name, 'histogram', 'Latency of conversion webhooks by result and kind of failure.', () =>
    [...series.values()].flatMap(({ labels, durations }) => histogramSamples(name, labels, durations)),
  )
  return {
    observe(failure, seconds) {
      const key = failure ?? ''
      let one = series.get(key)
      if (!one)
        series.set(key, (one = { labels: { result: failure ? 'failure' : 'success', failure_type: key }, durations: histogram(bounds) }))
      one.durations.observe(seconds)
    },
  }
}
