/** Which slices a service should have: pure functions after k8s.io/endpointslice. */
import type { Node } from '#shared/api/core/node.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { Endpoint, EndpointPort, EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { services } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { canonical } from '#shared/machinery/hash.ts'
import { controllerRef } from '../podcontrol/ownership.ts'
import { isReady, isTerminating } from '../podcontrol/pods.ts'
import { addressesOf, headlessLabel, hostnameIn, isHeadless, targetPort, triggerTimeAnnotation, type AddressType } from './backends.ts'

export const serviceNameLabel = 'kubernetes.io/service-name'
export const managedByLabel = 'endpointslice.kubernetes.io/managed-by'
/** Index of slices by their Service's key. */
export const byService = (s: EndpointSlice): string[] => [`${s.metadata.namespace}/${s.metadata.labels?.[serviceNameLabel] ?? ''}`]
export const managedBy = 'endpointslice-controller.k8s.io'
/** Whether the slice is of this Service, or these Endpoints: not of one of the same name before, with which it goes. */
export const isOwnedBy = (slice: EndpointSlice, kind: 'Service' | 'Endpoints', { metadata: { uid } }: KubeObject): boolean =>
  slice.metadata.ownerReferences?.some(o => o.uid === uid && o.kind === kind && o.apiVersion === 'v1') ?? false
export const maxEndpoints = 100

/** One endpoint for a pod; `node` is where it runs. */
export function endpointOf(pod: LeanPod, service: Service, node: Node | undefined, type: AddressType): Endpoint {
  const serving = isReady(pod)
  const terminating = isTerminating(pod)
  const { name = '', namespace = '', uid = '' } = pod.metadata
  const zone = node?.metadata.labels?.['topology.kubernetes.io/zone']
  const hostname = hostnameIn(pod, service)
  return {
    addresses: addressesOf(pod, type),
    conditions: { ready: Boolean(service.spec.publishNotReadyAddresses) || (serving && !terminating), serving, terminating },
    ...(hostname ? { hostname } : {}),
    targetRef: { kind: 'Pod', namespace, name, uid },
    ...(pod.spec.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    ...(zone ? { zone } : {}),
  }
}

/** The service's ports as numbers in this pod; ports that the pod does not name are left out. */
export function portsOf(pod: LeanPod, service: Service): EndpointPort[] {
  const ports = service.spec.ports ?? []
  // Without names to look up in the pod they are the same for all: one list, so that a thousand of them are compared by identity.
  if (!ports.some(p => typeof p.targetPort === 'string')) {
    let shared = numbered.get(service)
    if (!shared) numbered.set(service, (shared = resolved(pod, service)))
    return shared
  }
  return resolved(pod, service)
}
const numbered = new WeakMap<Service, EndpointPort[]>()
function resolved(pod: LeanPod, service: Service): EndpointPort[] {
  return (service.spec.ports ?? []).flatMap(port => {
    const number = targetPort(pod, port)
    if (number === undefined) return []
    return [
      {
        name: port.name ?? '',
        protocol: port.protocol ?? 'TCP',
        port: number,
        ...(port.appProtocol ? { appProtocol: port.appProtocol } : {}),
      },
    ]
  })
}
/** By list: those of stored slices and of pods that share one are looked at again and again. */
const portKeys = new WeakMap<readonly EndpointPort[], string>()
/** Equal for lists of the same ports, in whatever order. */
export function portKey(ports: readonly EndpointPort[] = []): string {
  let key = portKeys.get(ports)
  if (key === undefined) {
    key = ports
      .map(p => canonical({ ...p, name: p.name ?? '' }))
      .sort()
      .join()
    portKeys.set(ports, key)
  }
  return key
}
/** Equal for the same pod with the same addresses. */
export const endpointKey = (e: Endpoint): string =>
  canonical([[...e.addresses].sort(), e.hostname ?? '', e.targetRef?.namespace, e.targetRef?.name, e.targetRef?.uid])

/** Endpoints that share their ports, and so their slices. */
export interface PortGroup {
  ports: EndpointPort[]
  endpoints: Endpoint[]
}
export function groupByPorts(items: readonly { ports: EndpointPort[]; endpoint: Endpoint }[]): PortGroup[] {
  const groups = new Map<string, PortGroup>()
  for (const { ports, endpoint } of items) {
    const key = portKey(ports)
    const group = groups.get(key) ?? { ports, endpoints: [] }
    group.endpoints.push(endpoint)
    groups.set(key, group)
  }
  return [...groups.values()]
}

export interface SliceChanges {
  create: PortGroup[]
  /** Slices with the ports and endpoints that they are to have. */
  update: ({ slice: EndpointSlice } & PortGroup)[]
  delete: EndpointSlice[]
}
/**
 * How to get from the existing slices of one address type to the wanted groups with few writes: endpoints stay in the slice they are in,
 * new ones fill slices that change anyway, then the fullest other that has room for all that are left, then new slices of at most `max`. A
 * slice that is not needed any more becomes a new one.
 */
export function changes(existing: readonly EndpointSlice[], groups: readonly PortGroup[], max = maxEndpoints): SliceChanges {
  const result: SliceChanges = { create: [], update: [], delete: [] }
  const wanted = new Map(groups.map(g => [portKey(g.ports), g]))
  const byPorts = Map.groupBy(existing, slice => portKey(slice.ports))
  for (const [key, slices] of byPorts) if (!wanted.has(key)) result.delete.push(...slices)
  for (const [key, { ports, endpoints }] of wanted) {
    const missing = new Map(endpoints.map(e => [endpointKey(e), e]))
    const plans = (byPorts.get(key) ?? []).map(slice => {
      const kept: Endpoint[] = []
      let changed = false
      for (const old of slice.endpoints ?? []) {
        const now = missing.get(endpointKey(old))
        missing.delete(endpointKey(old))
        if (now) kept.push(now)
        if (!now || canonical(now) !== canonical(old)) changed = true
      }
      return { slice, kept, changed }
    })
    const rest = [...missing.values()]
    const fullest = plans.sort((a, b) => b.kept.length - a.kept.length)
    for (const { kept } of fullest.filter(p => p.changed && p.kept.length > 0)) kept.push(...rest.splice(0, max - kept.length))
    const roomy = rest.length > 0 && fullest.find(p => !p.changed && p.kept.length + rest.length <= max)
    if (roomy) {
      roomy.kept.push(...rest.splice(0))
      roomy.changed = true
    }
    for (const { slice, kept, changed } of plans)
      if (kept.length === 0) result.delete.push(slice)
      else if (changed) result.update.push({ slice, ports, endpoints: kept })
    for (let at = 0; at < rest.length; at += max) result.create.push({ ports, endpoints: rest.slice(at, at + max) })
  }
  // A service without any endpoint keeps one empty slice, so that a client can tell "none" from "not yet".
  if (result.create.length === 0 && result.delete.length === existing.length) {
    const empty = result.delete.findIndex(s => (s.endpoints ?? []).length === 0 && (s.ports ?? []).length === 0)
    if (empty >= 0) result.delete.splice(empty, 1)
    else result.create.push({ ports: [], endpoints: [] })
  }
  while (result.create.length > 0 && result.delete.length > 0)
    result.update.push({ slice: result.delete.shift()!, ...result.create.pop()! })
  return result
}

/** Labels of a slice: the service's, and those that say whose it is. */
export function sliceLabels(service: Service): { [key: string]: string } {
  const { [headlessLabel]: _, ...labels } = service.metadata.labels ?? {}
  return {
    ...labels,
    ...(isHeadless(service) ? { [headlessLabel]: '' } : {}),
    [serviceNameLabel]: service.metadata.name ?? '',
    [managedByLabel]: managedBy,
  }
}
export function newSlice(service: Service, type: AddressType, group: PortGroup, trigger: string): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      generateName: `${service.metadata.name}-`,
      namespace: service.metadata.namespace,
      labels: sliceLabels(service),
      ...(trigger ? { annotations: { [triggerTimeAnnotation]: trigger } } : {}),
      ownerReferences: [controllerRef(services, service)],
    },
    addressType: type,
    endpoints: group.endpoints,
    ports: group.ports,
  } as EndpointSlice
}
