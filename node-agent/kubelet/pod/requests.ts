/** What a pod asks of a node, as the scheduler counts it. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { Container } from '#shared/api/core/podspec/container.ts'
import { quantityMilliValue, quantityValue } from '#shared/machinery/quantity.ts'
import { initContainers, isSidecar } from './containers.ts'

/** cpu in thousandths, the others in whole units. */
export type Requests = Map<string, number>
const valueOf = (resource: string, quantity: string): number => (resource === 'cpu' ? quantityMilliValue(quantity) : quantityValue(quantity))

const ofContainer = (c: Container): Requests => new Map(Object.entries(c.resources?.requests ?? {}).map(([r, q]) => [r, valueOf(r, q)]))
const add = (to: Requests, more: Requests): Requests => new Map([...new Set([...to.keys(), ...more.keys()])].map(r => [r, (to.get(r) ?? 0) + (more.get(r) ?? 0)]))
const max = (a: Requests, b: Requests): Requests => new Map([...new Set([...a.keys(), ...b.keys()])].map(r => [r, Math.max(a.get(r) ?? 0, b.get(r) ?? 0)]))

/** The larger of what runs at once in the end and what an init container needs beside the sidecars before it; overhead on top. */
export function podRequests(pod: Pod): Requests {
  let sidecars: Requests = new Map()
  let peak: Requests = new Map()
  for (const c of initContainers(pod)) {
    const own = ofContainer(c)
    if (isSidecar(c)) {
      sidecars = add(sidecars, own)
      peak = max(peak, sidecars)
    } else peak = max(peak, add(sidecars, own))
  }
  let total = max(peak, pod.spec.containers.map(ofContainer).reduce(add, sidecars))
  // Requests of the pod as a whole take the place of the sum.
  for (const [r, q] of Object.entries(pod.spec.resources?.requests ?? {})) total.set(r, valueOf(r, q))
  total = add(total, new Map(Object.entries(pod.spec.overhead ?? {}).map(([r, q]) => [r, valueOf(r, q)])))
  return total
}
