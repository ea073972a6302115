/** Keeps the EndpointSlices of every Service with a selector. pkg/controller/endpointslice */
import type { Node } from '#shared/api/core/node.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { Endpoint, EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { endpointSlices, nodes, pods, services } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { InformerEvent } from '#shared/client/informer.ts'
import { isNamespaceTerminating, isStatus } from '#shared/machinery/status.ts'
import type { ControllerContext, NewController } from '../context.ts'
import {
  addressTypes,
  addressesOf,
  isManaged,
  mayServe,
  selectsPod,
  triggerTime,
  triggerTimeAnnotation,
  type AddressType,
} from './backends.ts'
import { distributed, hintsEvent, isTopologyAware, topologyAware, zoneShare } from './hints.ts'
import { sliceMetrics } from './metrics.ts'
import {
  byService,
  changes,
  endpointKey,
  endpointOf,
  groupByPorts,
  isOwnedBy,
  managedBy,
  managedByLabel,
  newSlice,
  portsOf,
  serviceNameLabel,
  sliceLabels,
} from './slices.ts'

export const endpointSliceController: NewController = (ctx: ControllerContext) => {
  const recorder = ctx.recorder('endpoint-slice-controller')
  const all = ctx.informer(services)
  const podInformer = ctx.informer(pods)
  const nodeInformer = ctx.informer(nodes)
  const slices = ctx.informer(endpointSlices)
  slices.addIndex('service', byService)
  const isOurs = (s: EndpointSlice): boolean => s.metadata.labels?.[managedByLabel] === managedBy
  const metrics = sliceMetrics(ctx.metrics, 'endpoint_slice_controller', 'Service', () => slices.list().filter(isOurs))
  const slicesChanged = ctx.metrics.histogram(
    'endpoint_slice_controller_endpointslices_changed_per_sync',
    '[ALPHA] Number of EndpointSlices changed on each Service sync',
    [0.5, 1.5, 2.5, 5, 10],
  )
  const syncs = ctx.metrics.counter('endpoint_slice_controller_syncs', '[ALPHA] Number of EndpointSlice syncs')
  ctx.metrics.gauge(
    'endpoint_slice_controller_services_count_by_traffic_distribution',
    '[ALPHA] Number of Services using some specific trafficDistribution',
    () => {
      const counts = new Map<string, number>()
      for (const { spec } of all.list())
        if (spec.trafficDistribution) counts.set(spec.trafficDistribution, (counts.get(spec.trafficDistribution) ?? 0) + 1)
      return [...counts].map(([traffic_distribution, value]) => ({ labels: { traffic_distribution }, value }))
    },
  )

  function* servicesOf(event: InformerEvent<LeanPod>): Iterable<string> {
    const versions = event.previous ? [event.object, event.previous] : [event.object]
    for (const service of all.list(event.object.metadata.namespace))
      if (versions.some(p => selectsPod(service, p.metadata.labels))) yield keyOf(service)
  }
  /** Endpoints show their node's zone, and pods of unknown nodes are left out; some have hints by the processors of all zones. */
  function* servicesOn(event: InformerEvent<Node>): Iterable<string> {
    const zone = (n: Node | undefined) => n?.metadata.labels?.['topology.kubernetes.io/zone']
    const share = (n: Node | undefined): string => JSON.stringify(n && zoneShare(n)) ?? ''
    const moved = event.type !== 'MODIFIED' || zone(event.object) !== zone(event.previous)
    if (!moved && share(event.object) === share(event.previous)) return
    for (const service of all.list()) if (isManaged(service) && (moved || isTopologyAware(service))) yield keyOf(service)
  }
  /** That a Service does not want hints by processors any more is told once, where it had some. */
  function changed({ type, object, previous }: InformerEvent<Service>): string[] {
    if (type === 'MODIFIED' && previous && isTopologyAware(previous) && !isTopologyAware(object)) {
      const hinted = slices.byIndex('service', keyOf(object)).find(s => s.endpoints?.some(e => e.hints !== undefined))
      const event = hinted && hintsEvent('Topology Aware Hints has been disabled', hinted.addressType as AddressType)
      if (event) recorder.event(object, event.type, event.reason, event.message)
    }
    return [keyOf(object)]
  }
  function owner({ metadata: { namespace, labels } }: EndpointSlice): string[] {
    const service = labels?.[serviceNameLabel]
    return service && labels?.[managedByLabel] === managedBy ? [`${namespace}/${service}`] : []
  }

  function withHints(service: Service, type: AddressType, endpoints: Endpoint[], before: Endpoint[]): Endpoint[] {
    const had = before.some(e => e.hints !== undefined)
    if (!isTopologyAware(service)) return distributed(endpoints, service.spec.trafficDistribution)
    const given = topologyAware(endpoints, new Map(before.map(e => [endpointKey(e), e])), endpointKey, nodeInformer.list())
    if (given.disabled !== undefined || !had) {
      const event = hintsEvent(given.disabled, type)
      recorder.event(service, event.type, event.reason, event.message)
    }
    return given.endpoints
  }

  async function reconcile(key: string, client: Client): Promise<void> {
    const [namespace, name] = splitKey(key)
    const service = all.get(namespace, name)
    // A deleted service's slices go with it: they have it as their owner.
    if (!service || !isManaged(service) || service.metadata.deletionTimestamp) return
    const existing = slices.byIndex('service', key).filter(s => isOurs(s) && !s.metadata.deletionTimestamp)
    const members = podInformer.list(namespace).filter(p => selectsPod(service, p.metadata.labels) && mayServe(p, true))
    const trigger = triggerTime(service, members)
    const types = addressTypes(service)
    const labels = sliceLabels(service)
    const had = new Set(existing.flatMap(s => s.endpoints ?? []).map(endpointKey))
    const wanted = new Set<string>()
    let written = 0
    try {
      for (const type of types) {
        const found = members.flatMap(pod => {
          const node = nodeInformer.get('', pod.spec.nodeName ?? '')
          if (addressesOf(pod, type).length === 0 || (pod.spec.nodeName && !node && !service.spec.publishNotReadyAddresses)) return []
          return [{ ports: portsOf(pod, service), endpoint: endpointOf(pod, service, node, type) }]
        })
        const own = existing.filter(s => s.addressType === type && isOwnedBy(s, 'Service', service))
        const hinted = withHints(
          service,
          type,
          found.map(f => f.endpoint),
          own.flatMap(s => s.endpoints ?? []),
        )
        const items = found.map(({ ports }, i) => ({ ports, endpoint: hinted[i]! }))
        const plan = changes(own, groupByPorts(items))
        for (const e of hinted) wanted.add(endpointKey(e))
        for (const [operation, { length }] of Object.entries(plan) as ['create' | 'update' | 'delete', unknown[]][]) {
          metrics.changed(operation, length)
          written += length
        }
        for (const group of plan.create) await client.create(endpointSlices, namespace, newSlice(service, type, group, trigger))
        const write = (slice: EndpointSlice, { ports, endpoints }: Pick<EndpointSlice, 'ports' | 'endpoints'>, changed: boolean) => {
          const annotations = { ...slice.metadata.annotations, ...(changed && trigger ? { [triggerTimeAnnotation]: trigger } : {}) }
          return client.update(endpointSlices, { ...slice, metadata: { ...slice.metadata, labels, annotations }, ports, endpoints })
        }
        for (const change of plan.update) await write(change.slice, change, true)
        for (const slice of plan.delete) await remove(client, slice)
        const untouched = own.filter(s => !plan.delete.includes(s) && !plan.update.some(u => u.slice === s))
        for (const slice of untouched) if (!sameLabels(slice.metadata.labels, labels)) await write(slice, slice, false)
      }
      const strays = existing.filter(s => !types.includes(s.addressType as AddressType) || !isOwnedBy(s, 'Service', service))
      for (const slice of strays) await remove(client, slice)
      metrics.synced([...wanted].filter(key => !had.has(key)).length, [...had].filter(key => !wanted.has(key)).length)
      slicesChanged.observe(written, {
        topology: isTopologyAware(service) ? 'Auto' : 'Disabled',
        traffic_distribution: service.spec.trafficDistribution ?? '',
      })
      syncs.add({ result: 'success' })
    } catch (e) {
      if (isNamespaceTerminating(e)) return
      syncs.add({ result: 'error' })
      const message = `Error updating Endpoint Slices for Service ${namespace}/${name}: ${(e as Error).message}`
      if (!isStatus(e, 'Conflict')) recorder.event(service, 'Warning', 'FailedToUpdateEndpointSlices', message)
      throw e
    }
  }

  return {
    name: 'endpointslice-controller',
    client: ctx.as('endpointslice-controller'),
    workers: 5,
    sources: [
      source(all, changed),
      source(podInformer, servicesOf),
      source(nodeInformer, servicesOn),
      source(slices, e => owner(e.object)),
    ],
    reconcile,
    log: ctx.log,
  }
}

const sameLabels = (a: { [key: string]: string } | undefined, b: { [key: string]: string }): boolean =>
  Object.keys(a ?? {}).length === Object.keys(b).length && Object.entries(b).every(([k, v]) => a?.[k] === v)

async function remove(client: Client, slice: EndpointSlice): Promise<void> {
  await client.delete(endpointSlices, slice.metadata.namespace ?? '', slice.metadata.name ?? '').catch((e: unknown) => {
    if (!isStatus(e, 'NotFound')) throw e
  })
}
