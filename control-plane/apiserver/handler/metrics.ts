/** Request metrics under upstream's names. Label sets are resolved once: prom-client hashes them at every call otherwise. */
import { Counter, Gauge, Histogram, Registry as MetricsRegistry, collectDefaultMetrics } from 'prom-client'
import type { InFlight } from './inflight.ts'
import type { RequestInfo } from './requestinfo.ts'

export interface RequestMetrics {
  readonly registry: MetricsRegistry
  /** One finished request; `seconds` is absent for long-running ones. */
  observe(info: RequestInfo | undefined, method: string, code: number, dryRun: boolean, seconds?: number): void
  longRunning(info: RequestInfo, change: 1 | -1): void
  close(): void
}

const verbLabels: Readonly<Record<string, string>> = { get: 'GET', list: 'LIST', watch: 'WATCH', create: 'POST', update: 'PUT', patch: 'PATCH', delete: 'DELETE', deletecollection: 'DELETECOLLECTION' }
const scopeOf = (info: RequestInfo): string => (info.name !== '' || info.verb === 'create' ? 'resource' : info.namespace !== '' ? 'namespace' : 'cluster')

export function requestMetrics(reading: InFlight, mutating: InFlight): RequestMetrics {
  const registry = new MetricsRegistry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const labelNames = ['verb', 'group', 'version', 'resource', 'subresource', 'scope', 'component'] as const
  const total = new Counter({ name: 'apiserver_request_total', help: 'Requests by verb, dry run, group, version, resource, scope, component and HTTP code.', labelNames: [...labelNames, 'dry_run', 'code'], registers })
  const duration = new Histogram({
    name: 'apiserver_request_duration_seconds',
    help: 'Response latency in seconds by verb, dry run, group, version, resource, subresource, scope and component.',
    labelNames: [...labelNames, 'dry_run'],
    buckets: [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10, 15, 30, 60],
    registers,
  })
  const running = new Gauge({ name: 'apiserver_longrunning_requests', help: 'Active long-running requests by verb, group, version, resource, scope and component.', labelNames, registers })
  new Gauge({
    name: 'apiserver_current_inflight_requests',
    help: 'Requests being worked on, by kind.',
    labelNames: ['request_kind'],
    registers,
    collect() {
      this.set({ request_kind: 'readOnly' }, reading.active)
      this.set({ request_kind: 'mutating' }, mutating.active)
    },
  })
  const labels = (info: RequestInfo | undefined, method: string) => ({
    verb: info?.isResource ? (verbLabels[info.verb] ?? method) : method,
    group: info?.group ?? '',
    version: info?.version ?? '',
    resource: info?.resource ?? '',
    subresource: info?.isResource ? info.subresource : (info?.path ?? '').slice(0, 40),
    scope: info?.isResource ? scopeOf(info) : '',
    component: 'apiserver',
  })
  // Names come from requests: what nobody serves must not fill the memory with label sets.
  const children = new Map<string, { counter: Counter.Internal; histogram: Histogram.Internal<string> }>()
  return {
    registry,
    observe(info, method, code, dryRun, seconds) {
      const known = info && code !== 404 && code !== 401 && code !== 403 ? info : undefined
      const key = `${code} ${dryRun} ${method} ${known?.verb} ${known?.group} ${known?.version} ${known?.resource} ${known?.subresource} ${known ? scopeOf(known) : ''}`
      let child = children.get(key)
      if (!child) {
        if (children.size > 5000) return
        const of = { ...labels(known, known ? method : 'OTHER'), dry_run: dryRun ? 'All' : '' }
        child = { counter: total.labels({ ...of, code: String(code) }), histogram: duration.labels(of) }
        children.set(key, child)
      }
      child.counter.inc()
      if (seconds !== undefined) child.histogram.observe(seconds)
    },
    longRunning(info, change) {
      running.inc(labels(info, 'GET'), change)
    },
    close() {
      registry.clear()
    },
  }
}
