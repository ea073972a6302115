/**
 * Counting pods that ended, exactly once, whenever the controller is killed: first their UIDs are written into the status, then their
 * finalizers go, then the counters rise by those that are without one. pkg/controller/job's trackJobStatusAndRemoveFinalizers
 */
import { isIndexed } from '#shared/api/batch/jobvalidation.ts'
import type { Job, JobStatus } from '#shared/api/batch/job.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import type { JobCondition } from './conditions.ts'
import { ruling } from './failurepolicy.ts'
import { formatIntervals, has, intervalsOf, merge, total } from './intervals.ts'
import { isWanted, type Observed } from './observe.ts'
import { hasFailed, hasSucceeded, indexOf, isTracked } from './pods.ts'

/** UIDs that a status holds at most: 20 KB of them. */
const mostUncounted = 500

export interface Counting {
  /** To write before finalizers go. */
  readonly status: JobStatus
  /** Pods whose finalizer then goes. */
  readonly release: readonly LeanPod[]
  /** Whether all pods that can be counted are among them. */
  readonly all: boolean
}

/** `status` is the job's with the present numbers of active pods; `interim` says that it has succeeded or failed. */
export function count(job: Job, seen: Observed, status: JobStatus, interim: JobCondition | undefined): Counting {
  const indexed = isIndexed(job.spec)
  const next = settle(status, new Set(seen.pods.filter(isTracked).map(p => p.metadata.uid ?? '')))
  const succeeded = [...(next.uncountedTerminatedPods?.succeeded ?? [])]
  const failed = [...(next.uncountedTerminatedPods?.failed ?? [])]
  const known = { succeeded: new Set(succeeded), failed: new Set(failed) }
  const newIndexes: number[] = []
  const release: LeanPod[] = []
  let all = true
  const tracked = seen.pods.filter(isTracked)
  // Indexes are completed in order.
  if (indexed) tracked.sort((a, b) => (indexOf(a) ?? -1) - (indexOf(b) ?? -1))
  for (const pod of tracked) {
    if (newIndexes.length + succeeded.length + failed.length >= mostUncounted) {
      all = false
      break
    }
    if (!isDone(job, seen, pod, interim)) continue
    release.push(pod)
    const uid = pod.metadata.uid ?? ''
    if (hasSucceeded(pod) && !known.failed.has(uid)) {
      // What an index has reached is remembered by the index.
      if (indexed) {
        if (isWanted(pod, job) && !has(seen.indexes!.counted, indexOf(pod)!)) newIndexes.push(indexOf(pod)!)
      } else if (!known.succeeded.has(uid)) succeeded.push(uid)
    } else if (hasFailed(pod, job) || interim?.type === 'FailureTarget')
      if (!known.failed.has(uid) && isWanted(pod, job) && ruling(job, pod).counts) failed.push(uid)
  }
  const result: JobStatus = { ...next, uncountedTerminatedPods: uncounted(succeeded, failed) }
  if (seen.indexes) {
    const done = merge(seen.indexes.counted, intervalsOf(newIndexes))
    result.succeeded = total(done)
    result.completedIndexes = formatIntervals(done)
    if (seen.indexes.failed) result.failedIndexes = formatIntervals(seen.indexes.failed)
  }
  return { status: result, release, all }
}

/** Whether the pod has nothing more to tell: its finalizer can go. */
function isDone(job: Job, { indexes }: Observed, pod: LeanPod, interim: JobCondition | undefined): boolean {
  if (job.metadata.deletionTimestamp || interim || hasSucceeded(pod)) return true
  const index = indexOf(pod)
  return hasFailed(pod, job) && (index === undefined || indexes?.toReplace.get(index) !== pod)
}

const uncounted = (succeeded: string[], failed: string[]): JobStatus['uncountedTerminatedPods'] => ({
  ...(succeeded.length > 0 ? { succeeded } : {}),
  ...(failed.length > 0 ? { failed } : {}),
})

/** The status after the counters rose by those whose finalizer is gone. `tracked`: UIDs of pods that have it. */
export function settle(status: JobStatus, tracked: ReadonlySet<string>): JobStatus {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {}
  const [stillSucceeded, stillFailed] = [succeeded.filter(uid => tracked.has(uid)), failed.filter(uid => tracked.has(uid))]
  return {
    ...status,
    succeeded: (status.succeeded ?? 0) + succeeded.length - stillSucceeded.length,
    failed: (status.failed ?? 0) + failed.length - stillFailed.length,
    uncountedTerminatedPods: uncounted(stillSucceeded, stillFailed),
  }
}

export const allCounted = ({ uncountedTerminatedPods: u }: JobStatus): boolean =>
  (u?.succeeded?.length ?? 0) + (u?.failed?.length ?? 0) === 0
