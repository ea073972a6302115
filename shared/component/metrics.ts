/** A component's metrics in plain numbers: prom-client, slow with each sample, sees them when somebody asks. */
import { Registry, type Metric } from 'prom-client'
import type { Histogram } from './histogram.ts'
import { kubernetesVersion } from './version.ts'

export interface Sample {
  /** Where it is not the metric's: `_bucket`, `_sum` and `_count` of a histogram. */
  metricName?: string
  labels?: Readonly<Record<string, string | number>>
  value: number
}

/** Adds a metric whose samples are made when somebody asks. */
export function addMetric(
  registry: Registry,
  name: string,
  type: 'counter' | 'gauge' | 'histogram',
  help: string,
  samples: () => Sample[],
): void {
  // What prom-client calls to print a metric is all that it needs of one.
  const get = async () => ({ name, help, type, aggregator: 'sum', values: samples().map(s => ({ labels: {}, ...s })) })
  registry.registerMetric({ name, get } as unknown as Metric)
}

export const histogramSamples = (name: string, labels: Readonly<Record<string, string>>, histogram: Histogram): Sample[] => [
  ...histogram.buckets().map(([le, value]) => ({ metricName: `${name}_bucket`, labels: { ...labels, le }, value })),
  { metricName: `${name}_sum`, labels, value: histogram.sum },
  { metricName: `${name}_count`, labels, value: histogram.count },
]

/** A registry with what every process says of itself. */
export function newMetrics(): Registry {
  const registry = new Registry()
  const started = Date.now() / 1000 - process.uptime()
  const one = (name: string, type: 'counter' | 'gauge', help: string, value: () => number): void =>
    addMetric(registry, name, type, help, () => [{ value: value() }])
  one('process_cpu_seconds_total', 'counter', 'Total user and system CPU time spent in seconds.', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  one('process_resident_memory_bytes', 'gauge', 'Resident memory size in bytes.', () => process.memoryUsage.rss())
  addMetric(
    registry,
    'kubernetes_build_info',
    'gauge',
    "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version.",
    () => {
      const [major = '', minor = ''] = kubernetesVersion.slice(1).split('.')
      return [{ labels: { git_version: kubernetesVersion, major, minor, platform: `${process.platform}/${process.arch}` }, value: 1 }]
    },
  )
  one('process_start_time_seconds', 'gauge', 'Start time of the process since unix epoch in seconds.', () => started)
  return registry
}
