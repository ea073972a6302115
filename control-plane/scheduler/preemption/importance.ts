/** Which of two pods is the more important one, and since when a pod runs. */
import type { PodInfo } from '../podinfo.ts'

/** Ms since 1970; a pod that has not started is as new as can be. */
export const startOf = ({ pod }: PodInfo): number => (pod.status?.startTime ? Date.parse(pod.status.startTime) : Infinity)

/** For sorting: pods of higher priority first, among equals those that have run for longer. Upstream's MoreImportantPod. */
export const byImportance = (a: PodInfo, b: PodInfo): number =>
  b.priority - a.priority || (startOf(a) === startOf(b) ? 0 : startOf(a) - startOf(b))
