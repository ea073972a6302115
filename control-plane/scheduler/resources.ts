/** Amounts as numbers: cpu in millicores, everything else in units of its own (bytes, pods). */
import { quantityMilliValue, quantityValue } from '#shared/machinery/quantity.ts'

/** The resources that every pod is counted by are fields; others (extended resources, huge pages) are rare. */
export interface Resources {
  milliCPU: number
  memory: number
  ephemeralStorage: number
  /** Of a node's allocatable only. */
  pods: number
  scalar: Map<string, number> | undefined
}
export const noResources = (): Resources => ({ milliCPU: 0, memory: 0, ephemeralStorage: 0, pods: 0, scalar: undefined })

/** Reads quantities by resource name. */
export function resourcesOf(list: Readonly<Record<string, string>>): Resources {
  const out = noResources()
  for (const [name, text] of Object.entries(list)) {
    if (name === 'cpu') out.milliCPU = quantityMilliValue(text)
    else if (name === 'memory') out.memory = quantityValue(text)
    else if (name === 'ephemeral-storage') out.ephemeralStorage = quantityValue(text)
    else if (name === 'pods') out.pods = quantityValue(text)
    else (out.scalar ??= new Map()).set(name, quantityValue(text))
  }
  return out
}

export const cloneResources = (r: Resources): Resources => ({ ...r, scalar: r.scalar && new Map(r.scalar) })

/** What plugins that count resources see of a pod: their `sign`. */
export const signRequests = (pod: { requests: Resources; nonZeroMilliCPU: number; nonZeroMemory: number }): unknown => {
  const { milliCPU, memory, ephemeralStorage, scalar } = pod.requests
  return [milliCPU, memory, ephemeralStorage, [...(scalar ?? [])], pod.nonZeroMilliCPU, pod.nonZeroMemory]
}

/** Adds `more` to `to`, `times` 1 or -1. `pods` is not summed: pods are counted by themselves. */
export function addResources(to: Resources, more: Resources, times: 1 | -1): void {
  to.milliCPU += times * more.milliCPU
  to.memory += times * more.memory
  to.ephemeralStorage += times * more.ephemeralStorage
  if (!more.scalar) return
  to.scalar ??= new Map()
  for (const [name, amount] of more.scalar) to.scalar.set(name, (to.scalar.get(name) ?? 0) + times * amount)
}
