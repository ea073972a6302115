/** nodeSelector and node affinity, and what the scheduler's configuration adds to them. */
import type { Node } from '#shared/api/core/node.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { nodes } from '#shared/api/kinds.ts'
import { matchesNode, matchesTerm, nodesNamedBy } from '#shared/scheduling/nodeaffinity.ts'
import { Action } from '../clusterevent.ts'
import type { NodeAffinityArgs } from '../config/pluginargs.ts'
import { normalizeByMax, skip, unresolvable, type PluginFactory } from '../framework.ts'

const doesNotMatch = unresolvable("node(s) didn't match Pod's node affinity/selector")
const notEnforced = unresolvable("node(s) didn't match scheduler-enforced node affinity")
const conflict = unresolvable('pod affinity terms conflict')

const preferred = (pod: Pod) => pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []
const required = (pod: Pod) => pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution

/** Whether the update brings the node to match. */
const comesToMatch = (pod: Pod, old: Node | undefined, node: Node | undefined): boolean =>
  node !== undefined && matchesNode(pod, node) && !(old && matchesNode(pod, old))

export function nodeAffinity({ addedAffinity }: NodeAffinityArgs): PluginFactory {
  const added = addedAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms
  const alsoPreferred = addedAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []
  const isEnforced = (node: Node): boolean => !added || added.some(term => matchesTerm(term, node))
  const allPreferred = (pod: Pod) => (alsoPreferred.length === 0 ? preferred(pod) : [...preferred(pod), ...alsoPreferred])
  return () => ({
    name: 'NodeAffinity',
    sign: ({ pod }) => [pod.spec.nodeSelector, pod.spec.affinity?.nodeAffinity],
    events: [
      {
        kind: nodes,
        action: Action.Add | Action.UpdateNodeLabel,
        hint: (pod, old, node) =>
          (!node || isEnforced(node as Node)) && comesToMatch(pod, added ? undefined : (old as Node | undefined), node as Node | undefined),
      },
    ],
    preFilter(_, { pod }) {
      const terms = required(pod)
      if (!terms && !added && Object.keys(pod.spec.nodeSelector ?? {}).length === 0) return skip
      const names = terms && nodesNamedBy(terms.nodeSelectorTerms ?? [])
      return names?.size === 0 ? conflict : names
    },
    filter(_, { pod }, { node }) {
      if (!isEnforced(node)) return notEnforced
      return matchesNode(pod, node) ? undefined : doesNotMatch
    },
    preScore: (_, { pod }) => (allPreferred(pod).length === 0 ? skip : undefined),
    score(_, { pod }, { node }) {
      let sum = 0
      for (const p of allPreferred(pod)) if (p.weight > 0 && matchesTerm(p.preference, node)) sum += p.weight
      return sum
    },
    normalizeScore: (_, __, scores) => normalizeByMax(scores),
  })
}
