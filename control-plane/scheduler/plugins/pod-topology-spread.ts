/**
 * Spreads the pods of one owner over nodes: upstream's default constraints (hostname, maxSkew 3) as far as pods are concerned whose labels
 * and namespace say that they are siblings. Fewer siblings on a node is better.
 */
import type { Pod } from '#shared/api/core/pod.ts'
import { maxNodeScore, type Plugin } from '../framework.ts'

/**
 * The pods of one controller are siblings; upstream finds them through Services and ReplicaSets, which is the same pods for almost every
 * pod.
 */
const ownerOf = (pod: Pod): string | undefined => pod.metadata.ownerReferences?.find(o => o.controller)?.uid

export const podTopologySpread: Plugin = {
  name: 'PodTopologySpread',
  weight: 2,
  prepare: ownerOf,
  score: (_, node, owner) => {
    if (owner === undefined) return 0
    let siblings = 0
    for (const pod of node.pods.values()) if (ownerOf(pod) === owner && !pod.metadata.deletionTimestamp) siblings++
    return siblings
  },
  normalize: scores => {
    const [min, max] = [Math.min(...scores), Math.max(...scores)]
    return scores.map(s => (max === 0 ? maxNodeScore : Math.floor((maxNodeScore * (max + min - s)) / max)))
  },
}
