/** Whether a job has succeeded or failed: the interim condition, which is written before its pods are let go. */
import type { Job } from '#shared/api/batch/job.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { conditionOf, holds, newCondition, type JobCondition } from './conditions.ts'
import { ruling } from './failurepolicy.ts'
import { total } from './intervals.ts'
import type { Observed } from './observe.ts'
import { hasFailed } from './pods.ts'
import { successPolicyMet } from './successpolicy.ts'

/** SuccessCriteriaMet or FailureTarget; undefined while the job goes on. `now` in ms. */
export function verdict(job: Job, seen: Observed, now: number): JobCondition | undefined {
  for (const type of ['SuccessCriteriaMet', 'FailureTarget'] as const) if (holds(job.status, type)) return conditionOf(job.status, type)
  const failure = whyFailed(job, seen, now)
  if (failure) return newCondition('FailureTarget', 'True', failure[0], failure[1], now)
  const success = seen.indexes && successPolicyMet(job, seen.indexes.succeeded)
  return success === undefined ? undefined : newCondition('SuccessCriteriaMet', 'True', 'SuccessPolicy', success, now)
}

function whyFailed(job: Job, { pods, failed, indexes }: Observed, now: number): readonly [reason: string, message: string] | undefined {
  const { spec } = job
  const byPolicy = spec.podFailurePolicy && pods.filter(p => hasFailed(p, job)).find(p => ruling(job, p).message !== undefined)
  if (byPolicy) return ['PodFailurePolicy', ruling(job, byPolicy).message!]
  if (failed > spec.backoffLimit! || restartedTooOften(job, pods))
    return ['BackoffLimitExceeded', 'Job has reached the specified backoff limit']
  if ((untilDeadline(job, now) ?? 1) <= 0) return ['DeadlineExceeded', 'Job was active longer than specified deadline']
  if (!indexes?.failed) return undefined
  const lost = total(indexes.failed)
  if (spec.maxFailedIndexes !== undefined && lost > spec.maxFailedIndexes)
    return ['MaxFailedIndexesExceeded', 'Job has exceeded the specified maximal number of failed indexes']
  if (lost > 0 && lost + total(indexes.succeeded) >= spec.completions!) return ['FailedIndexes', 'Job has failed indexes']
  return undefined
}

/** Of pods whose containers are restarted in place, the restarts count together. */
function restartedTooOften({ spec }: Job, pods: readonly LeanPod[]): boolean {
  if (spec.template.spec?.restartPolicy !== 'OnFailure') return false
  const restarts = pods
    .filter(p => p.status?.phase === 'Running' || p.status?.phase === 'Pending')
    .flatMap(p => [...(p.status?.initContainerStatuses ?? []), ...(p.status?.containerStatuses ?? [])])
    .reduce((n, s) => n + s.restartCount, 0)
  return spec.backoffLimit === 0 ? restarts > 0 : restarts >= spec.backoffLimit!
}

/**
 * How long the job may be active still, in ms; undefined without a limit, before it has begun, and until it has gone on after a suspension.
 */
export function untilDeadline({ spec, status }: Job, now: number): number | undefined {
  if (spec.activeDeadlineSeconds === undefined || !status?.startTime || spec.suspend || holds(status, 'Suspended')) return undefined
  return Date.parse(status.startTime) + spec.activeDeadlineSeconds * 1000 - now
}

/** Whether as many have succeeded as are wanted, and none runs any more. */
export function isComplete({ spec }: Job, { succeeded }: Pick<Observed, 'succeeded'>, active: number): boolean {
  return active === 0 && (spec.completions === undefined ? succeeded > 0 : succeeded >= spec.completions)
}
export const completed = (now: number): JobCondition =>
  newCondition('SuccessCriteriaMet', 'True', 'CompletionsReached', 'Reached expected number of succeeded pods', now)

/** The condition that ends the job, once nothing of it is left to count or to wait for. */
export function finalCondition(interim: JobCondition, now: number): JobCondition {
  const type = interim.type === 'SuccessCriteriaMet' ? 'Complete' : 'Failed'
  return newCondition(type, 'True', interim.reason ?? '', interim.message ?? '', now)
}
