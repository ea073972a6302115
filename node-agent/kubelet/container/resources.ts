/** Requests and limits as the kernel takes them. */
import type { Pod } from '#shared/api/core/pod.ts'
import { podQOS } from '#shared/api/core/podspec/qos.ts'
import type { ResourceRequirements } from '#shared/api/core/podspec/resourcerequirements.ts'
import { quantityMilliValue, quantityValue } from '#shared/machinery/quantity.ts'
import type { ContainerResources } from '../../runtime/runtime.ts'

const minShares = 2
const maxShares = 262_144
const periodMicros = 100_000
const minQuotaMicros = 1000

/** cpu.shares of a request in thousandths of a CPU. */
export const cpuShares = (milli: number): number =>
  milli === 0 ? minShares : Math.min(maxShares, Math.max(minShares, Math.floor((milli * 1024) / 1000)))
/** Microseconds in each 100 ms, of a limit in thousandths of a CPU. */
export const cpuQuotaMicros = (milli: number): number => Math.max(minQuotaMicros, Math.floor((milli * periodMicros) / 1000))

export function kernelResources(resources: ResourceRequirements | undefined): ContainerResources {
  const { requests, limits } = resources ?? {}
  const cpu = requests?.['cpu'] ?? limits?.['cpu']
  const cpuLimit = limits?.['cpu']
  const memory = limits?.['memory']
  return {
    cpuShares: cpuShares(cpu === undefined ? 0 : quantityMilliValue(cpu)),
    ...(cpuLimit ? { cpuQuotaMicros: cpuQuotaMicros(quantityMilliValue(cpuLimit)) } : {}),
    ...(memory ? { memoryBytes: quantityValue(memory) } : {}),
  }
}

/**
 * What a container has, for its status: the amounts that were set, in the words they were asked for in, and the kernel's own where it says
 * something else. A request for memory is nothing to the kernel.
 */
export function resourcesInForce(set: ResourceRequirements, actual: ContainerResources | undefined): ResourceRequirements {
  if (!actual) return set
  const meant = kernelResources(set)
  const limits = { ...set.limits }
  const requests = { ...set.requests }
  const tell = (of: { [resource: string]: string }, resource: string, value: number | undefined, text: (n: number) => string): void => {
    if (value === undefined || value < 0) delete of[resource]
    else of[resource] = text(value)
  }
  if (actual.memoryBytes !== undefined && actual.memoryBytes !== (meant.memoryBytes ?? -1))
    tell(limits, 'memory', actual.memoryBytes, String)
  if (actual.cpuQuotaMicros !== undefined && actual.cpuQuotaMicros !== (meant.cpuQuotaMicros ?? -1))
    tell(limits, 'cpu', actual.cpuQuotaMicros, n => `${Math.ceil((n * 1000) / periodMicros)}m`)
  // On version 2 shares become a weight and back, which is not exact.
  const [shares, wanted] = [actual.cpuShares, meant.cpuShares ?? minShares]
  if (shares !== undefined && Math.abs(shares - wanted) > 27) tell(requests, 'cpu', shares, n => `${Math.ceil((n * 1000) / 1024)}m`)
  return {
    ...(Object.keys(limits).length > 0 ? { limits } : {}),
    ...(Object.keys(requests).length > 0 ? { requests } : {}),
    ...(set.claims ? { claims: set.claims } : {}),
  }
}

/** Who is killed first when memory runs out: best effort 1000, guaranteed -997, in between by how much of the node was asked for. */
export function oomScoreAdjust(pod: Pod, resources: ResourceRequirements | undefined, nodeMemoryBytes: number): number {
  const qos = podQOS(pod.spec)
  if (qos === 'Guaranteed') return -997
  if (qos === 'BestEffort') return 1000
  const request = resources?.requests?.['memory']
  const adjust = 1000 - Math.floor((1000 * (request ? quantityValue(request) : 0)) / nodeMemoryBytes)
  return Math.min(999, Math.max(3, adjust))
}
