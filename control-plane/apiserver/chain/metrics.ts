/**
 * Request metrics under upstream's names. Requests are counted in plain numbers; prom-client, slow with each sample, sees them when
 * somebody asks.
 */
import { Gauge, Registry as MetricsRegistry, collectDefaultMetrics, type Metric } from 'prom-client'
import type { FlowControl } from '../flowcontrol/flowcontrol.ts'
import { flowControlMetrics } from '../flowcontrol/stats.ts'
import type { RequestInfo } from './requestinfo.ts'

export interface RequestMetrics {
  readonly registry: MetricsRegistry
  /** One finished request; `seconds` is absent for long-running ones. */
  observe(info: RequestInfo | undefined, method: string, code: number, dryRun: boolean, seconds?: number): void
  longRunning(info: RequestInfo, change: 1 | -1): void
  close(): void
}

const bounds = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10, 15, 30, 60]

/** Requests alike in all labels, by the code of their answer. */
interface Series {
  readonly labels: Readonly<Record<string, string>>
  readonly code: string
  count: number
  /** Those whose duration counts: not the long-running ones. */
  timed: number
  /** Seconds. */
  sum: number
  /** How many fell into each bucket, not cumulated. */
  readonly buckets: Uint32Array
}

/** The histogram's samples: codes are no label of it, so their series are added up. */
function durations(all: Iterable<Series>): object[] {
  const merged = new Map<string, Series>()
  for (const s of all) {
    if (s.timed === 0) continue
    const key = JSON.stringify(s.labels)
    const m = merged.get(key)
    if (!m) merged.set(key, { ...s, buckets: s.buckets.slice() })
    else {
      m.timed += s.timed
      m.sum += s.sum
      s.buckets.forEach((n, i) => (m.buckets[i]! += n))
    }
  }
  const name = 'apiserver_request_duration_seconds'
  return [...merged.values()].flatMap(({ labels, timed, sum, buckets }) => {
    let below = 0
    const samples: object[] = bounds.map((le, i) => ({
      metricName: `${name}_bucket`,
      labels: { le, ...labels },
      value: (below += buckets[i]!),
    }))
    samples.push({ metricName: `${name}_bucket`, labels: { le: '+Inf', ...labels }, value: timed })
    samples.push({ metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: timed })
    return samples
  })
}

const verbLabels: Readonly<Record<string, string>> = { create: 'POST', update: 'PUT' }
const verbLabel = (info: RequestInfo): string => verbLabels[info.verb] ?? info.verb.toUpperCase()
const scopeOf = (info: RequestInfo): string =>
  info.name !== '' || info.verb === 'create' ? 'resource' : info.namespace !== '' ? 'namespace' : 'cluster'

export function requestMetrics(flowControl: FlowControl): RequestMetrics {
  const registry = new MetricsRegistry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const labelNames = ['verb', 'group', 'version', 'resource', 'subresource', 'scope', 'component'] as const
  const series = new Map<string, Series>()
  // What prom-client calls to print a metric is all that it needs of one.
  const metric = (name: string, type: string, help: string, values: () => object[]): void => {
    registry.registerMetric({ name, get: async () => ({ name, help, type, aggregator: 'sum', values: values() }) } as unknown as Metric)
  }
  const counts = (): object[] => [...series.values()].map(s => ({ labels: { ...s.labels, code: s.code }, value: s.count }))
  const by = 'verb, dry run, group, version, resource, subresource, scope and component'
  metric('apiserver_request_total', 'counter', `Requests by ${by}, and by HTTP code.`, counts)
  metric('apiserver_request_duration_seconds', 'histogram', `Response latency in seconds by ${by}.`, () => durations(series.values()))
  const running = new Gauge({
    name: 'apiserver_longrunning_requests',
    help: 'Active long-running requests by verb, group, version, resource, scope and component.',
    labelNames,
    registers,
  })
  new Gauge({
    name: 'apiserver_current_inflight_requests',
    help: 'Requests being worked on, by kind.',
    labelNames: ['request_kind'],
    registers,
    collect() {
      this.set({ request_kind: 'readOnly' }, flowControl.reading)
      this.set({ request_kind: 'mutating' }, flowControl.mutating)
    },
  })
  flowControlMetrics(
    registry,
    () => flowControl.levels,
    () => flowControl.stats,
  )
  const labels = (info: RequestInfo | undefined, method: string) => ({
    verb: info?.isResource ? verbLabel(info) : method,
    group: info?.group ?? '',
    version: info?.version ?? '',
    resource: info?.resource ?? '',
    subresource: info?.isResource ? info.subresource : (info?.path ?? '').slice(0, 40),
    scope: info?.isResource ? scopeOf(info) : '',
    component: 'apiserver',
  })
  return {
    registry,
    observe(info, method, code, dryRun, seconds) {
      // Names come from requests: what nobody serves must not fill the memory with label sets.
      const known = info && code !== 404 && code !== 401 && code !== 403 ? info : undefined
      const what = known?.isResource
        ? `${known.group} ${known.version} ${known.resource} ${known.subresource} ${scopeOf(known)}`
        : known?.path
      const key = `${code} ${dryRun ? 1 : 0} ${known?.verb} ${what}`
      let s = series.get(key)
      if (!s) {
        if (series.size > 5000) return
        const own = { ...labels(known, known ? method : 'OTHER'), dry_run: dryRun ? 'All' : '' }
        s = { labels: own, code: String(code), count: 0, timed: 0, sum: 0, buckets: new Uint32Array(bounds.length) }
        series.set(key, s)
      }
      s.count++
      if (seconds === undefined) return
      s.timed++
      s.sum += seconds
      let i = 0
      while (i < bounds.length && seconds > bounds[i]!) i++
      if (i < bounds.length) s.buckets[i]!++
    },
    longRunning(info, change) {
      running.inc(labels(info, 'GET'), change)
    },
    close() {
      registry.clear()
    },
  }
}
