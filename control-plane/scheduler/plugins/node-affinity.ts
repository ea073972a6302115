/** nodeSelector and node affinity. */
import type { Node } from '#shared/api/core/node.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { nodes } from '#shared/api/kinds.ts'
import { matchesNode, matchesTerm, nodesNamedBy } from '#shared/scheduling/nodeaffinity.ts'
import { Action } from '../clusterevent.ts'
import { normalizeByMax, skip, unresolvable, type PluginFactory } from '../framework.ts'

const doesNotMatch = unresolvable("node(s) didn't match Pod's node affinity/selector")
const conflict = unresolvable('pod affinity terms conflict')

const preferred = (pod: Pod) => pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []
const required = (pod: Pod) => pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution

/** Whether the update brings the node to match. */
const comesToMatch = (pod: Pod, old: Node | undefined, node: Node | undefined): boolean =>
  node !== undefined && matchesNode(pod, node) && !(old && matchesNode(pod, old))

export const nodeAffinity: PluginFactory = () => ({
  name: 'NodeAffinity',
  events: [
    {
      kind: nodes,
      action: Action.Add | Action.UpdateNodeLabel,
      hint: (pod, old, node) => comesToMatch(pod, old as Node | undefined, node as Node | undefined),
    },
  ],
  preFilter(_, { pod }) {
    const terms = required(pod)
    if (!terms && Object.keys(pod.spec.nodeSelector ?? {}).length === 0) return skip
    const names = terms && nodesNamedBy(terms.nodeSelectorTerms ?? [])
    return names?.size === 0 ? conflict : names
  },
  filter: (_, { pod }, { node }) => (matchesNode(pod, node) ? undefined : doesNotMatch),
  preScore: (_, { pod }) => (preferred(pod).length === 0 ? skip : undefined),
  score(_, { pod }, { node }) {
    let sum = 0
    for (const p of preferred(pod)) if (p.weight > 0 && matchesTerm(p.preference, node)) sum += p.weight
    return sum
  },
  normalizeScore: (_, __, scores) => normalizeByMax(scores),
})
