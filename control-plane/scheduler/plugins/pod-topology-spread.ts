/**
 * Spreads the pods of one owner over nodes: upstream's default constraints (hostname, maxSkew 3) as far as pods are concerned whose labels
 * and namespace say that they are siblings. Fewer siblings on a node is better. The pods of one controller are siblings; upstream finds
 * them through Services and ReplicaSets, which is the same pods for almost every pod.
 */
import { stateKey } from '../cyclestate.ts'
import { maxNodeScore, skip, type PluginFactory } from '../framework.ts'

const siblings = stateKey<ReadonlyMap<string, number>>('PreScorePodTopologySpread')

export const podTopologySpread: PluginFactory = () => ({
  name: 'PodTopologySpread',
  preScore(state, { owner }, _, snapshot) {
    const counts = owner === undefined ? undefined : snapshot.siblings(owner)
    // Without siblings all nodes are alike.
    if (!counts) return skip
    state.set(siblings, counts)
    return undefined
  },
  score: (state, _, node) => state.get(siblings)?.get(node.name) ?? 0,
  normalizeScore(_, __, scores) {
    let [min, max] = [Infinity, 0]
    for (const s of scores) {
      if (s < min) min = s
      if (s > max) max = s
    }
    for (let i = 0; i < scores.length; i++)
      scores[i] = max === 0 ? maxNodeScore : Math.floor((maxNodeScore * (max + min - scores[i]!)) / max)
  },
})
