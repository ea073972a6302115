/** What policies look at of a pod, and what of it a node keeps for that. */
import type { Pod } from '#shared/api/core/pod.ts'
import { ipFamily, type IPFamily } from '#shared/machinery/ip.ts'
import type { PodFacts } from './decisions.ts'

/** For an informer's `strip`: some hundred bytes of each pod of the cluster. */
export function keepPodFacts(pod: Pod): void {
  const { name, namespace, uid, resourceVersion, labels } = pod.metadata
  pod.metadata = { name, namespace, uid, resourceVersion, ...(labels ? { labels } : {}) } as Pod['metadata']
  const { nodeName, hostNetwork, containers, initContainers } = pod.spec
  const ports = (list: Pod['spec']['containers'] = []): Pod['spec']['containers'] =>
    list.filter(c => c.ports?.some(p => p.name)).map(c => ({ name: c.name, ports: c.ports, restartPolicy: c.restartPolicy })) as typeof list
  pod.spec = { nodeName, hostNetwork, containers: ports(containers), initContainers: ports(initContainers) } as Pod['spec']
  pod.status = { phase: pod.status?.phase, podIP: pod.status?.podIP, podIPs: pod.status?.podIPs } as NonNullable<Pod['status']>
}

/**
 * Undefined for a pod that has no address of its own of the family: one with the node's network counts as the node. `ips` are those of a
 * pod of this node, which the API may not know yet.
 */
export function podFacts(pod: Pod, local: boolean, family: IPFamily, ips = addressesOf(pod)): PodFacts | undefined {
  const { metadata, spec } = pod
  const ip = ips.find(a => ipFamily(a) === family)
  if (ip === undefined || spec.hostNetwork) return undefined
  const containers = [...spec.containers, ...(spec.initContainers ?? []).filter(c => c.restartPolicy === 'Always')]
  const ports = containers.flatMap(c =>
    (c.ports ?? []).flatMap(p => (p.name ? [{ name: p.name, protocol: p.protocol ?? 'TCP', port: p.containerPort }] : [])),
  )
  return { namespace: metadata.namespace ?? '', labels: metadata.labels ?? {}, ip, ports, local }
}

/** What has ended has given its address back. */
const addressesOf = ({ status }: Pod): readonly string[] =>
  status?.phase === 'Succeeded' || status?.phase === 'Failed' ? [] : (status?.podIPs?.map(p => p.ip) ?? [status?.podIP ?? ''])
