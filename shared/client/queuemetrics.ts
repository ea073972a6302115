/** Metrics of work queues, under client-go's names. */
import type { Registry } from 'prom-client'
import { addMetric, histogramSamples, type Sample } from '../component/metrics.ts'
import type { WorkQueue } from './workqueue.ts'

/** Returns how to add a queue by its name. */
export function queueMetrics(registry: Registry): (name: string, queue: WorkQueue) => void {
  const queues = new Map<string, WorkQueue>()
  const add = (name: string, type: 'counter' | 'gauge', help: string, value: (queue: WorkQueue) => number): void =>
    addMetric(registry, name, type, help, () => [...queues].map(([name, queue]) => ({ labels: { name }, value: value(queue) })))
  const addHistogram = (metric: string, help: string, which: 'queued' | 'worked'): void =>
    addMetric(registry, metric, 'histogram', help, () =>
      [...queues].flatMap(([name, queue]): Sample[] => histogramSamples(metric, { name }, queue.statistics[which])),
    )
  const secondsInWork = (queue: WorkQueue): number[] => {
    const now = performance.now()
    return queue.statistics.handedOut().map(since => (now - since) / 1000)
  }
  add('workqueue_depth', 'gauge', 'Current depth of workqueue', q => q.length)
  add('workqueue_adds_total', 'counter', 'Total number of adds handled by workqueue', q => q.statistics.adds)
  add('workqueue_retries_total', 'counter', 'Total number of retries handled by workqueue', q => q.statistics.retries)
  addHistogram('workqueue_queue_duration_seconds', 'How long in seconds an item stays in workqueue before being requested.', 'queued')
  addHistogram('workqueue_work_duration_seconds', 'How long in seconds processing an item from workqueue takes.', 'worked')
  const unfinished = "How many seconds of work has been done that is in progress and hasn't been observed by work_duration."
  add('workqueue_unfinished_work_seconds', 'gauge', unfinished, q => secondsInWork(q).reduce((a, b) => a + b, 0))
  const longest = 'How many seconds has the longest running processor for workqueue been running.'
  add('workqueue_longest_running_processor_seconds', 'gauge', longest, q => secondsInWork(q).reduce((a, b) => Math.max(a, b), 0))
  return (name, queue) => void queues.set(name, queue)
}
