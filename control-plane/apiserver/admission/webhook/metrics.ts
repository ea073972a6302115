/** Metrics of webhooks under upstream's names (k8s.io/apiserver/pkg/admission/metrics). */
import type { Registry as MetricsRegistry } from 'prom-client'
import { histogram, type Histogram } from '#shared/component/histogram.ts'
import { addMetric, histogramSamples } from '#shared/component/metrics.ts'

export type Step = 'admit' | 'validating'
type Labels = Readonly<Record<string, string>>

interface About {
  readonly name: string
  readonly type: Step
  readonly operation: string
}

export interface WebhookMetrics {
  /** One call. */
  observe(call: About & { readonly rejected: boolean; readonly code: number }, seconds: number): void
  /** One that kept the request out. */
  rejected(
    rejection: About & { readonly errorType: 'calling_webhook_error' | 'apiserver_internal_error' | 'no_error'; readonly code: number },
  ): void
  /** One that failed, and was passed over. */
  failedOpen(call: Omit<About, 'operation'>): void
  /** A match condition kept the webhook from being asked. */
  excluded(about: About): void
  /** One could not be evaluated. */
  conditionFailed(about: About): void
}

const bounds = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25]
/** Names come from configurations, which come and go. */
const maxSeries = 2000

/** Counters by their labels. */
class Counters {
  readonly #series = new Map<string, { readonly labels: Labels; value: number }>()
  add(labels: Labels): void {
    const key = Object.values(labels).join('\0')
    const one = this.#series.get(key)
    if (one) one.value++
    else if (this.#series.size < maxSeries) this.#series.set(key, { labels, value: 1 })
  }
  samples(): { labels: Labels; value: number }[] {
    return [...this.#series.values()]
  }
}

/** Codes above 600 are one, as upstream. */
const codeOf = (code: number): string => String(Math.min(code, 600))

export function webhookMetrics(registry: MetricsRegistry): WebhookMetrics {
  const requests = new Counters()
  const rejections = new Counters()
  const open = new Counters()
  const exclusions = new Counters()
  const conditionErrors = new Counters()
  const durations = new Map<string, { readonly labels: Labels; readonly histogram: Histogram }>()
  const counter = (name: string, help: string, of: Counters): void =>
    addMetric(registry, `apiserver_admission_${name}`, 'counter', help, () => of.samples())
  const by = 'identified by name and broken out for each admission type and operation'
  counter('webhook_request_total', `Admission webhook requests, ${by}, rejection and HTTP code.`, requests)
  counter('webhook_rejection_count', `Admission webhook rejections, ${by}, error type and code.`, rejections)
  counter('webhook_fail_open_count', 'Admission webhooks that failed and were passed over, by name and type.', open)
  counter('match_condition_exclusions_total', `Webhooks and policies that a match condition excluded, ${by}.`, exclusions)
  counter('match_condition_evaluation_errors_total', `Webhooks and policies of which a match condition failed, ${by}.`, conditionErrors)
  const duration = 'apiserver_admission_webhook_admission_duration_seconds'
  addMetric(registry, duration, 'histogram', `Admission webhook latency in seconds, ${by}.`, () =>
    [...durations.values()].flatMap(({ labels, histogram: h }) => histogramSamples(duration, labels, h)),
  )
  return {
    observe({ name, type, operation, rejected, code }, seconds) {
      requests.add({ name, type, operation, code: codeOf(code), rejected: String(rejected) })
      const key = `${name}\0${type}\0${operation}\0${rejected}`
      let series = durations.get(key)
      if (!series) {
        if (durations.size >= maxSeries) return
        durations.set(key, (series = { labels: { name, type, operation, rejected: String(rejected) }, histogram: histogram(bounds) }))
      }
      series.histogram.observe(seconds)
    },
    rejected({ name, type, operation, errorType, code }) {
      rejections.add({ name, type, operation, error_type: errorType, rejection_code: codeOf(code) })
    },
    failedOpen({ name, type }) {
      open.add({ name, type })
    },
    excluded({ name, type, operation }) {
      exclusions.add({ name, kind: 'webhook', type, operation })
    },
    conditionFailed({ name, type, operation }) {
      conditionErrors.add({ name, kind: 'webhook', type, operation })
    },
  }
}
