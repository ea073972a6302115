/**
 * What the controllers of endpoint slices count, by upstream's names: k8s.io/endpointslice/metrics,
 * pkg/controller/endpointslicemirroring/metrics.
 */
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { exponential, type ComponentMetrics } from '#shared/component/counts.ts'
import { maxEndpoints, portKey, serviceNameLabel } from './slices.ts'

export interface SliceMetrics {
  changed(operation: 'create' | 'update' | 'delete', slices: number): void
  /** A service was looked at: endpoints that came and went, slices that were written. */
  synced(added: number, removed: number, slices: number, labels: { topology: 'Auto' | 'Disabled'; traffic_distribution: string }): void
  result(result: 'success' | 'error'): void
}

const perSync = exponential(2, 2, 15)

/** How many slices would do for these. */
function fewest(slices: readonly EndpointSlice[]): number {
  const groups = new Map<string, number>()
  for (const { metadata, addressType, ports, endpoints } of slices) {
    const key = `${metadata.namespace}/${metadata.labels?.[serviceNameLabel]} ${addressType} ${portKey(ports)}`
    groups.set(key, (groups.get(key) ?? 0) + (endpoints?.length ?? 0))
  }
  return [...groups.values()].reduce((n, count) => n + Math.max(1, Math.ceil(count / maxEndpoints)), 0)
}

/** `managed` are the slices that the controller keeps. */
export function sliceMetrics(metrics: ComponentMetrics, subsystem: string, managed: () => EndpointSlice[]): SliceMetrics {
  const named = (name: string): string => `${subsystem}_${name}`
  const added = metrics.histogram(named('endpoints_added_per_sync'), '[ALPHA] Number of endpoints added on each Service sync', perSync)
  const removed = metrics.histogram(
    named('endpoints_removed_per_sync'),
    '[ALPHA] Number of endpoints removed on each Service sync',
    perSync,
  )
  const changes = metrics.counter(named('changes'), '[ALPHA] Number of EndpointSlice changes')
  const changed = metrics.histogram(
    named('endpointslices_changed_per_sync'),
    '[ALPHA] Number of EndpointSlices changed on each Service sync',
    [0.5, 1.5, 2.5, 5, 10],
  )
  const syncs = metrics.counter(named('syncs'), '[ALPHA] Number of EndpointSlice syncs')
  const gauge = (name: string, help: string, value: () => number): void =>
    metrics.gauge(named(name), `[ALPHA] ${help}`, () => [{ value: value() }])
  gauge('endpoints_desired', 'Number of endpoints desired', () => managed().reduce((n, s) => n + (s.endpoints?.length ?? 0), 0))
  gauge('num_endpoint_slices', 'Number of EndpointSlices', () => managed().length)
  gauge('desired_endpoint_slices', 'Number of EndpointSlices that would exist with perfect endpoint allocation', () => fewest(managed()))
  return {
    changed: (operation, slices) => changes.add({ operation }, slices),
    synced(more, fewer, slices, labels) {
      added.observe(more)
      removed.observe(fewer)
      changed.observe(slices, labels)
    },
    result: result => syncs.add({ result }),
  }
}
