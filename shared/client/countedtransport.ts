/** A client's own requests to the API, counted and timed as client-go does. */
import type { Registry } from 'prom-client'
import type { Transport } from '../bus/transport.ts'
import { counts, durations, type Counts, type Durations } from '../component/counts.ts'
import { addMetric } from '../component/metrics.ts'

export interface RequestMetrics {
  /** By `method`, `code` (`<error>` without an answer) and `host`. */
  readonly requests: Counts
  /** By `verb` and `host`. */
  readonly durations: Durations
}
export const requestMetrics = (): RequestMetrics => ({
  requests: counts(),
  durations: durations([0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60]),
})

export const countedTransport = (transport: Transport, { requests, durations }: RequestMetrics): Transport => ({
  async request(request) {
    const began = performance.now()
    const count = (code: string): void => {
      requests.add({ method: request.method, code, host: 'nats' })
      durations.observe((performance.now() - began) / 1000, { verb: request.method, host: 'nats' })
    }
    try {
      const response = await transport.request(request)
      count(String(response.code))
      return response
    } catch (e) {
      count('<error>')
      throw e
    }
  },
  close: () => transport.close(),
})

/** Adds them under upstream's names. */
export function registerRequestMetrics(registry: Registry, { requests, durations }: RequestMetrics): void {
  const [total, seconds] = ['rest_client_requests_total', 'rest_client_request_duration_seconds']
  const help = '[ALPHA] Number of HTTP requests, partitioned by status code, method, and host.'
  addMetric(registry, total, 'counter', help, () => requests.samples())
  const latency = '[ALPHA] Request latency in seconds. Broken down by verb, and host.'
  addMetric(registry, seconds, 'histogram', latency, () => durations.samples(seconds))
}
