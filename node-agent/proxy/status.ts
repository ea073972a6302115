/** What a proxy knows of itself: how it keeps up with Services and endpoints, for its health and upstream's metrics. pkg/proxy/metrics */
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { histogram, type Histogram } from '#shared/component/histogram.ts'
import { addMetric, histogramSamples, newMetrics, type Sample } from '#shared/component/metrics.ts'

/** So long may a change wait to be written before the proxy says that it is not well: twice upstream's sync period, ms. */
const healthTimeoutMs = 60_000
const triggerTime = 'endpoints.kubernetes.io/last-change-trigger-time'
/** Times of changes that are measured when they are written: of more only so many. */
const maxTriggers = 10_000
const durations = Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i)
const programming = [0.25, 0.5, ...Array.from({ length: 59 }, (_, i) => i + 1), ...Array.from({ length: 12 }, (_, i) => 60 + 5 * i), ...Array.from({ length: 7 }, (_, i) => 120 + 30 * i)] // prettier-ignore

export interface ProxyStatus {
  serviceChanged(): void
  endpointsChanged(slice: EndpointSlice): void
  /** All that was told of before `syncing` is in force. */
  written(): void
  failed(): void
  syncing(): void
  /** Flows that were forgotten, and how long that took, s. */
  flowsDeleted(count: number, seconds: number): void
  /** Service ports whose policy is Local and that have no endpoint here, by policy. */
  noLocalEndpoints(counts: { internal: number; external: number }): void
  isHealthy(): boolean
  lastUpdated(): Date
  countHealthz(path: 'healthz' | 'livez', code: number): void
  metrics(): Promise<string>
}

export function newProxyStatus(): ProxyStatus {
  const registry = newMetrics()
  const family = { ip_family: 'IPv4' }
  const totals = { services: 0, endpoints: 0, failures: 0, deleted: 0 }
  const pending = { services: 0, endpoints: 0 }
  const [sync, programmed, conntrack]: [Histogram, Histogram, Histogram] = [histogram(durations), histogram(programming), histogram(durations)] // prettier-ignore
  const codes = { healthz: new Map<number, number>(), livez: new Map<number, number>() }
  let triggers: number[] = []
  let atSync = { services: 0, endpoints: 0, triggers: 0, start: 0 }
  let noLocal = { internal: 0, external: 0 }
  let queuedAt: number | undefined
  let [lastQueued, lastWritten] = [0, 0]
  const queue = (): void => {
    lastQueued = Date.now()
    queuedAt ??= lastQueued
  }
  const one = (name: string, type: 'counter' | 'gauge', help: string, value: () => number, labels = {}): void =>
    addMetric(registry, `kubeproxy_${name}`, type, help, () => [{ labels, value: value() }])
  const spread = (name: string, help: string, of: Histogram): void =>
    addMetric(registry, `kubeproxy_${name}`, 'histogram', help, () => histogramSamples(`kubeproxy_${name}`, family, of))
  spread('sync_proxy_rules_duration_seconds', 'SyncProxyRules latency in seconds', sync)
  spread('network_programming_duration_seconds', 'In Cluster Network Programming Latency in seconds', programmed)
  spread('conntrack_reconciler_sync_duration_seconds', 'ReconcileConntrackFlowsLatency latency in seconds', conntrack)
  one('conntrack_reconciler_deleted_entries_total', 'counter', 'Cumulative conntrack flows deleted by conntrack reconciler', () => totals.deleted, family) // prettier-ignore
  one('sync_proxy_rules_last_timestamp_seconds', 'gauge', 'The last time proxy rules were successfully synced', () => lastWritten / 1000, family) // prettier-ignore
  one('sync_proxy_rules_last_queued_timestamp_seconds', 'gauge', 'The last time a sync of proxy rules was queued', () => lastQueued / 1000, family) // prettier-ignore
  one('sync_proxy_rules_endpoint_changes_pending', 'gauge', 'Pending proxy rules Endpoint changes', () => pending.endpoints)
  one('sync_proxy_rules_endpoint_changes_total', 'counter', 'Cumulative proxy rules Endpoint changes', () => totals.endpoints)
  one('sync_proxy_rules_service_changes_pending', 'gauge', 'Pending proxy rules Service changes', () => pending.services)
  one('sync_proxy_rules_service_changes_total', 'counter', 'Cumulative proxy rules Service changes', () => totals.services)
  one('sync_proxy_rules_nftables_sync_failures_total', 'counter', 'Cumulative proxy nftables sync failures', () => totals.failures, family)
  addMetric(registry, 'kubeproxy_sync_proxy_rules_no_local_endpoints_total', 'gauge', 'Number of services with a Local traffic policy and no endpoints', () =>
    (['internal', 'external'] as const).map(policy => ({ labels: { ...family, traffic_policy: policy }, value: noLocal[policy] }))) // prettier-ignore
  for (const path of ['healthz', 'livez'] as const)
    addMetric(registry, `kubeproxy_proxy_${path}_total`, 'counter', `Cumulative proxy ${path} HTTP status`, () =>
      [...codes[path]].map(([code, value]): Sample => ({ labels: { code: String(code) }, value })),
    )
  return {
    serviceChanged() {
      totals.services++
      pending.services++
      queue()
    },
    endpointsChanged({ metadata }) {
      totals.endpoints++
      pending.endpoints++
      queue()
      const at = Date.parse(metadata.annotations?.[triggerTime] ?? '')
      // What was there before the proxy tells nothing of how fast it is.
      if (lastWritten > 0 && at >= lastWritten - healthTimeoutMs && triggers.length < maxTriggers) triggers.push(at)
    },
    syncing: () => void (atSync = { ...pending, triggers: triggers.length, start: performance.now() }),
    written() {
      sync.observe((performance.now() - atSync.start) / 1000)
      lastWritten = Date.now()
      for (const at of triggers.splice(0, atSync.triggers)) programmed.observe(Math.max(0, lastWritten - at) / 1000)
      pending.services -= atSync.services
      pending.endpoints -= atSync.endpoints
      queuedAt = pending.services + pending.endpoints > 0 ? lastQueued : undefined
    },
    failed: () => void totals.failures++,
    flowsDeleted(count, seconds) {
      totals.deleted += count
      conntrack.observe(seconds)
    },
    noLocalEndpoints: counts => void (noLocal = counts),
    isHealthy: () => lastWritten === 0 || queuedAt === undefined || Date.now() - queuedAt < healthTimeoutMs,
    lastUpdated: () => new Date(lastWritten),
    countHealthz: (path, code) => void codes[path].set(code, (codes[path].get(code) ?? 0) + 1),
    metrics: () => registry.metrics(),
  }
}
