/** Whether this node takes a pod that was bound to it: what the scheduler checked may have changed, or was never checked. */
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { podRequests } from '#shared/api/core/podspec/resources.ts'
import { quantityMilliValue, quantityValue } from '#shared/machinery/quantity.ts'
import { conflicts, portsOn } from '#shared/scheduling/hostports.ts'
import { matchesNode } from '#shared/scheduling/nodeaffinity.ts'
import { tolerates } from '#shared/scheduling/taints.ts'

export interface Rejection {
  reason: string
  message: string
}

/** Only NoExecute taints keep a pod from a node it is bound to. */
const toleratesNode = (pod: Pod, node: Node): boolean =>
  (node.spec.taints ?? []).every(taint => taint.effect !== 'NoExecute' || tolerates(pod.spec.tolerations, taint))

function insufficient(pod: Pod, node: Node, others: readonly Pod[]): Rejection | undefined {
  const allocatable = node.status?.allocatable ?? {}
  const podLimit = quantityValue(allocatable['pods'] ?? '0')
  const lacks = (resource: string, requested: number, used: number, capacity: number): Rejection => ({
    reason: `OutOf${resource}`,
    message: `Node didn't have enough resource: ${resource}, requested: ${requested}, used: ${used}, capacity: ${capacity}`,
  })
  if (others.length + 1 > podLimit) return lacks('pods', 1, others.length, podLimit)
  const used = others.map(p => podRequests(p.spec))
  for (const [resource, quantity] of Object.entries(podRequests(pod.spec))) {
    const amount = (q: string | undefined): number => (q === undefined ? 0 : resource === 'cpu' ? quantityMilliValue(q) : quantityValue(q))
    const [requested, capacity] = [amount(quantity), amount(allocatable[resource])]
    const taken = used.reduce((sum, list) => sum + amount(list[resource]), 0)
    if (requested > 0 && taken + requested > capacity) return lacks(resource, requested, taken, capacity)
  }
  return undefined
}

/** Pods without which a cluster does not work: upstream's system priorities begin here. */
const systemPriority = 2_000_000_000
/** A node whose disk is full takes on nothing more, whoever tolerates its taint: it could not even write down what it runs. */
function underPressure(pod: Pod, node: Node): Rejection | undefined {
  const pressure = node.status?.conditions?.some(c => c.type === 'DiskPressure' && c.status === 'True')
  return pressure && (pod.spec.priority ?? 0) < systemPriority
    ? { reason: 'Evicted', message: 'The node had condition: [DiskPressure]. ' }
    : undefined
}

/**
 * What a pod may set without harm to others: each has its own namespace in the kernel.
 * https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/#safe-and-unsafe-sysctls
 */
const safeSysctls = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
])

/** `others` are the pods that hold the node's resources now. Undefined: the pod may run. */
export function admit(pod: Pod, node: Node, others: readonly Pod[]): Rejection | undefined {
  const pressure = underPressure(pod, node)
  if (pressure) return pressure
  const unsafe = pod.spec.securityContext?.sysctls?.find(s => !safeSysctls.has(s.name.replaceAll('/', '.')))
  if (unsafe) return { reason: 'SysctlForbidden', message: `forbidden sysctl: ${JSON.stringify(unsafe.name)} not allowlisted` }
  const { os } = pod.spec
  if (os && os.name !== (node.metadata.labels?.['kubernetes.io/os'] ?? 'linux'))
    return { reason: 'PodOSNotSupported', message: "Failed to admit pod as the OS field doesn't match node OS" }
  if (!matchesNode(pod, node))
    return { reason: 'NodeAffinity', message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector" }
  if (!toleratesNode(pod, node))
    return { reason: 'TaintToleration', message: 'Predicate TaintToleration failed: node(s) had untolerated taint(s)' }
  const taken = others.flatMap(other => portsOn(node, other))
  if (portsOn(node, pod).some(p => taken.some(t => conflicts(p, t))))
    return { reason: 'NodePorts', message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports" }
  return insufficient(pod, node, others)
}
