/** Keeps pods off nodes with taints that they do not tolerate, and prefers nodes with fewer PreferNoSchedule ones. */
import type { Node } from '#shared/api/core/node.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import type { Toleration } from '#shared/api/core/podspec/scheduling.ts'
import { nodes, pods } from '#shared/api/kinds.ts'
import { tolerates } from '#shared/scheduling/taints.ts'
import { Action } from '../clusterevent.ts'
import { stateKey } from '../cyclestate.ts'
import { normalizeByMax, skip, unresolvable, type PluginFactory } from '../framework.ts'

const untolerated = unresolvable('node(s) had untolerated taint(s)')
const preferring = stateKey<readonly Toleration[]>('PreScoreTaintToleration')

function hasUntolerated(pod: Pod, node: Node): boolean {
  const taints = node.spec?.taints
  if (!taints) return false
  return taints.some(t => (t.effect === 'NoSchedule' || t.effect === 'NoExecute') && !tolerates(pod.spec.tolerations, t))
}

export const taintToleration: PluginFactory = () => ({
  name: 'TaintToleration',
  sign: ({ pod }) => pod.spec.tolerations ?? [],
  events: [
    {
      kind: nodes,
      action: Action.Add | Action.UpdateNodeTaint,
      hint: (pod, old, node) => !hasUntolerated(pod, node as Node) && (!old || hasUntolerated(pod, old as Node)),
    },
    { kind: pods, action: Action.UpdatePodToleration, hint: (pod, _, now) => now?.metadata.uid === pod.metadata.uid },
  ],
  filter: (_, { pod }, { node }) => (hasUntolerated(pod, node) ? untolerated : undefined),
  preScore(state, { pod }, candidates) {
    // On nodes without such taints all scores are the same.
    if (!candidates.some(({ node }) => node.spec?.taints?.some(t => t.effect === 'PreferNoSchedule'))) return skip
    state.set(
      preferring,
      (pod.spec.tolerations ?? []).filter(t => !t.effect || t.effect === 'PreferNoSchedule'),
    )
    return undefined
  },
  score: (state, _, { node }) =>
    (node.spec?.taints ?? []).filter(t => t.effect === 'PreferNoSchedule' && !tolerates(state.get(preferring), t)).length,
  normalizeScore: (_, __, scores) => normalizeByMax(scores, true),
})
