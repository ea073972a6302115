/** /metrics/resource: upstream's pkg/kubelet/metrics/collectors/resource_metrics.go. */
import type { ContainerSample, PodSample, Sample } from '../stats/sampler.ts'
import { machineMemory } from '../stats/machine.ts'
import { labelsOf, newExposition } from './exposition.ts'

export function resourceMetrics(sample: Sample): string {
  const out = newExposition()
  const { at, all, own } = sample
  const one = (name: string, type: 'counter' | 'gauge', help: string, value: number): void => {
    out.metric(name, type, help)
    out.sample('', value, at)
  }
  const containers = sample.pods.flatMap(p => p.containers.map(c => ({ c, labels: labelsOf({ container: c.name, ...podLabels(p) }) })))
  const pods = sample.pods.filter(p => p.containers.length > 0).map(p => ({ p, labels: labelsOf(podLabels(p)) }))
  const eachContainer = (name: string, type: 'counter' | 'gauge', help: string, value: (c: ContainerSample) => number): void => {
    out.metric(name, type, help)
    for (const { c, labels } of containers) out.sample(labels, value(c), at)
  }
  const eachPod = (name: string, type: 'counter' | 'gauge', help: string, value: (p: PodSample) => number): void => {
    out.metric(name, type, help)
    for (const { p, labels } of pods) out.sample(labels, value(p), at)
  }
  eachContainer(
    'container_cpu_usage_seconds_total',
    'counter',
    '[STABLE] Cumulative cpu time consumed by the container in core-seconds',
    c => c.used.cpuNanos / 1e9,
  )
  eachContainer(
    'container_memory_working_set_bytes',
    'gauge',
    '[STABLE] Current working set of the container in bytes',
    c => c.used.workingSetBytes,
  )
  out.metric('container_start_time_seconds', 'gauge', '[STABLE] Start time of the container since unix epoch in seconds')
  for (const { c, labels } of containers) out.sample(labels, Date.parse(c.startedAt) / 1000)
  const swap = '[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems'
  eachContainer('container_swap_usage_bytes', 'gauge', swap, c => c.used.swapBytes ?? 0)
  one(
    'node_cpu_usage_seconds_total',
    'counter',
    '[STABLE] Cumulative cpu time consumed by the node in core-seconds',
    (all.cpuNanos + own.cpuNanos) / 1e9,
  )
  one(
    'node_memory_working_set_bytes',
    'gauge',
    '[STABLE] Current working set of the node in bytes',
    all.workingSetBytes + own.workingSetBytes,
  )
  const { swapTotal, swapFree } = machineMemory()
  one(
    'node_swap_usage_bytes',
    'gauge',
    '[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems',
    swapTotal - swapFree,
  )
  eachPod(
    'pod_cpu_usage_seconds_total',
    'counter',
    '[STABLE] Cumulative cpu time consumed by the pod in core-seconds',
    p => p.used.cpuNanos / 1e9,
  )
  eachPod('pod_memory_working_set_bytes', 'gauge', '[STABLE] Current working set of the pod in bytes', p => p.used.workingSetBytes)
  eachPod(
    'pod_swap_usage_bytes',
    'gauge',
    '[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems',
    p => p.used.swapBytes ?? 0,
  )
  out.metric('resource_scrape_error', 'gauge', '[STABLE] 1 if there was an error while getting container metrics, 0 otherwise')
  out.sample('', 0)
  out.metric(
    'scrape_error',
    'gauge',
    '[ALPHA] (Deprecated since 1.29.0) 1 if there was an error while getting container metrics, 0 otherwise',
  )
  out.sample('', 0)
  return out.text()
}

export const podLabels = ({ pod: { metadata } }: PodSample): { namespace: string; pod: string } => ({
  namespace: metadata.namespace ?? '',
  pod: metadata.name ?? '',
})
