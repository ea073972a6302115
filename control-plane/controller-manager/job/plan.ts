/** Which pods a job that goes on is to get and to give up now. pkg/controller/job's manageJob */
import { isIndexed } from '#shared/api/batch/jobvalidation.ts'
import type { Job } from '#shared/api/batch/job.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { podsToDelete } from '../podcontrol/deletion-order.ts'
import { hasEnded, isTerminating } from '../podcontrol/pods.ts'
import { finishedAt, untilNextPod, untilRetry } from './backoff.ts'
import { firstMissing, intervalsOf, merge } from './intervals.ts'
import { allFailures, type Observed } from './observe.ts'
import { hasFailed, hasSucceeded, indexOf, replacesOnlyFailed } from './pods.ts'

export interface Plan {
  readonly remove: readonly LeanPod[]
  /** A pod to create for each, with its index for an indexed job. Never together with some to remove. */
  readonly create: readonly (number | undefined)[]
  /** When to look again, because pods that failed are replaced later; ms. */
  readonly waitMs?: number
}

/** At most this many pods are created or deleted in one round. */
const burst = 500

/** How many pods are to be active. */
function wanted({ spec }: Job, { succeeded, active }: Observed): number {
  const parallelism = spec.parallelism ?? 1
  // Without completions each pod decides for all of them: after the first success none is added and those that run may end.
  if (spec.completions === undefined) return succeeded > 0 ? active.length : parallelism
  return Math.max(0, Math.min(spec.completions - succeeded, parallelism))
}

export function plan(job: Job, seen: Observed, now: number): Plan {
  const want = job.spec.suspend ? 0 : wanted(job, seen)
  const remove = surplus(job, seen.active, Math.max(0, seen.active.length - want), now)
  if (job.spec.suspend) return { remove, create: [] }
  if (remove.length > 0) return { remove: remove.slice(0, burst), create: [] }
  const missing = Math.min(want - seen.active.length - (replacesOnlyFailed(job) ? seen.terminating : 0), burst)
  if (missing <= 0) return { remove, create: [] }
  if (job.spec.backoffLimitPerIndex !== undefined) return byIndex(pendingIndexes(job, seen, missing), seen, now)
  const failed = seen.pods.filter(p => hasFailed(p, job))
  const waitMs = untilNextPod(failed, seen.pods.filter(hasSucceeded), now)
  if (waitMs > 0) return { remove, create: [], waitMs }
  return { remove, create: isIndexed(job.spec) ? pendingIndexes(job, seen, missing) : Array.from({ length: missing }, () => undefined) }
}

/** Each index waits for itself; while any can be created now the others are looked at again when those are there. */
function byIndex(pending: readonly number[], { indexes }: Observed, now: number): Plan {
  const waits = pending.map(index => {
    const before = indexes!.toReplace.get(index)
    return before ? untilRetry(allFailures(before) + 1, finishedAt(before), now) : 0
  })
  const create = pending.filter((_, i) => waits[i] === 0)
  const later = waits.filter(ms => ms > 0)
  return { remove: [], create, ...(later.length > 0 ? { waitMs: Math.min(...later) } : {}) }
}

/** The first indexes that have neither succeeded nor failed and that no pod has. */
function pendingIndexes(job: Job, { pods, active, indexes }: Observed, count: number): number[] {
  const leaving = replacesOnlyFailed(job) ? pods.filter(p => isTerminating(p) && !hasEnded(p)) : []
  const held = intervalsOf([...active, ...leaving].map(indexOf).filter(i => i !== undefined))
  return firstMissing(merge(merge(indexes!.succeeded, held), indexes!.failed ?? []), count, job.spec.completions ?? 0)
}

/** At least `count` active pods to remove: of an indexed job first those whose index is not wanted or is another's too. */
function surplus(job: Job, active: readonly LeanPod[], count: number, now: number): LeanPod[] {
  const wrong: LeanPod[] = []
  let left = [...active]
  if (isIndexed(job.spec)) {
    const valid = (i: number | undefined): i is number => i !== undefined && i < (job.spec.completions ?? 0)
    wrong.push(...active.filter(p => !valid(indexOf(p))))
    const byIndex = Map.groupBy(
      active.filter(p => valid(indexOf(p))),
      p => indexOf(p)!,
    )
    for (const same of byIndex.values()) wrong.push(...podsToDelete(same, [], same.length - 1, now).slice(0, same.length - 1))
    const gone = new Set(wrong)
    left = left.filter(p => !gone.has(p))
  }
  return wrong.length < count ? [...wrong, ...podsToDelete(left, [], count - wrong.length, now)] : wrong
}
