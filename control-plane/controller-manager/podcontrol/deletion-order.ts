/** Which of several pods an owner gives up first: upstream's ActivePodsWithRanks. */
import type { LeanPod } from '#shared/client/leanpod.ts'
import { isActive, isReady, podCondition } from './pods.ts'

const phases: Record<string, number> = { Pending: 0, Unknown: 1, Running: 2 }
const costAnnotation = 'controller.kubernetes.io/pod-deletion-cost'

/** The annotated cost, 0 when absent or no int32. */
function cost(pod: LeanPod): number {
  const text = pod.metadata.annotations?.[costAnnotation] ?? ''
  const value = /^(0|-?[1-9]\d*)$/.test(text) ? Number(text) : 0
  return Math.abs(value) <= 2 ** 31 - 1 ? value : 0
}
const time = (text: string | undefined): number => (text ? Date.parse(text) : 0)
const readySince = (pod: LeanPod): number => (isReady(pod) ? time(podCondition(pod, 'Ready')?.lastTransitionTime) : 0)
function restarts(pod: LeanPod): number {
  const statuses = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []).filter(s => sidecars(pod).has(s.name)),
  ]
  return Math.max(0, ...statuses.map(s => s.restartCount))
}
const sidecars = (pod: LeanPod): Set<string> =>
  new Set((pod.spec.initContainers ?? []).filter(c => c.restartPolicy === 'Always').map(c => c.name))

/** Ages count in powers of two, so that scaling down does not always hit the newest of pods that are about equally old. */
const magnitude = (since: number, now: number): number => (now <= since ? -1 : Math.floor(Math.log2((now - since) * 1e6)))
function byAge(a: number, b: number, now: number): number {
  // A time that is not known comes first.
  if (a === 0 || b === 0) return Number(a !== 0) - Number(b !== 0)
  return magnitude(a, now) - magnitude(b, now)
}

/**
 * Negative when `a` is to be deleted before `b`. `rank` is the number of related active pods on the pod's node; `now` in ms.
 */
export function compareForDeletion(a: LeanPod, b: LeanPod, rank: (pod: LeanPod) => number, now: number): number {
  const uid = () => ((a.metadata.uid ?? '') < (b.metadata.uid ?? '') ? -1 : 1)
  return (
    Number(Boolean(a.spec.nodeName)) - Number(Boolean(b.spec.nodeName)) ||
    (phases[a.status?.phase ?? ''] ?? 0) - (phases[b.status?.phase ?? ''] ?? 0) ||
    Number(isReady(a)) - Number(isReady(b)) ||
    cost(a) - cost(b) ||
    rank(b) - rank(a) ||
    (isReady(a) && isReady(b) && readySince(a) !== readySince(b) ? byAge(readySince(a), readySince(b), now) || uid() : 0) ||
    restarts(b) - restarts(a) ||
    byAge(time(a.metadata.creationTimestamp), time(b.metadata.creationTimestamp), now) ||
    uid()
  )
}

/** The `count` pods of `pods` to delete first; `related` are the active pods of the replica set and of those with the same owner. */
export function podsToDelete(pods: readonly LeanPod[], related: readonly LeanPod[], count: number, now: number): LeanPod[] {
  if (count >= pods.length) return [...pods]
  const perNode = new Map<string, number>()
  for (const pod of related) if (isActive(pod)) perNode.set(pod.spec.nodeName ?? '', (perNode.get(pod.spec.nodeName ?? '') ?? 0) + 1)
  const rank = (pod: LeanPod) => perNode.get(pod.spec.nodeName ?? '') ?? 0
  return [...pods].sort((a, b) => compareForDeletion(a, b, rank, now)).slice(0, count)
}
