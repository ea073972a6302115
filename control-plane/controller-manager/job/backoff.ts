/**
 * When a pod that failed is replaced: 10 s after the first failure, doubled with each more, at most ten minutes.
 * pkg/controller/job/backoff_utils.go
 */
import type { LeanPod } from '#shared/client/leanpod.ts'
import { podCondition } from '../podcontrol/pods.ts'

const baseMs = 10_000
const limitMs = 600_000
/** The exponent from which the limit holds. */
const most = 10

/** When the pod ended, in ms: as its containers say, or its Ready condition, or its deletion. */
export function finishedAt(pod: LeanPod): number {
  const ends = (pod.status?.containerStatuses ?? []).map(s => Date.parse(s.state?.terminated?.finishedAt ?? ''))
  if (ends.length > 0 && ends.every(at => !Number.isNaN(at))) return Math.max(...ends)
  const ready = podCondition(pod, 'Ready')
  if (ready?.status === 'False' && ready.lastTransitionTime) return Date.parse(ready.lastTransitionTime)
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, creationTimestamp = '' } = pod.metadata
  return deletionTimestamp ? Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000 : Date.parse(creationTimestamp)
}

/** How long to wait still, in ms, after `failures` of which the last was at `lastFailure`. */
export function untilRetry(failures: number, lastFailure: number, now: number): number {
  if (failures === 0) return 0
  return Math.max(0, lastFailure + Math.min(baseMs * 2 ** Math.min(failures - 1, most), limitMs) - now)
}

/** The same for a job's pods: those that failed after the last that succeeded count. */
export function untilNextPod(failed: readonly LeanPod[], succeeded: readonly LeanPod[], now: number): number {
  const lastSuccess = succeeded.reduce((last, pod) => Math.max(last, finishedAt(pod)), -Infinity)
  const since = failed.map(finishedAt).filter(at => at > lastSuccess)
  return untilRetry(
    since.length,
    since.reduce((a, b) => Math.max(a, b), -Infinity),
    now,
  )
}
