/** The numbers, times and the suspension in a job's status. */
import type { Job, JobStatus } from '#shared/api/batch/job.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { newCondition, withCondition } from './conditions.ts'

/** The status with the numbers of pods there are now, and the time when the job began. */
export function withNumbers(
  job: Job,
  { active, ready, terminating }: { active: number; ready: number; terminating: number },
  now: number,
): JobStatus {
  const startTime = job.status?.startTime ?? (job.spec.suspend ? undefined : formatTime(new Date(now)))
  return {
    ...job.status,
    ...(startTime ? { startTime } : {}),
    active,
    ready,
    terminating,
    uncountedTerminatedPods: job.status?.uncountedTerminatedPods ?? {},
  }
}

/** The status of a job that goes on, suspended or not. `changed`: Suspended or Resumed when it was not so before. */
export function withSuspension(job: Job, status: JobStatus, now: number): { status: JobStatus; changed?: 'Suspended' | 'Resumed' } {
  const { conditions = [] } = status
  const next = job.spec.suspend
    ? withCondition(conditions, newCondition('Suspended', 'True', 'JobSuspended', 'Job suspended', now))
    : withCondition(conditions, newCondition('Suspended', 'False', 'JobResumed', 'Job resumed', now))
  if (next === conditions) return { status }
  if (job.spec.suspend) return { status: { ...status, conditions: [...next] }, changed: 'Suspended' }
  // The deadline counts from when the job went on.
  return { status: { ...status, conditions: [...next], startTime: formatTime(new Date(now)) }, changed: 'Resumed' }
}

/** Equal as far as the API keeps them. */
export function sameStatus(a: JobStatus | undefined, b: JobStatus): boolean {
  const text = (s: JobStatus | undefined): string =>
    JSON.stringify([
      ...(['active', 'succeeded', 'failed'] as const).map(k => s?.[k] ?? 0),
      ...(['ready', 'terminating', 'startTime', 'completionTime', 'failedIndexes'] as const).map(k => s?.[k] ?? null),
      s?.completedIndexes ?? '',
      s?.uncountedTerminatedPods ? [s.uncountedTerminatedPods.succeeded ?? [], s.uncountedTerminatedPods.failed ?? []] : null,
      (s?.conditions ?? []).map(c => [c.type, c.status, c.reason ?? '', c.message ?? '', c.lastTransitionTime, c.lastProbeTime]),
    ])
  return text(a) === text(b)
}
