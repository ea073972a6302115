/** Whether this node takes a pod that was bound to it: what the scheduler checked may have changed, or was never checked. */
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { podRequests } from '#shared/api/core/podspec/resources.ts'
import type { NodeSelectorRequirement, NodeSelectorTerm } from '#shared/api/core/podspec/affinity.ts'
import { quantityMilliValue, quantityValue } from '#shared/machinery/quantity.ts'

export interface Rejection {
  reason: string
  message: string
}

function requirementMatches(r: NodeSelectorRequirement, value: string | undefined): boolean {
  const values = r.values ?? []
  switch (r.operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    case 'Gt':
      return value !== undefined && Number(value) > Number(values[0])
    case 'Lt':
      return value !== undefined && Number(value) < Number(values[0])
    default:
      return false
  }
}
function termMatches({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, node: Node): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false
  return (
    matchExpressions.every(r => requirementMatches(r, node.metadata.labels?.[r.key])) && matchFields.every(r => requirementMatches(r, r.key === 'metadata.name' ? node.metadata.name : undefined))
  )
}

function matchesNode(pod: Pod, node: Node): boolean {
  const { labels } = node.metadata
  if (!Object.entries(pod.spec.nodeSelector ?? {}).every(([k, v]) => labels?.[k] === v)) return false
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
  return !required || required.nodeSelectorTerms.some(term => termMatches(term, node))
}

/** Only NoExecute taints keep a pod from a node it is bound to. */
function tolerates(pod: Pod, node: Node): boolean {
  return (node.spec.taints ?? [])
    .filter(t => t.effect === 'NoExecute')
    .every(taint =>
      (pod.spec.tolerations ?? []).some(
        t => (!t.effect || t.effect === taint.effect) && (!t.key ? t.operator === 'Exists' : t.key === taint.key) && (t.operator === 'Exists' || (t.value ?? '') === (taint.value ?? '')),
      ),
    )
}

const hostPorts = (pod: Pod): string[] =>
  [...pod.spec.containers, ...(pod.spec.initContainers ?? []).filter(c => c.restartPolicy === 'Always')].flatMap(c => (c.ports ?? []).filter(p => p.hostPort).map(p => `${p.protocol ?? 'TCP'}/${p.hostPort}`))

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
  if (!tolerates(pod, node)) return { reason: 'TaintToleration', message: 'Predicate TaintToleration failed: node(s) had untolerated taint(s)' }
  const taken = new Set(others.flatMap(hostPorts))
  if (hostPorts(pod).some(p => taken.has(p))) return { reason: 'NodePorts', message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports" }
  return insufficient(pod, node, others)
}
