/** The address with which what pods of a namespace send to the outside leaves the cluster: as a cloud's NAT gateway. */
import type { Namespace } from '../api/core/namespace.ts'
import type { Pod } from '../api/core/pod.ts'

/** Of a namespace: an IPv4 address of the cluster's first machine. */
export const egressAnnotation = 'coxswain.io/egress-address'
export const egressAddress = ({ metadata }: Namespace): string => metadata.annotations?.[egressAnnotation] ?? ''

/** For an informer's `strip`: where a pod is. */
export function keepPodAddress(pod: Pod): void {
  const { name, namespace, uid, resourceVersion } = pod.metadata
  const { phase, podIP } = pod.status ?? {}
  pod.metadata = { name, namespace, uid, resourceVersion } as Pod['metadata']
  pod.spec = { hostNetwork: pod.spec.hostNetwork } as Pod['spec']
  pod.status = { phase, podIP } as Pod['status']
}

/** The address that a pod has for itself; undefined when it has ended, or has the node's. */
export const ownAddress = ({ spec, status }: Pod): string | undefined =>
  spec.hostNetwork || status?.phase === 'Succeeded' || status?.phase === 'Failed' ? undefined : status?.podIP
