/**
 * Whom each endpoint of a Service is for: pure functions after k8s.io/endpointslice's trafficdist (`spec.trafficDistribution`) and
 * topologycache (the annotation service.kubernetes.io/topology-mode).
 */
import type { Node } from '#shared/api/core/node.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { Endpoint } from '#shared/api/discovery/endpointslice.ts'
import { quantityMilliValue } from '#shared/machinery/quantity.ts'
import type { AddressType } from './backends.ts'

/** How much more than its share the endpoints of one zone may have to do. */
const overload = 0.2
const zoneLabel = 'topology.kubernetes.io/zone'
const excludedLabels = ['node-role.kubernetes.io/control-plane', 'node-role.kubernetes.io/master']

/** Whether hints are to be by the zones' processors: service.kubernetes.io/topology-mode: Auto, or its predecessor's annotation. */
export function isTopologyAware({ metadata: { annotations } }: Service): boolean {
  const value = annotations?.['service.kubernetes.io/topology-aware-hints'] ?? annotations?.['service.kubernetes.io/topology-mode']
  return value === 'Auto' || value === 'auto'
}

/** What of a node decides hints; undefined for one that does not count. */
export function zoneShare({ metadata, status }: Node): { zone: string; milliCPU: number } | undefined {
  if (excludedLabels.some(label => metadata.labels?.[label] !== undefined)) return undefined
  if (!status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')) return undefined
  return { zone: metadata.labels?.[zoneLabel] ?? '', milliCPU: quantityMilliValue(status.allocatable?.['cpu'] ?? '0') }
}

const isReady = (e: Endpoint): boolean => e.conditions?.ready === true
const without = ({ hints: _, ...rest }: Endpoint): Endpoint => rest
const forZone = (endpoint: Endpoint, zone: string): Endpoint => ({ ...endpoint, hints: { forZones: [{ name: zone }] } })

/** Endpoints with the hints of `spec.trafficDistribution`: for their own zone, with PreferSameNode for their own node, too. */
export function distributed(endpoints: readonly Endpoint[], distribution: string | undefined): Endpoint[] {
  const nodes = distribution === 'PreferSameNode'
  if (!nodes && distribution !== 'PreferSameZone' && distribution !== 'PreferClose') return endpoints.map(without)
  return endpoints.map(e => {
    const hints = {
      ...(e.zone ? { forZones: [{ name: e.zone }] } : {}),
      ...(nodes && e.nodeName ? { forNodes: [{ name: e.nodeName }] } : {}),
    }
    return isReady(e) && Object.keys(hints).length > 0 ? { ...without(e), hints } : without(e)
  })
}

interface Allocation {
  maximum: number
  desired: number
}
/** Zone to how many of `total` endpoints are for it, by the processors of its ready nodes; or why that cannot be, in upstream's words. */
export function allocations(nodes: Iterable<Node>, total: number): Map<string, Allocation> | string {
  const cpus = new Map<string, number>()
  for (const share of [...nodes].map(zoneShare)) {
    if (!share) continue
    if (share.zone === '' || share.milliCPU === 0) {
      cpus.clear()
      break
    }
    cpus.set(share.zone, (cpus.get(share.zone) ?? 0) + share.milliCPU)
  }
  if (cpus.size < 2) return 'Insufficient Node information: allocatable CPU or zone not specified on one or more nodes'
  const counted = `(${total} endpoints, ${cpus.size} zones)`
  if (cpus.size > total) return `Insufficient number of endpoints ${counted}`
  const all = [...cpus.values()].reduce((a, b) => a + b, 0)
  const shares = [...cpus].map(([zone, cpu]) => ({ zone, desired: (cpu / all) * total }))
  const minima = shares.map(({ zone, desired }) => ({ zone, desired, minimum: Math.ceil(desired / (1 + overload)) }))
  const rest = total - minima.reduce((sum, { minimum }) => sum + minimum, 0)
  if (rest < 0) return `Unable to allocate minimum required endpoints to each zone without exceeding overload threshold ${counted}`
  return new Map(minima.map(({ zone, desired, minimum }) => [zone, { maximum: minimum + rest, desired: Math.max(desired, minimum) }]))
}

/**
 * Endpoints with hints such that each zone has as many as its processors are of all; `before` are those that there were, by `keyOf`, whose
 * hints stay where they can. Without any hint, and with upstream's reason, when that cannot be.
 */
export function topologyAware(
  endpoints: readonly Endpoint[],
  before: ReadonlyMap<string, Endpoint>,
  keyOf: (e: Endpoint) => string,
  nodes: Iterable<Node>,
): { endpoints: Endpoint[]; disabled?: string } {
  const ready = endpoints.filter(isReady)
  const wanted = allocations(nodes, ready.length)
  const none = (disabled: string) => ({ endpoints: endpoints.map(without), disabled })
  if (typeof wanted === 'string') return none(wanted)
  if (ready.some(e => !e.zone)) return none('One or more endpoints do not have a zone specified')
  const counts = new Map<string, number>()
  const zones = new Map<Endpoint, string>()
  const give = (e: Endpoint, zone: string): void => {
    zones.set(e, zone)
    counts.set(zone, (counts.get(zone) ?? 0) + 1)
  }
  for (const e of ready) {
    const [hint, more] = before.get(keyOf(e))?.hints?.forZones ?? []
    const allocation = hint && !more && wanted.get(hint.name)
    if (allocation && (counts.get(hint.name) ?? 0) < allocation.maximum) give(e, hint.name)
  }
  const kept = zones.size
  const fresh = ready.filter(e => !zones.has(e))
  for (const e of fresh) give(e, e.zone!)
  redistribute(fresh, zones, counts, wanted)
  // What is kept leaves a zone with too few: all are given anew.
  if (kept > 0 && [...wanted].some(([zone, { desired }]) => Math.ceil(desired / (1 + overload)) > (counts.get(zone) ?? 0)))
    return topologyAware(endpoints, new Map(), keyOf, nodes)
  return { endpoints: endpoints.map(e => (zones.has(e) ? forZone(without(e), zones.get(e)!) : without(e))) }
}

/** Moves hints of `movable` from zones that have most too many to those that lack most. */
function redistribute(
  movable: readonly Endpoint[],
  zones: Map<Endpoint, string>,
  counts: Map<string, number>,
  wanted: ReadonlyMap<string, Allocation>,
): void {
  const excess = (zone: string): number => (counts.get(zone) ?? 0) - (wanted.get(zone)?.desired ?? 0)
  for (const e of [...movable].reverse()) {
    const from = zones.get(e)!
    const [to] = [...wanted.keys()].sort((a, b) => excess(a) - excess(b))
    if (to === undefined || to === from) continue
    const [surplus, lack] = [excess(from), -excess(to)]
    if ((surplus < 1 && lack < 1) || surplus < 0.5 || lack < 0.5) continue
    zones.set(e, to)
    counts.set(from, counts.get(from)! - 1)
    counts.set(to, (counts.get(to) ?? 0) + 1)
  }
}

/** What is told of a Service whose hints begin or end. */
export const hintsEvent = (
  reason: string | undefined,
  type: AddressType,
): { reason: string; message: string; type: 'Normal' | 'Warning' } =>
  reason === undefined
    ? { type: 'Normal', reason: 'TopologyAwareHintsEnabled', message: `Topology Aware Hints has been enabled, addressType: ${type}` }
    : { type: 'Warning', reason: 'TopologyAwareHintsDisabled', message: `${reason}, addressType: ${type}` }
