/** Keeps pods off nodes with taints that they do not tolerate, and prefers nodes with fewer PreferNoSchedule ones. */
import { tolerates } from '#shared/scheduling/taints.ts'
import { normalizeByMax, type Plugin } from '../framework.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Node } from '#shared/api/core/node.ts'

const untolerated = (pod: Pod, node: Node | undefined): boolean =>
  (node?.spec?.taints ?? []).some(t => (t.effect === 'NoSchedule' || t.effect === 'NoExecute') && !tolerates(pod.spec.tolerations, t))

export const taintToleration: Plugin = {
  name: 'TaintToleration',
  weight: 3,
  filter: (pod, { node }) => (untolerated(pod, node) ? { reasons: ['node(s) had untolerated taint(s)'], resolvable: false } : undefined),
  score: (pod, { node }) => {
    const mine = (pod.spec.tolerations ?? []).filter(t => !t.effect || t.effect === 'PreferNoSchedule')
    return (node?.spec?.taints ?? []).filter(t => t.effect === 'PreferNoSchedule' && !tolerates(mine, t)).length
  },
  normalize: scores => normalizeByMax(scores, true),
  mayHelp: (pod, event) => (event.kind === 'NodeAdd' || event.kind === 'NodeUpdate') && !untolerated(pod, event.node),
}
