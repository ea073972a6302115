/** How good a node is by what of its resources would be requested: the strategies of NodeResourcesFit. */
import type { ResourceSpec, ScoringStrategy, UtilizationShapePoint } from './config/pluginargs.ts'
import { maxNodeScore } from './framework.ts'
import type { NodeInfo } from './nodeinfo.ts'
import type { PodInfo } from './podinfo.ts'
import type { Resources } from './resources.ts'

export type NodeScore = (pod: PodInfo, node: NodeInfo) => number

export function amountOf(resources: Resources, name: string): number {
  if (name === 'cpu') return resources.milliCPU
  if (name === 'memory') return resources.memory
  return name === 'ephemeral-storage' ? resources.ephemeralStorage : (resources.scalar?.get(name) ?? 0)
}

/**
 * What the node has of a resource, and what would be requested of it with the pod; undefined when it does not count: the node has none, or
 * it is an extended one that the pod does not ask for. `assumed`: cpu and memory of containers that request none are assumed.
 */
export function allocation(
  pod: PodInfo,
  node: NodeInfo,
  name: string,
  assumed: boolean,
): { capacity: number; requested: number } | undefined {
  const capacity = amountOf(node.allocatable, name)
  if (capacity === 0) return undefined
  if (assumed && name === 'cpu') return { capacity, requested: node.nonZeroMilliCPU + pod.nonZeroMilliCPU }
  if (assumed && name === 'memory') return { capacity, requested: node.nonZeroMemory + pod.nonZeroMemory }
  const asked = amountOf(pod.requests, name)
  const isNative = name === 'cpu' || name === 'memory' || name === 'ephemeral-storage'
  return asked === 0 && !isNative ? undefined : { capacity, requested: amountOf(node.requested, name) + asked }
}

const least = (requested: number, capacity: number): number =>
  requested > capacity ? 0 : Math.floor(((capacity - requested) * maxNodeScore) / capacity)
const most = (requested: number, capacity: number): number => Math.floor((Math.min(requested, capacity) * maxNodeScore) / capacity)

/** Cpu and memory, of the same weight: what counts unless a configuration says otherwise. */
const leastAllocated: NodeScore = (pod, node) => {
  const { milliCPU, memory } = node.allocatable
  if (milliCPU === 0 && memory === 0) return 0
  const cpu = milliCPU > 0 ? least(node.nonZeroMilliCPU + pod.nonZeroMilliCPU, milliCPU) : 0
  const mem = memory > 0 ? least(node.nonZeroMemory + pod.nonZeroMemory, memory) : 0
  return Math.floor((cpu + mem) / (Number(milliCPU > 0) + Number(memory > 0)))
}
const isUsual = (resources: readonly ResourceSpec[]): boolean =>
  resources.length === 2 && ['cpu', 'memory'].every((name, i) => resources[i]!.name === name && resources[i]!.weight === 1)

export function nodeScore({ type, resources = [], requestedToCapacityRatio }: ScoringStrategy): NodeScore {
  if (type === 'RequestedToCapacityRatio') return byShape(resources, requestedToCapacityRatio?.shape ?? [])
  if (type === 'LeastAllocated' && isUsual(resources)) return leastAllocated
  const score = type === 'MostAllocated' ? most : least
  return (pod, node) => {
    let [sum, weights] = [0, 0]
    for (const { name, weight = 1 } of resources) {
      const found = allocation(pod, node, name, true)
      if (!found) continue
      sum += score(found.requested, found.capacity) * weight
      weights += weight
    }
    return weights === 0 ? 0 : Math.floor(sum / weights)
  }
}

function byShape(resources: readonly ResourceSpec[], shape: readonly UtilizationShapePoint[]): NodeScore {
  const points = shape.map(p => ({ utilization: p.utilization, score: p.score * (maxNodeScore / 10) }))
  /** Straight lines between the points. */
  const at = (utilization: number): number => {
    const next = points.findIndex(p => utilization <= p.utilization)
    if (next < 0) return points.at(-1)?.score ?? 0
    const [to, from] = [points[next]!, points[next - 1]]
    if (!from) return to.score
    const step = ((to.score - from.score) * (utilization - from.utilization)) / (to.utilization - from.utilization)
    return from.score + Math.trunc(step)
  }
  return (pod, node) => {
    let [sum, weights] = [0, 0]
    for (const { name, weight = 1 } of resources) {
      const found = allocation(pod, node, name, true)
      if (!found) continue
      const { requested, capacity } = found
      const score = at(requested > capacity ? 100 : Math.floor((requested * 100) / capacity))
      if (score === 0) continue
      sum += score * weight
      weights += weight
    }
    return weights === 0 ? 0 : Math.round(sum / weights)
  }
}
