/** Requests and limits as the kernel takes them. */
import type { Pod } from '#shared/api/core/pod.ts'
import { podQOS } from '#shared/api/core/podspec/qos.ts'
import type { ResourceRequirements } from '#shared/api/core/podspec/resourcerequirements.ts'
import { quantityMilliValue, quantityValue } from '#shared/machinery/quantity.ts'
import type { ContainerSpec } from '../../runtime/runtime.ts'

const minShares = 2
const maxShares = 262_144
const periodMicros = 100_000
const minQuotaMicros = 1000

export function kernelResources(resources: ResourceRequirements | undefined): ContainerSpec['resources'] {
  const { requests, limits } = resources ?? {}
  const cpu = requests?.['cpu'] ?? limits?.['cpu']
  const milli = cpu === undefined ? 0 : quantityMilliValue(cpu)
  const shares = milli === 0 ? minShares : Math.min(maxShares, Math.max(minShares, Math.floor((milli * 1024) / 1000)))
  const cpuLimit = limits?.['cpu']
  const memory = limits?.['memory']
  return {
    cpuShares: shares,
    ...(cpuLimit ? { cpuQuotaMicros: Math.max(minQuotaMicros, Math.floor((quantityMilliValue(cpuLimit) * periodMicros) / 1000)) } : {}),
    ...(memory ? { memoryBytes: quantityValue(memory) } : {}),
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
