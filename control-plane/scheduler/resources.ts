/** Amounts as numbers: cpu in millicores, everything else in units of its own (bytes, pods). */
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { podRequests } from '#shared/api/core/podspec/resources.ts'
import { quantityMilliValue, quantityValue } from '#shared/machinery/quantity.ts'

export type Resources = Map<string, number>
export const noResources = (): Resources => new Map()

/** What upstream assumes of a container that requests nothing, for spreading only. */
const assumedMilliCPU = 100
const assumedMemoryBytes = 200 * 1024 * 1024

function numbers(list: Readonly<Record<string, string>>): Resources {
  return new Map(Object.entries(list).map(([name, text]) => [name, name === 'cpu' ? quantityMilliValue(text) : quantityValue(text)]))
}

export const allocatableOf = (node: Node): Resources => numbers(node.status?.allocatable ?? node.status?.capacity ?? {})

// A pod object never changes, and its requests are asked for once a node in every cycle.
const requests = new WeakMap<Pod['spec'], Resources>()

/** What the pod asks of a node. */
export function requestsOf(pod: Pod): Resources {
  let known = requests.get(pod.spec)
  if (!known) requests.set(pod.spec, (known = numbers(podRequests(pod.spec))))
  return known
}

/** cpu and memory requests with the assumption for containers without any. */
export function nonZeroRequestsOf(pod: Pod): Resources {
  const out = noResources()
  const without = (name: string): number => pod.spec.containers.filter(c => !c.resources?.requests?.[name]).length
  out.set('cpu', (requestsOf(pod).get('cpu') ?? 0) + without('cpu') * assumedMilliCPU)
  out.set('memory', (requestsOf(pod).get('memory') ?? 0) + without('memory') * assumedMemoryBytes)
  return out
}

export function addResources(to: Resources, more: Resources): void {
  for (const [name, amount] of more) to.set(name, (to.get(name) ?? 0) + amount)
}
export function subtractResources(from: Resources, less: Resources): void {
  for (const [name, amount] of less) from.set(name, (from.get(name) ?? 0) - amount)
}
