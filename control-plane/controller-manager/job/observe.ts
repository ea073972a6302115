/** What a job's pods say, next to what was counted before: everything that its controller decides by. */
import type { Job } from '#shared/api/batch/job.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { isIndexed } from '#shared/api/batch/jobvalidation.ts'
import { hasEnded, isActive, isReady, isTerminating } from '../podcontrol/pods.ts'
import { finishedAt } from './backoff.ts'
import { ruling } from './failurepolicy.ts'
import { has, intervalsOf, merge, parseIntervals, total, type Intervals } from './intervals.ts'
import { failuresBefore, hasFailed, hasSucceeded, ignoredFailuresBefore, indexOf, isTracked } from './pods.ts'

export interface Observed {
  /** All pods that are the job's own. */
  readonly pods: readonly LeanPod[]
  readonly active: readonly LeanPod[]
  /** On their way out and not ended. */
  readonly terminating: number
  readonly ready: number
  /** With those that are not counted yet. */
  readonly succeeded: number
  readonly failed: number
  /** Of indexed jobs. */
  readonly indexes?: Indexes
}
export interface Indexes {
  /** That the status names already. */
  readonly counted: Intervals
  readonly succeeded: Intervals
  /** With a limit of failures for each index. */
  readonly failed?: Intervals
  /** By index, the pod that failed last and stays until its replacement carries its count of failures on. */
  readonly toReplace: ReadonlyMap<number, LeanPod>
}

const completionsOf = (job: Job): number => job.spec.completions ?? 0
/** Has an index that the job wants, or needs none. */
export const isWanted = (pod: LeanPod, job: Job): boolean => !isIndexed(job.spec) || (indexOf(pod) ?? Infinity) < completionsOf(job)

export function observe(job: Job, pods: readonly LeanPod[]): Observed {
  const active = pods.filter(isActive)
  const uncounted = job.status?.uncountedTerminatedPods ?? {}
  const [countedSuccesses, countedFailures] = [new Set(uncounted.succeeded), new Set(uncounted.failed)]
  const fresh = pods.filter(p => isTracked(p) && isWanted(p, job))
  const succeeded = fresh.filter(p => hasSucceeded(p) && !countedSuccesses.has(p.metadata.uid ?? ''))
  const failed = fresh.filter(p => hasFailed(p, job) && !countedFailures.has(p.metadata.uid ?? '') && ruling(job, p).counts)
  const indexes = isIndexed(job.spec) ? observeIndexes(job, fresh, active) : undefined
  return {
    pods,
    active,
    terminating: pods.filter(p => isTerminating(p) && !hasEnded(p)).length,
    ready: active.filter(isReady).length,
    succeeded: indexes ? total(indexes.succeeded) : (job.status?.succeeded ?? 0) + countedSuccesses.size + succeeded.length,
    failed: (job.status?.failed ?? 0) + countedFailures.size + failed.length,
    ...(indexes ? { indexes } : {}),
  }
}

function observeIndexes(job: Job, fresh: readonly LeanPod[], active: readonly LeanPod[]): Indexes {
  const { completedIndexes, failedIndexes } = job.status ?? {}
  const counted = parseIntervals(completedIndexes, completionsOf(job))
  const indexesOf = (pods: readonly LeanPod[]): Intervals => intervalsOf(pods.map(p => indexOf(p)!))
  const succeeded = merge(counted, indexesOf(fresh.filter(hasSucceeded)))
  if (job.spec.backoffLimitPerIndex === undefined) return { counted, succeeded, toReplace: new Map() }
  const lost = fresh.filter(p => hasFailed(p, job) && failsIndex(job, p))
  const failed = merge(parseIntervals(failedIndexes, completionsOf(job)), indexesOf(lost))
  // An active pod carries the count of its index already.
  const settled = merge(merge(succeeded, failed), indexesOf(active.filter(p => indexOf(p) !== undefined)))
  const toReplace = new Map<number, LeanPod>()
  for (const pod of fresh.filter(p => hasFailed(p, job) && !has(settled, indexOf(p)!))) {
    const before = toReplace.get(indexOf(pod)!)
    if (!before || (allFailures(before) <= allFailures(pod) && finishedAt(pod) >= finishedAt(before))) toReplace.set(indexOf(pod)!, pod)
  }
  return { counted, succeeded, failed, toReplace }
}
export const allFailures = (pod: LeanPod): number => failuresBefore(pod) + ignoredFailuresBefore(pod)

/** Whether the failure of this pod is one too many for its index. */
function failsIndex(job: Job, pod: LeanPod): boolean {
  const { action, counts } = ruling(job, pod)
  return action === 'FailIndex' || (counts && failuresBefore(pod) >= job.spec.backoffLimitPerIndex!)
}
