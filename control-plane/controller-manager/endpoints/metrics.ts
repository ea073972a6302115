/**
 * What the controllers of endpoint slices count, by upstream's names: k8s.io/endpointslice/metrics,
 * pkg/controller/endpointslicemirroring/metrics.
 */
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { exponential, type ComponentMetrics } from '#shared/component/counts.ts'
import { maxEndpoints, portKey, serviceNameLabel } from './slices.ts'

export interface SliceMetrics {
  changed(operation: 'create' | 'update' | 'delete', slices: number): void
  /** Endpoints that came and went in one look at a Service. */
  synced(added: number, removed: number): void
}

export const perSync = exponential(2, 2, 15)

/** How many slices would do for these. */
function fewest(slices: readonly EndpointSlice[]): number {
  const groups = new Map<string, number>()
  for (const { metadata, addressType, ports, endpoints } of slices) {
    const key = `${metadata.namespace}/${metadata.labels?.[serviceNameLabel]} ${addressType} ${portKey(ports)}`
    groups.set(key, (groups.get(key) ?? 0) + (endpoints?.length ?? 0))
  }
  return [...groups.values()].reduce((n, count) => n + Math.max(1, Math.ceil(count / maxEndpoints)), 0)
}

/** `managed` are the slices that the controller keeps; `kind` is what it looks at. */
export function sliceMetrics(
  metrics: ComponentMetrics,
  subsystem: string,
  kind: 'Service' | 'Endpoints',
  managed: () => EndpointSlice[],
): SliceMetrics {
  const named = (name: string): string => `${subsystem}_${name}`
  const added = metrics.histogram(named('endpoints_added_per_sync'), `[ALPHA] Number of endpoints added on each ${kind} sync`, perSync)
  const removed = metrics.histogram(
    named('endpoints_removed_per_sync'),
    `[ALPHA] Number of endpoints removed on each ${kind} sync`,
    perSync,
  )
  const changes = metrics.counter(named('changes'), '[ALPHA] Number of EndpointSlice changes')
  const gauge = (name: string, help: string, value: () => number): void =>
    metrics.gauge(named(name), `[ALPHA] ${help}`, () => [{ value: value() }])
  gauge('endpoints_desired', 'Number of endpoints desired', () => managed().reduce((n, s) => n + (s.endpoints?.length ?? 0), 0))
  gauge('num_endpoint_slices', 'Number of EndpointSlices', () => managed().length)
  gauge('desired_endpoint_slices', 'Number of EndpointSlices that would exist with perfect endpoint allocation', () => fewest(managed()))
  return {
    changed: (operation, slices) => changes.add({ operation }, slices),
    synced(more, fewer) {
      added.observe(more)
      removed.observe(fewer)
    },
  }
}
