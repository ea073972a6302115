/** Prefers nodes of which the pod leaves cpu and memory, or what else its arguments name, used to the same degree. */
import type { BalancedAllocationArgs } from '../config/pluginargs.ts'
import { maxNodeScore, skip, type PluginFactory } from '../framework.ts'
import { signRequests } from '../resources.ts'
import { allocation, amountOf } from '../resourcescore.ts'

const used = (requested: number, allocatable: number): number => Math.min(1, requested / allocatable)

/** How far the shares are from each other: half the difference of two, else their standard deviation. */
function deviation(shares: readonly number[]): number {
  if (shares.length < 2) return 0
  if (shares.length === 2) return Math.abs(shares[0]! - shares[1]!) / 2
  const mean = shares.reduce((a, b) => a + b, 0) / shares.length
  return Math.sqrt(shares.reduce((sum, s) => sum + (s - mean) ** 2, 0) / shares.length)
}

export function nodeResourcesBalancedAllocation({ resources = [] }: BalancedAllocationArgs): PluginFactory {
  const names = resources.map(r => r.name)
  const isUsual = names.length === 2 && names[0] === 'cpu' && names[1] === 'memory'
  return () => ({
    name: 'NodeResourcesBalancedAllocation',
    sign: signRequests,
    // Pods that ask for nothing would all go to the node that is balanced best.
    preScore: (_, { requests }) => (names.every(name => amountOf(requests, name) === 0) ? skip : undefined),
    score(_, pod, node) {
      const { allocatable, requested } = node
      if (isUsual && allocatable.milliCPU > 0 && allocatable.memory > 0) {
        const cpu = used(requested.milliCPU + pod.requests.milliCPU, allocatable.milliCPU)
        const memory = used(requested.memory + pod.requests.memory, allocatable.memory)
        return Math.trunc((1 - Math.abs(cpu - memory) / 2) * maxNodeScore)
      }
      const shares = names.flatMap(name => {
        const found = allocation(pod, node, name, false)
        return found ? [used(found.requested, found.capacity)] : []
      })
      return Math.trunc((1 - deviation(shares)) * maxNodeScore)
    },
  })
}
