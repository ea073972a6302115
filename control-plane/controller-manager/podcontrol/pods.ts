/** What controllers ask about pods: k8s.io/kubernetes/pkg/api/v1/pod and pkg/controller's predicates. */
import type { LeanPod } from '#shared/client/leanpod.ts'
import type { PodCondition } from '#shared/api/core/podspec/podstatus.ts'

export const podCondition = (pod: LeanPod, type: string): PodCondition | undefined => pod.status?.conditions?.find(c => c.type === type)
export const isReady = (pod: LeanPod): boolean => podCondition(pod, 'Ready')?.status === 'True'
export const hasEnded = (pod: LeanPod): boolean => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
export const isTerminating = (pod: LeanPod): boolean => pod.metadata.deletionTimestamp !== undefined
/** Neither ended nor terminating: it counts as a replica. */
export const isActive = (pod: LeanPod): boolean => !hasEnded(pod) && !isTerminating(pod)

const ms = (time: string | undefined): number => (time ? Date.parse(time) : 0)

/** Whether the pod has been ready for `minReadySeconds` at `now` (ms). */
export function isAvailable(pod: LeanPod, minReadySeconds: number, now: number): boolean {
  const ready = podCondition(pod, 'Ready')
  if (ready?.status !== 'True') return false
  return minReadySeconds === 0 || (ready.lastTransitionTime !== undefined && ms(ready.lastTransitionTime) + minReadySeconds * 1000 <= now)
}
/** How long until a ready pod becomes available, in ms; undefined when it is, or is not ready. */
export function untilAvailable(pod: LeanPod, minReadySeconds: number, now: number): number | undefined {
  const ready = podCondition(pod, 'Ready')
  if (ready?.status !== 'True' || minReadySeconds === 0) return undefined
  const left = ms(ready.lastTransitionTime) + minReadySeconds * 1000 - now
  return left > 0 ? left : undefined
}
