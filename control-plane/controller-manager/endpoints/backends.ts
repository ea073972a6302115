/** From a Service and its pods to addresses and ports: what Endpoints and EndpointSlices have in common. */
import type { LeanPod } from '#shared/client/leanpod.ts'
import type { Service } from '#shared/api/core/service.ts'
import { hasEnded, isTerminating } from '../podcontrol/pods.ts'

type ServicePort = NonNullable<Service['spec']['ports']>[number]
export type AddressType = 'IPv4' | 'IPv6'

/** Label that a headless service's endpoints carry. */
export const headlessLabel = 'service.kubernetes.io/headless'
export const triggerTimeAnnotation = 'endpoints.kubernetes.io/last-change-trigger-time'

/** Whether controllers keep this service's endpoints: it has a selector and is no alias. */
export const isManaged = (service: Service): boolean =>
  service.spec.type !== 'ExternalName' && Object.keys(service.spec.selector ?? {}).length > 0
export const isHeadless = (service: Service): boolean => service.spec.clusterIP === 'None'
export const selectsPod = (service: Service, labels: { readonly [key: string]: string } | undefined): boolean =>
  isManaged(service) && Object.entries(service.spec.selector ?? {}).every(([k, v]) => labels?.[k] === v)

/** Pods that may serve: they have an address and have not ended. */
export const mayServe = (pod: LeanPod, includeTerminating: boolean): boolean =>
  Boolean(pod.status?.podIP) && !hasEnded(pod) && (includeTerminating || !isTerminating(pod))

const typeOf = (ip: string): AddressType => (ip.includes(':') ? 'IPv6' : 'IPv4')
export function addressesOf(pod: LeanPod, type: AddressType): string[] {
  const ips = pod.status?.podIPs?.map(p => p.ip) ?? [pod.status?.podIP ?? '']
  return ips.filter(ip => ip !== '' && typeOf(ip) === type)
}
/** The families of a service; one that was written before they were defaulted has that of its IP. */
export function addressTypes(service: Service): AddressType[] {
  const families = service.spec.ipFamilies?.filter(f => f === 'IPv4' || f === 'IPv6')
  return families?.length ? families : [typeOf(service.spec.clusterIP ?? '')]
}

/** The number that a service port has in a pod; undefined when the pod has no port of that name and protocol. */
export function targetPort(pod: LeanPod, port: ServicePort): number | undefined {
  const target = port.targetPort ?? port.port
  if (typeof target === 'number') return target || port.port
  const protocol = port.protocol ?? 'TCP'
  const sidecars = (pod.spec.initContainers ?? []).filter(c => c.restartPolicy === 'Always')
  for (const container of [...pod.spec.containers, ...sidecars])
    for (const p of container.ports ?? []) if (p.name === target && (p.protocol ?? 'TCP') === protocol) return p.containerPort
  return undefined
}

/** The pod's own name in DNS under this service, if it asked for one. */
export const hostnameIn = (pod: LeanPod, service: Service): string | undefined =>
  pod.spec.hostname && pod.spec.subdomain === service.metadata.name && pod.metadata.namespace === service.metadata.namespace
    ? pod.spec.hostname
    : undefined

/**
 * When what led to the present endpoints happened, as far as the objects tell: the latest change of readiness, or the service's creation.
 */
export function triggerTime(service: Service, pods: readonly LeanPod[]): string {
  let latest = service.metadata.creationTimestamp ?? ''
  for (const pod of pods) {
    const ready = pod.status?.conditions?.find(c => c.type === 'Ready')?.lastTransitionTime ?? ''
    if (ready > latest) latest = ready
  }
  return latest
}
