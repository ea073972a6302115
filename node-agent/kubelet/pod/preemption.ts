/** Which pods must go so that a critical pod fits: the rules are those of upstream's CriticalPodAdmissionHandler. */
import type { Pod } from '#shared/api/core/pod.ts'
import { podQOS } from '#shared/api/core/podspec/qos.ts'
import { podRequests } from '#shared/api/core/podspec/resources.ts'
import { resourceAmount } from './admission.ts'
import { isCritical } from './critical.ts'

/** How much of a resource is missing: milli-CPUs, bytes, pods. */
export interface Requirement {
  resource: string
  quantity: number
}

export const preemptionMessage = 'Preempted in order to admit critical pod'

const preemptable = (preemptor: Pod, victim: Pod): boolean =>
  (isCritical(preemptor) && !isCritical(victim)) || (preemptor.spec.priority ?? 0) > (victim.spec.priority ?? 0)

const requested = (pod: Pod, resource: string): number =>
  resource === 'pods' ? 1 : resourceAmount(resource, podRequests(pod.spec)[resource])

const without = (requirements: readonly Requirement[], pods: readonly Pod[]): Requirement[] =>
  requirements
    .map(r => ({ ...r, quantity: r.quantity - pods.reduce((sum, p) => sum + requested(p, r.resource), 0) }))
    .filter(r => r.quantity > 0)

/** How far a pod is from giving all that is missing; each resource counts the same. */
const distance = (requirements: readonly Requirement[], pod: Pod): number =>
  requirements.reduce((sum, r) => sum + (Math.max(0, r.quantity - requested(pod, r.resource)) / r.quantity) ** 2, 0)

const smaller = (a: Pod, b: Pod): boolean => {
  for (const resource of ['memory', 'cpu']) {
    const difference = requested(a, resource) - requested(b, resource)
    if (difference !== 0) return difference < 0
  }
  return true
}

const text = (requirements: readonly Requirement[]): string =>
  `[${requirements.map(r => `(res: ${r.resource}, q: ${r.quantity}), `).join('')}]`

function nearest(pods: readonly Pod[], requirements: readonly Requirement[]): Pod[] {
  const left = [...pods]
  const chosen: Pod[] = []
  for (let missing = [...requirements]; missing.length > 0;) {
    let best: Pod | undefined
    for (const pod of left) {
      const closer = best ? distance(missing, pod) - distance(missing, best) : -1
      if (closer < 0 || (closer === 0 && smaller(pod, best!))) best = pod
    }
    if (!best) throw new Error(`no set of running pods found to reclaim resources: ${text(missing)}`)
    left.splice(left.indexOf(best), 1)
    chosen.push(best)
    missing = without(missing, [best])
  }
  return chosen
}

/** The fewest and least of `others` whose requests cover what is missing, best effort first. Throws in upstream's words when none do. */
export function podsToPreempt(preemptor: Pod, others: readonly Pod[], requirements: readonly Requirement[]): Pod[] {
  const victims = others.filter(p => preemptable(preemptor, p))
  const of = (qos: string): Pod[] => victims.filter(p => podQOS(p.spec) === qos)
  const [bestEffort, burstable, guaranteed] = [of('BestEffort'), of('Burstable'), of('Guaranteed')]
  const unmet = without(requirements, victims)
  if (unmet.length > 0) throw new Error(`no set of running pods found to reclaim resources: ${text(unmet)}`)
  const guaranteedOut = nearest(guaranteed, without(requirements, [...bestEffort, ...burstable]))
  const burstableOut = nearest(burstable, without(requirements, [...bestEffort, ...guaranteedOut]))
  const bestEffortOut = nearest(bestEffort, without(requirements, [...burstableOut, ...guaranteedOut]))
  return [...bestEffortOut, ...burstableOut, ...guaranteedOut]
}
