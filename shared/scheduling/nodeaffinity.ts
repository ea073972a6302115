/** Which nodes a pod's nodeSelector and node affinity allow. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/ */
import type { Node } from '../api/core/node.ts'
import type { Pod } from '../api/core/pod.ts'
import type { NodeSelectorTerm } from '../api/core/podspec/affinity.ts'

interface Requirement {
  key: string
  operator: string
  values?: string[] | undefined
}

function holds({ key, operator, values = [] }: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    case 'Gt':
    case 'Lt': {
      const [has, wants] = [value ?? '', values[0] ?? '']
      if (!/^-?\d+$/.test(has) || !/^-?\d+$/.test(wants)) return false
      return operator === 'Gt' ? BigInt(has) > BigInt(wants) : BigInt(has) < BigInt(wants)
    }
    default:
      return false
  }
}

/** A term without requirements matches nothing. */
export function matchesTerm(term: NodeSelectorTerm, node: Node): boolean {
  const expressions = term.matchExpressions ?? []
  const fields = term.matchFields ?? []
  if (expressions.length + fields.length === 0) return false
  return (
    expressions.every(r => holds(r, node.metadata.labels ?? {})) &&
    fields.every(r => holds(r, { 'metadata.name': node.metadata.name ?? '' }))
  )
}

/** Whether the node is one that the pod's nodeSelector and required node affinity allow. */
export function matchesNode(pod: { spec: Pick<Pod['spec'], 'nodeSelector' | 'affinity'> }, node: Node): boolean {
  const labels = node.metadata.labels ?? {}
  if (Object.entries(pod.spec.nodeSelector ?? {}).some(([k, v]) => labels[k] !== v)) return false
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
  return !required || (required.nodeSelectorTerms ?? []).some(term => matchesTerm(term, node))
}

/**
 * The only nodes that the terms can match, when each of them names some (matchFields on metadata.name, as DaemonSet pods have); undefined
 * when a term does not. Terms are alternatives, the fields of one are not.
 */
export function nodesNamedBy(terms: readonly NodeSelectorTerm[]): ReadonlySet<string> | undefined {
  if (terms.length === 0) return undefined
  const all = new Set<string>()
  for (const term of terms) {
    let named: ReadonlySet<string> | undefined
    for (const { key, operator, values = [] } of term.matchFields ?? []) {
      if (key !== 'metadata.name' || operator !== 'In') continue
      const before = named
      named = new Set(before ? values.filter(v => before.has(v)) : values)
    }
    if (!named) return undefined
    for (const name of named) all.add(name)
  }
  return all
}
