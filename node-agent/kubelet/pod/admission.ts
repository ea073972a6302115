/** Whether this node takes a pod that was bound to it: what the scheduler checked may have changed, or was never checked. */
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { podRequests } from '#shared/api/core/podspec/resources.ts'
import { quantityMilliValue, quantityValue } from '#shared/machinery/quantity.ts'
import { conflicts, hostPortsOf } from '#shared/scheduling/hostports.ts'
import { matchesNode } from '#shared/scheduling/nodeaffinity.ts'
import { tolerates } from '#shared/scheduling/taints.ts'

export interface Rejection {
  reason: string
  message: string
}

/** Only NoExecute taints keep a pod from a node it is bound to. */
const toleratesNode = (pod: Pod, node: Node): boolean => (node.spec.taints ?? []).every(taint => taint.effect !== 'NoExecute' || tolerates(pod.spec.tolerations, taint))

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

/** `others` are the pods that hold the node's resources now. Undefined: the pod may run. */
export function admit(pod: Pod, node: Node, others: readonly Pod[]): Rejection | undefined {
  const { os } = pod.spec
  if (os && os.name !== 'linux') return { reason: 'PodOSNotSupported', message: "Failed to admit pod as the OS field doesn't match node OS" }
  if (!matchesNode(pod, node)) return { reason: 'NodeAffinity', message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector" }
  if (!toleratesNode(pod, node)) return { reason: 'TaintToleration', message: 'Predicate TaintToleration failed: node(s) had untolerated taint(s)' }
  const taken = others.flatMap(hostPortsOf)
  if (hostPortsOf(pod).some(p => taken.some(t => conflicts(p, t)))) return { reason: 'NodePorts', message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports" }
  return insufficient(pod, node, others)
}
