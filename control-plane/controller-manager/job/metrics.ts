/** What the job controller counts, by upstream's names: pkg/controller/job/metrics. */
import { isIndexed } from '#shared/api/batch/jobvalidation.ts'
import type { Job, JobStatus } from '#shared/api/batch/job.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { exponential, type ComponentMetrics } from '#shared/component/counts.ts'
import type { JobCondition } from './conditions.ts'
import { parseIntervals, total } from './intervals.ts'
import { hasSucceeded, isTracked, replacesOnlyFailed } from './pods.ts'

type Action = 'reconciling' | 'tracking' | 'pods_created' | 'pods_deleted'

export interface JobMetrics {
  /** A round has ended after so many seconds. */
  synced(job: Job, action: Action, failed: boolean, seconds: number): void
  /** A status was written in place of the job's. */
  wrote(job: Job, status: JobStatus): void
  ended(job: Job, condition: JobCondition): void
  /** Pods were made, or not, while others of the job are terminating. */
  created(job: Job, terminating: number, made: number, failed: boolean): void
  handled(action: string): void
  /** A pod with the tracking finalizer ended, or an ended one lost it. */
  seen(before: LeanPod | undefined, now: LeanPod): void
  foreign(controller: string): void
}

const modeOf = ({ spec }: Job): string => (isIndexed(spec) ? 'Indexed' : 'NonIndexed')
const isEnded = (pod: LeanPod | undefined): boolean =>
  pod !== undefined && isTracked(pod) && (hasSucceeded(pod) || pod.status?.phase === 'Failed')

export function jobMetrics(metrics: ComponentMetrics): JobMetrics {
  const counter = (name: string, help: string) => metrics.counter(`job_controller_${name}`, help)
  const syncs = counter('job_syncs_total', '[STABLE] The number of job syncs')
  const took = metrics.histogram(
    'job_controller_job_sync_duration_seconds',
    '[STABLE] The time it took to sync a job',
    exponential(0.004, 2, 15),
  )
  const finished = counter('jobs_finished_total', '[STABLE] The number of finished jobs')
  const pods = counter('job_pods_finished_total', '[STABLE] The number of finished Pods that are fully tracked')
  const indexes = counter('job_finished_indexes_total', '[BETA] The number of finished indexes.')
  const creations = counter(
    'job_pods_creation_total',
    '[ALPHA] The number of Pods created by the Job controller labelled with a reason for the Pod creation.',
  )
  const policy = counter('pod_failures_handled_by_failure_policy_total', '[ALPHA] The number of failed Pods handled by failure policy.')
  const finalizers = counter(
    'terminated_pods_tracking_finalizer_total',
    '[ALPHA] The number of terminated pods (phase=Failed|Succeeded) that have the finalizer batch.kubernetes.io/job-tracking',
  )
  const external = counter('jobs_by_external_controller_total', '[ALPHA] The number of Jobs managed by an external controller')
  return {
    synced(job, action, failed, seconds) {
      const labels = { completion_mode: modeOf(job), result: failed ? 'error' : 'success', action }
      syncs.add(labels)
      took.observe(seconds, labels)
    },
    wrote(job, status) {
      const completion_mode = modeOf(job)
      const backoffLimit = job.spec.backoffLimitPerIndex === undefined ? 'global' : 'perIndex'
      const failedIndexes = (s: JobStatus | undefined): number => total(parseIntervals(s?.failedIndexes, job.spec.completions ?? 0))
      const more = (now = 0, before = 0): number => Math.max(0, now - before)
      const succeeded = more(status.succeeded, job.status?.succeeded)
      pods.add({ completion_mode, result: 'succeeded' }, succeeded)
      pods.add({ completion_mode, result: 'failed' }, more(status.failed, job.status?.failed))
      if (completion_mode === 'Indexed') indexes.add({ status: 'succeeded', backoffLimit }, succeeded)
      indexes.add({ status: 'failed', backoffLimit }, more(failedIndexes(status), failedIndexes(job.status)))
    },
    ended(job, { type, reason = '' }) {
      finished.add({ completion_mode: modeOf(job), result: type === 'Failed' ? 'failed' : 'succeeded', reason })
    },
    created(job, terminating, made, failed) {
      const failures = job.status?.failed ?? 0
      const reason =
        replacesOnlyFailed(job) && failures > 0
          ? 'recreate_failed'
          : failures > 0 || terminating > 0
            ? 'recreate_terminating_or_failed'
            : 'new'
      creations.add({ reason, status: 'succeeded' }, made)
      if (failed) creations.add({ reason, status: 'failed' })
    },
    handled: action => policy.add({ action }),
    seen(before, now) {
      const [was, is] = [isEnded(before), isEnded(now)]
      if (was !== is) finalizers.add({ event: is ? 'add' : 'delete' })
    },
    foreign: controller => external.add({ controller_name: controller }),
  }
}
