/** nodeSelector and node affinity. */
import { matchesNode, matchesTerm } from '#shared/scheduling/nodeaffinity.ts'
import { normalizeByMax, type Plugin } from '../framework.ts'

export const nodeAffinity: Plugin = {
  name: 'NodeAffinity',
  weight: 2,
  filter: (pod, { node }) =>
    node && matchesNode(pod, node) ? undefined : { reasons: ["node(s) didn't match Pod's node affinity/selector"], resolvable: false },
  score: (pod, { node }) =>
    (pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [])
      .filter(p => node && p.weight > 0 && matchesTerm(p.preference, node))
      .reduce((sum, p) => sum + p.weight, 0),
  normalize: scores => normalizeByMax(scores),
  mayHelp: (pod, event) => (event.kind === 'NodeAdd' || event.kind === 'NodeUpdate') && matchesNode(pod, event.node),
}
