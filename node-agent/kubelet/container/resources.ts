/** Requests and limits as the kernel takes them. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { Container } from '#shared/api/core/podspec/container.ts'
import { podQOS } from '#shared/api/core/podspec/qos.ts'
import { aggregateContainers } from '#shared/api/core/podspec/resources.ts'
import type { ResourceRequirements } from '#shared/api/core/podspec/resourcerequirements.ts'
import { weightOf } from '#shared/linux/cgroupresources.ts'
import { quantityMilliValue, quantityValue } from '#shared/machinery/quantity.ts'
import type { ContainerResources } from '../../runtime/runtime.ts'
import { isCritical } from '../pod/critical.ts'

const minShares = 2
const maxShares = 262_144
const periodMicros = 100_000
const minQuotaMicros = 1000

/** cpu.shares of a request in thousandths of a CPU. */
export const cpuShares = (milli: number): number =>
  milli === 0 ? minShares : Math.min(maxShares, Math.max(minShares, Math.floor((milli * 1024) / 1000)))
/** Microseconds in each 100 ms, of a limit in thousandths of a CPU. */
export const cpuQuotaMicros = (milli: number): number => Math.max(minQuotaMicros, Math.floor((milli * periodMicros) / 1000))

/** Bytes of huge pages of a list of limits, by size: `{'2Mi': 4194304}`. */
export const hugepagesOf = (limits: { readonly [resource: string]: string } | undefined): Record<string, number> =>
  Object.fromEntries(
    Object.entries(limits ?? {}).flatMap(([name, quantity]) =>
      name.startsWith('hugepages-') ? [[name.slice('hugepages-'.length), quantityValue(quantity)] as const] : [],
    ),
  )

export function kernelResources(resources: ResourceRequirements | undefined): ContainerResources {
  const { requests, limits } = resources ?? {}
  const cpu = requests?.['cpu'] ?? limits?.['cpu']
  const cpuLimit = limits?.['cpu']
  const memory = limits?.['memory']
  return {
    cpuShares: cpuShares(cpu === undefined ? 0 : quantityMilliValue(cpu)),
    ...(cpuLimit ? { cpuQuotaMicros: cpuQuotaMicros(quantityMilliValue(cpuLimit)) } : {}),
    ...(memory ? { memoryBytes: quantityValue(memory) } : {}),
    hugepages: hugepagesOf(limits),
  }
}

type Limits = { readonly [resource: string]: string } | undefined

/** The limits of a pod as a whole are those of each of its containers that has none of its own. `whole` are the pod's. */
export const withinPod = (resources: ResourceRequirements | undefined, whole: Limits): ResourceRequirements | undefined =>
  whole ? { ...resources, limits: { ...whole, ...resources?.limits } } : resources

/**
 * What a container has, for its status: the amounts that were set, in the words they were asked for in, and the kernel's own where it says
 * something else. A request for memory is nothing to the kernel.
 */
export function resourcesInForce(set: ResourceRequirements, actual: ContainerResources | undefined, whole?: Limits): ResourceRequirements {
  if (!actual) return set
  const meant = kernelResources(withinPod(set, whole))
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
  if (shares !== undefined && weightOf(shares) !== weightOf(wanted)) tell(requests, 'cpu', shares, n => `${Math.ceil((n * 1000) / 1024)}m`)
  return {
    ...(Object.keys(limits).length > 0 ? { limits } : {}),
    ...(Object.keys(requests).length > 0 ? { requests } : {}),
    ...(set.claims ? { claims: set.claims } : {}),
  }
}

const memoryOf = (resources: ResourceRequirements | undefined): number => quantityValue(resources?.requests?.['memory'] ?? '0')

/**
 * Who is killed first when memory runs out: best effort 1000, guaranteed and what the node needs -997, in between by how much of the node
 * was asked for. What a pod asks for as a whole beyond its containers counts for each of them alike; a sidecar goes no sooner than what it
 * serves. pkg/kubelet/qos/policy.go
 */
export function oomScoreAdjust(pod: Pod, container: Pick<Container, 'name' | 'resources'>, nodeMemoryBytes: number): number {
  const { spec } = pod
  if (isCritical(pod) && spec.priorityClassName === 'system-node-critical') return -997
  const qos = podQOS(spec)
  if (qos === 'Guaranteed') return -997
  if (qos === 'BestEffort') return 1000
  const init = spec.initContainers ?? []
  const whole = spec.resources?.requests === undefined ? 0 : quantityValue(spec.resources.requests['memory'] ?? '0')
  const asked = quantityValue(aggregateContainers(spec, 'requests')['memory'] ?? '0')
  const rest = Math.floor(Math.max(0, whole - asked) / (spec.containers.length + init.length))
  const score = (bytes: number): number => 1000 - Math.floor((1000 * (bytes + rest)) / nodeMemoryBytes)
  const isSidecar = init.some(c => c.name === container.name && c.restartPolicy === 'Always')
  const least = Math.min(...spec.containers.map(c => memoryOf(c.resources)))
  const adjust = isSidecar ? Math.min(score(memoryOf(container.resources)), score(least)) : score(memoryOf(container.resources))
  return Math.min(999, Math.max(3, adjust))
}
