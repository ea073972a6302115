/**
 * /metrics/slis of every component: how its health checks turned out when somebody asked, by upstream's names
 * (k8s.io/component-base/metrics/prometheus/slis). https://kubernetes.io/docs/reference/instrumentation/slis/
 */
import { Registry } from 'prom-client'
import { counts } from './counts.ts'
import { addMetric } from './metrics.ts'

const total = counts()
const last = new Map<string, { labels: { name: string; type: string }; value: number }>()

const registry = new Registry()
addMetric(registry, 'kubernetes_healthcheck', 'gauge', '[STABLE] This metric records the result of a single healthcheck.', () => [
  ...last.values(),
])
addMetric(
  registry,
  'kubernetes_healthchecks_total',
  'counter',
  '[STABLE] This metric records the results of all healthcheck.',
  total.samples,
)

/** Counts the result of one check; `type` is the path that was asked for: healthz, livez, readyz. */
export function observeHealthcheck(name: string, type: string, success: boolean): void {
  last.set(`${type}/${name}`, { labels: { name, type }, value: Number(success) })
  total.add({ name, status: success ? 'success' : 'error', type })
}

/** The body of the answer and its content type. */
export const sliMetrics = async (): Promise<{ text: string; type: string }> => ({
  text: await registry.metrics(),
  type: registry.contentType,
})
