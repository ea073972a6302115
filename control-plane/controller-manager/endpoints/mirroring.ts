/**
 * Copies Endpoints that somebody made for a Service without selector to EndpointSlices, which is what proxies read.
 * pkg/controller/endpointslicemirroring
 */
import type { Endpoints } from '#shared/api/core/endpoints.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { endpointSlices, endpoints, services } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import { exponential, type Durations } from '#shared/component/counts.ts'
import { canonical } from '#shared/machinery/hash.ts'
import { isNamespaceTerminating, isNotFound } from '#shared/machinery/status.ts'
import type { NewController } from '../context.ts'
import { changes, mirrored, type Mirrored } from './mirror.ts'
import { perSync, sliceMetrics } from './metrics.ts'
import { byService, endpointKey, isOwnedBy, managedByLabel, serviceNameLabel } from './slices.ts'

const subsystem = 'endpoint_slice_mirroring_controller'
export const mirroringManager = 'endpointslicemirroring-controller.k8s.io'
const leaderAnnotation = 'control-plane.alpha.kubernetes.io/leader'
const skipLabel = 'endpointslice.kubernetes.io/skip-mirror'
/** Addresses of one subset that are mirrored: upstream's --mirroring-max-endpoints-per-subset. */
const maxPerSubset = 1000

/** Not what says that it should not be, nor what only serves a leader election. */
const mayMirror = ({ metadata: { labels, annotations } }: Endpoints): boolean =>
  labels?.[skipLabel] !== 'true' && annotations?.[leaderAnnotation] === undefined
const hasSelector = (service: Service | undefined): boolean => Object.keys(service?.spec.selector ?? {}).length > 0

export const endpointSliceMirroringController: NewController = ctx => {
  const recorder = ctx.recorder('endpoint-slice-mirroring-controller')
  const all = ctx.informer(endpoints)
  const serviceInformer = ctx.informer(services)
  const slices = ctx.informer(endpointSlices)
  slices.addIndex('service', byService)
  const metrics = sliceMetrics(ctx.metrics, subsystem, 'Endpoints', () =>
    slices.list().filter(s => s.metadata.labels?.[managedByLabel] === mirroringManager),
  )

  const histogram = (name: string, help: string, bounds = perSync): Durations =>
    ctx.metrics.histogram(`${subsystem}_${name}`, `[ALPHA] ${help}`, bounds)
  const updated = histogram('endpoints_updated_per_sync', 'Number of endpoints updated on each Endpoints sync')
  const left = histogram(
    'addresses_skipped_per_sync',
    'Number of addresses skipped on each Endpoints sync due to being invalid or exceeding MaxEndpointsPerSubset',
  )
  const took = histogram('endpoints_sync_duration', 'Duration of syncEndpoints() in seconds', exponential(0.001, 2, 15))

  async function reconcile(key: string, client: Client): Promise<void> {
    const began = performance.now()
    await sync(key, client).finally(() => took.observe((performance.now() - began) / 1000))
  }
  async function sync(key: string, client: Client): Promise<void> {
    const [namespace, name] = splitKey(key)
    const existing = slices
      .byIndex('service', key)
      .filter(s => s.metadata.labels?.[managedByLabel] === mirroringManager && !s.metadata.deletionTimestamp)
    const from = all.get(namespace, name)
    const service = serviceInformer.get(namespace, name)
    if (!from || !mayMirror(from) || !service || hasSelector(service)) {
      for (const slice of existing) await remove(client, slice)
      return
    }
    const wanted = mirrored(from, maxPerSubset)
    warn(from, wanted)
    const own = existing.filter(s => isOwnedBy(s, 'Endpoints', from))
    const plan = changes(from, wanted.groups, own, { [serviceNameLabel]: name, [managedByLabel]: mirroringManager })
    plan.delete.push(...existing.filter(s => !own.includes(s)))
    left.observe(wanted.skipped)
    count(own, wanted)
    for (const operation of ['create', 'update', 'delete'] as const) metrics.changed(operation, plan[operation].length)
    try {
      if (!from.metadata.deletionTimestamp) for (const slice of plan.create) await client.create(endpointSlices, namespace, slice)
    } catch (e) {
      if (isNamespaceTerminating(e)) return
      throw e
    }
    for (const slice of plan.update) await client.update(endpointSlices, slice)
    for (const slice of plan.delete) await remove(client, slice)
  }

  /** How many endpoints are new, gone, or other than they were. */
  function count(before: readonly EndpointSlice[], { groups }: Mirrored): void {
    const by = (slices: readonly Pick<EndpointSlice, 'endpoints'>[]) =>
      new Map(slices.flatMap(s => s.endpoints ?? []).map(e => [endpointKey(e), canonical(e)]))
    const [had, has] = [by(before), by(groups)]
    const fresh = [...has.keys()].filter(k => !had.has(k)).length
    metrics.synced(fresh, [...had.keys()].filter(k => !has.has(k)).length)
    updated.observe([...has].filter(([k, text]) => had.has(k) && had.get(k) !== text).length)
  }
  function warn(from: Endpoints, { invalid, skipped }: Mirrored): void {
    if (invalid > 0)
      recorder.event(from, 'Warning', 'InvalidIPAddress', `Skipped ${invalid} invalid IP addresses when mirroring to EndpointSlices`)
    if (skipped > invalid)
      recorder.event(
        from,
        'Warning',
        'TooManyAddressesToMirror',
        `A max of ${maxPerSubset} addresses can be mirrored to EndpointSlices per Endpoints subset. ${skipped} addresses were skipped`,
      )
  }

  return {
    name: 'endpointslice-mirroring-controller',
    client: ctx.as('endpointslicemirroring-controller'),
    workers: 5,
    queue: { baseMs: 1_000, limitMs: 100_000 },
    sources: [
      source(all, e => (mayMirror(e.object) || (e.previous && mayMirror(e.previous)) ? [keyOf(e.object)] : [])),
      source(serviceInformer, e =>
        (e.type === 'MODIFIED' ? hasSelector(e.object) !== hasSelector(e.previous) : !hasSelector(e.object)) ? [keyOf(e.object)] : [],
      ),
      source(slices, e =>
        [e.object, e.previous].some(s => s?.metadata.labels?.[managedByLabel] === mirroringManager) ? byService(e.object) : [],
      ),
    ],
    reconcile,
    log: ctx.log,
  }
}

async function remove(client: Client, { metadata: { namespace = '', name = '' } }: EndpointSlice): Promise<void> {
  await client.delete(endpointSlices, namespace, name).catch((e: unknown) => {
    if (!isNotFound(e)) throw e
  })
}
