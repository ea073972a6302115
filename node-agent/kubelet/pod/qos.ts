/** A pod's quality-of-service class, and where that puts it among the control groups. */
import type { Pod } from '#shared/api/core/pod.ts'
import { quantityFloat } from '#shared/machinery/quantity.ts'
import { allContainers, uidOf } from './containers.ts'

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort'

const positive = (q: string | undefined): number => (q === undefined ? 0 : quantityFloat(q))

/** Guaranteed: every container has limits for cpu and memory, and requests equal them. BestEffort: none has either. */
export function qosClass(pod: Pod): QosClass {
  const containers = allContainers(pod)
    .filter(c => c.type !== 'ephemeral')
    .map(c => c.container)
  const podLevel = pod.spec.resources
  const all = podLevel && (podLevel.requests || podLevel.limits) ? [podLevel] : containers.map(c => c.resources ?? {})
  let guaranteed = all.length > 0
  let any = false
  for (const { requests, limits } of all) {
    for (const name of ['cpu', 'memory']) {
      const request = positive(requests?.[name] ?? limits?.[name])
      const limit = positive(limits?.[name])
      if (request > 0 || limit > 0) any = true
      if (limit === 0 || request !== limit) guaranteed = false
    }
  }
  return !any ? 'BestEffort' : guaranteed ? 'Guaranteed' : 'Burstable'
}

/** The pod's cgroup below the node's: `kubepods/burstable/pod<uid>`; guaranteed pods are directly below kubepods. */
export const podCgroup = (pod: Pod): string => ({ Guaranteed: '', Burstable: 'burstable/', BestEffort: 'besteffort/' })[qosClass(pod)].replace(/^/, 'kubepods/') + `pod${uidOf(pod)}`
