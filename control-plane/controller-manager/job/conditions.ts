/** How a job is, by its conditions, and who runs it. */
import type { Job, JobStatus } from '#shared/api/batch/job.ts'
import { formatTime } from '#shared/machinery/time.ts'

export type JobCondition = NonNullable<JobStatus['conditions']>[number]

export const conditionOf = (status: JobStatus | undefined, type: string): JobCondition | undefined =>
  status?.conditions?.find(c => c.type === type)
export const holds = (status: JobStatus | undefined, type: string): boolean => conditionOf(status, type)?.status === 'True'
/** Complete or failed: nothing is done about it any more. */
export const isFinished = (job: Job): boolean => holds(job.status, 'Complete') || holds(job.status, 'Failed')

/** Of the controller that is built in. */
const controllerName = 'kubernetes.io/job-controller'
/** Whether another controller runs the job. */
export const isForeign = ({ spec }: Job): boolean => spec.managedBy !== undefined && spec.managedBy !== controllerName

export function newCondition(type: string, status: 'True' | 'False', reason: string, message: string, now: number): JobCondition {
  const time = formatTime(new Date(now))
  return { type, status, lastProbeTime: time, lastTransitionTime: time, ...(reason ? { reason } : {}), ...(message ? { message } : {}) }
}

/** The conditions with this one among them, which is not added only to say False. The same ones when nothing changes. */
export function withCondition(conditions: readonly JobCondition[], condition: JobCondition): readonly JobCondition[] {
  const at = conditions.findIndex(c => c.type === condition.type)
  const before = conditions[at]
  if (!before) return condition.status === 'False' ? conditions : [...conditions, condition]
  if ((['status', 'reason', 'message'] as const).every(k => (before[k] ?? '') === (condition[k] ?? ''))) return conditions
  return conditions.with(at, condition)
}
