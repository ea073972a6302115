/** Prefers nodes of which the pod leaves cpu and memory used to the same degree. */
import { maxNodeScore, skip, type PluginFactory } from '../framework.ts'

const used = (requested: number, allocatable: number): number => Math.min(1, requested / allocatable)

export const nodeResourcesBalancedAllocation: PluginFactory = () => ({
  name: 'NodeResourcesBalancedAllocation',
  // Pods that ask for nothing would all go to the node that is balanced best.
  preScore: (_, { requests: { milliCPU, memory } }) => (milliCPU === 0 && memory === 0 ? skip : undefined),
  score(_, { requests }, { allocatable, requested }) {
    if (allocatable.milliCPU === 0 || allocatable.memory === 0) return maxNodeScore
    const cpu = used(requested.milliCPU + requests.milliCPU, allocatable.milliCPU)
    const memory = used(requested.memory + requests.memory, allocatable.memory)
    return Math.trunc((1 - Math.abs(cpu - memory) / 2) * maxNodeScore)
  },
})
