/** A pod's requests must fit into what is left of a node; emptier nodes are better (LeastAllocated). */
import type { Plugin } from '../framework.ts'
import { maxNodeScore } from '../framework.ts'
import { nonZeroRequestsOf, requestsOf, type Resources } from '../resources.ts'

const leastAllocated = (requested: number, capacity: number): number =>
  capacity === 0 || requested > capacity ? 0 : ((capacity - requested) * maxNodeScore) / capacity

export const nodeResourcesFit: Plugin = {
  name: 'NodeResourcesFit',
  weight: 1,
  prepare: pod => requestsOf(pod),
  filter: (_, node, prepared) => {
    const wanted = prepared as Resources
    const reasons: string[] = []
    let resolvable = true
    if (node.pods.size + 1 > (node.allocatable.get('pods') ?? 0)) reasons.push('Too many pods')
    for (const [name, amount] of wanted) {
      if (amount === 0 || name === 'pods') continue
      const allocatable = node.allocatable.get(name) ?? 0
      if (amount <= allocatable - (node.requested.get(name) ?? 0)) continue
      reasons.push(`Insufficient ${name}`)
      // Not even an empty node would do.
      if (amount > allocatable) resolvable = false
    }
    return reasons.length === 0 ? undefined : { reasons, resolvable }
  },
  score: (pod, node) => {
    const wanted = nonZeroRequestsOf(pod)
    const parts = ['cpu', 'memory']
      .filter(r => (node.allocatable.get(r) ?? 0) > 0)
      .map(r => leastAllocated((node.nonZeroRequested.get(r) ?? 0) + (wanted.get(r) ?? 0), node.allocatable.get(r) ?? 0))
    return parts.length === 0 ? 0 : Math.floor(parts.reduce((a, b) => a + b, 0) / parts.length)
  },
  mayHelp: (_, event) => event.kind !== 'PodAdd',
}
