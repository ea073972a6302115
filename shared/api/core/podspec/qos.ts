/** The quality of service of a pod. https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/ */
import { addQuantities, compareQuantity, type QuantityLike } from '../../../machinery/quantity.ts'
import type { PodSpec } from './podspec.ts'

export type QOSClass = 'Guaranteed' | 'Burstable' | 'BestEffort'

const compute = ['cpu', 'memory']
type Amounts = Map<string, QuantityLike>

/** Adds what is there and not zero. */
function addSet(to: Amounts, list: { [name: string]: string } | undefined): void {
  for (const name of compute) {
    const quantity = list?.[name]
    if (quantity === undefined || compareQuantity(quantity, '0') <= 0) continue
    const have = to.get(name)
    to.set(name, have === undefined ? quantity : addQuantities(have, quantity))
  }
}

/**
 * Guaranteed: every container limits cpu and memory, and requests just that. BestEffort: nothing is requested or limited. Burstable: the
 * rest.
 */
export function podQOS(spec: PodSpec): QOSClass {
  const requests: Amounts = new Map()
  const limits: Amounts = new Map()
  const holders = spec.resources ? [spec] : [...(spec.containers ?? []), ...(spec.initContainers ?? [])]
  let limited = true
  for (const { resources } of holders) {
    addSet(requests, resources?.requests)
    addSet(limits, resources?.limits)
    if (compute.some(name => resources?.limits?.[name] === undefined || compareQuantity(resources.limits[name], '0') <= 0)) limited = false
  }
  if (requests.size === 0 && limits.size === 0) return 'BestEffort'
  const equal = [...requests].every(
    ([name, quantity]) => limits.has(name) && compareQuantity(limits.get(name) as QuantityLike, quantity) === 0,
  )
  return limited && equal && requests.size === limits.size ? 'Guaranteed' : 'Burstable'
}
