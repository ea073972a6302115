/** Whether this node takes a pod that was bound to it: what the scheduler checked may have changed, or was never checked. */
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { isExtendedResource } from '#shared/api/core/resourcenames.ts'
import { podQOS } from '#shared/api/core/podspec/qos.ts'
import { podRequests } from '#shared/api/core/podspec/resources.ts'
import { quantityMilliValue, quantityValue } from '#shared/machinery/quantity.ts'
import { conflicts, portsOn } from '#shared/scheduling/hostports.ts'
import { matchesNode } from '#shared/scheduling/nodeaffinity.ts'
import { tolerates } from '#shared/scheduling/taints.ts'
import { appArmorRefusal } from './apparmor.ts'
import { isCritical } from './critical.ts'
import { forbiddenSysctl } from './sysctls.ts'

export interface Rejection {
  reason: string
  message: string
  /** Set when nothing but resources are in the way, which a critical pod may take from others. */
  lacks?: Lack[]
}

/** Only NoExecute taints keep a pod from a node it is bound to. */
const toleratesNode = (pod: Pod, node: Node): boolean =>
  (node.spec.taints ?? []).every(taint => taint.effect !== 'NoExecute' || tolerates(pod.spec.tolerations, taint))

/** Milli-CPUs of `cpu`, whole units of the rest. */
export const resourceAmount = (resource: string, quantity: string | undefined): number =>
  quantity === undefined ? 0 : resource === 'cpu' ? quantityMilliValue(quantity) : quantityValue(quantity)

/** A resource of which the node has too little left. */
export interface Lack {
  resource: string
  requested: number
  used: number
  capacity: number
}

/** What a pod lacks on a node whose resources `others` hold. */
export function lacks(pod: Pod, node: Node, others: readonly Pod[]): Lack[] {
  const allocatable = node.status?.allocatable ?? {}
  const out: Lack[] = []
  const podLimit = quantityValue(allocatable['pods'] ?? '0')
  if (others.length + 1 > podLimit) out.push({ resource: 'pods', requested: 1, used: others.length, capacity: podLimit })
  const used = others.map(p => podRequests(p.spec))
  for (const [resource, quantity] of Object.entries(podRequests(pod.spec))) {
    // Somebody else than the node has it: a scheduler extender.
    if (isExtendedResource(resource) && allocatable[resource] === undefined) continue
    const [requested, capacity] = [resourceAmount(resource, quantity), resourceAmount(resource, allocatable[resource])]
    const taken = used.reduce((sum, list) => sum + resourceAmount(resource, list[resource]), 0)
    if (requested > 0 && taken + requested > capacity) out.push({ resource, requested, used: taken, capacity })
  }
  return out
}

export const lackText = ({ resource, requested, used, capacity }: Lack): string =>
  `Node didn't have enough resource: ${resource}, requested: ${requested}, used: ${used}, capacity: ${capacity}`

const pressures = ['MemoryPressure', 'DiskPressure', 'PIDPressure']
const memoryPressureTaint = { key: 'node.kubernetes.io/memory-pressure', effect: 'NoSchedule' }

/**
 * A node that is short of something takes on nothing more but critical pods, whoever tolerates its taint. Short of memory alone, it takes
 * pods that say what they need, or that tolerate just that.
 */
function underPressure(pod: Pod, node: Node): Rejection | undefined {
  const conditions = pressures.filter(type => node.status?.conditions?.some(c => c.type === type && c.status === 'True'))
  if (conditions.length === 0 || isCritical(pod)) return undefined
  const onlyMemory = conditions.length === 1 && conditions[0] === 'MemoryPressure'
  if (onlyMemory && (podQOS(pod.spec) !== 'BestEffort' || tolerates(pod.spec.tolerations, memoryPressureTaint))) return undefined
  return { reason: 'Evicted', message: `The node had condition: [${conditions.join(' ')}]. ` }
}

/** What the administrator of the node says of pods' security, and what its kernel enforces. */
export interface SecurityPolicy {
  /** Names, and prefixes that end with `*`, beside the safe ones. */
  allowedUnsafeSysctls?: readonly string[]
  appArmor?: boolean
}

/** `others` are the pods that hold the node's resources now. Undefined: the pod may run. */
export function admit(pod: Pod, node: Node, others: readonly Pod[], policy: SecurityPolicy = {}): Rejection | undefined {
  const pressure = underPressure(pod, node)
  if (pressure) return pressure
  const unsafe = forbiddenSysctl(pod, policy.allowedUnsafeSysctls)
  if (unsafe) return { reason: 'SysctlForbidden', message: unsafe }
  const { os } = pod.spec
  // The pod's own label, as upstream has it; what its selector says is for node affinity.
  const label = pod.metadata.labels?.['kubernetes.io/os']
  if (label !== undefined && label !== (node.metadata.labels?.['kubernetes.io/os'] ?? 'linux'))
    return {
      reason: 'PodOSSelectorNodeLabelDoesNotMatch',
      message: "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
    }
  if (os && os.name !== (node.metadata.labels?.['kubernetes.io/os'] ?? 'linux'))
    return { reason: 'PodOSNotSupported', message: "Failed to admit pod as the OS field doesn't match node OS" }
  if (!matchesNode(pod, node))
    return { reason: 'NodeAffinity', message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector" }
  if (!toleratesNode(pod, node))
    return { reason: 'TaintToleration', message: 'Predicate TaintToleration failed: node(s) had untolerated taint(s)' }
  const taken = others.flatMap(other => portsOn(node, other))
  if (portsOn(node, pod).some(p => taken.some(t => conflicts(p, t))))
    return { reason: 'NodePorts', message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports" }
  const missing = lacks(pod, node, others)
  const first = missing[0]
  if (first) return { reason: `OutOf${first.resource}`, message: lackText(first), lacks: missing }
  const confinement = appArmorRefusal(pod, policy.appArmor ?? false)
  return confinement === undefined ? undefined : { reason: 'AppArmor', message: confinement }
}
