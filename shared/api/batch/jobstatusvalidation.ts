/**
 * Rules of changes of a Job's status (pkg/apis/batch/validation, pkg/registry/batch/job): also another controller's must be such that
 * clients can rely on it. Most rules are asked only when what they are about changes, so that a status that breaks them can be mended.
 */
import { duplicate, invalid, invalidAt, required, type FieldError, type Path } from '../../machinery/field.ts'
import { semanticEqual, validateNonNegative } from '../meta/validation.ts'
import type { Job, JobStatus } from './job.ts'
import { countIndexes, overlap } from './jobindexes.ts'
import { isIndexed } from './jobvalidation.ts'

const has = (status: JobStatus, type: string): boolean => status.conditions?.some(c => c.type === type && c.status === 'True') ?? false
const isFinished = (status: JobStatus): boolean => has(status, 'Complete') || has(status, 'Failed')

export function validateJobStatus(job: Job, old: Job, at: Path): FieldError[] {
  const [now, before] = [job.status ?? {}, old.status ?? {}]
  return [
    ...(['active', 'succeeded', 'failed', 'ready', 'terminating'] as const).flatMap(name => validateNonNegative(now[name], at.child(name))),
    ...validateUncounted(now, at.child('uncountedTerminatedPods')),
    ...validateConditions(now, before, job, at.child('conditions')),
    ...validateTimes(now, before, job, at),
    ...validateFinished(now, before, job, at),
    ...validateIndexes(now, before, job, at),
    ...validateCounters(now, before, job, at),
  ]
}

function validateUncounted({ uncountedTerminatedPods: pods }: JobStatus, at: Path): FieldError[] {
  const seen = new Set<string>()
  return (['succeeded', 'failed'] as const).flatMap(list =>
    (pods?.[list] ?? []).flatMap((uid, i) => {
      const here = at.child(list).index(i)
      if (uid === '') return [invalid(here, uid, 'must not be empty')]
      if (seen.has(uid)) return [duplicate(here, uid)]
      seen.add(uid)
      return []
    }),
  )
}

function validateConditions(now: JobStatus, before: JobStatus, { spec }: Job, at: Path): FieldError[] {
  const [complete, failed, target, met] = ['Complete', 'Failed', 'FailureTarget', 'SuccessCriteriaMet'].map(type => has(now, type))
  const [completeMoved, failedMoved, targetMoved, metMoved] = ['Complete', 'Failed', 'FailureTarget', 'SuccessCriteriaMet'].map(
    type => has(now, type) !== has(before, type),
  )
  const wrong: string[] = []
  if ((completeMoved || failedMoved) && complete && failed) wrong.push('cannot set Complete=True and Failed=true conditions')
  if ((completeMoved || targetMoved) && complete && target) wrong.push('cannot set Complete=True and FailureTarget=true conditions')
  if ((failedMoved || targetMoved) && failed && !target)
    wrong.push('cannot set Failed=True condition without the FailureTarget=true condition')
  if ((completeMoved || metMoved) && complete && !met)
    wrong.push('cannot set Complete=True condition without the SuccessCriteriaMet=true condition')
  if (met && failed) wrong.push('cannot set SuccessCriteriaMet=True and Failed=true conditions')
  if (met && target) wrong.push('cannot set SuccessCriteriaMet=True and FailureTarget=true conditions')
  if (spec.successPolicy && !met && complete)
    wrong.push('cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True')
  for (const type of ['Failed', 'Complete', 'FailureTarget'])
    if (has(before, type) && !has(now, type)) wrong.push(`cannot disable the terminal ${type}=True condition`)
  if (has(before, 'SuccessCriteriaMet') && !met) wrong.push('cannot disable the SuccessCriteriaMet=True condition')
  if (has(before, 'Complete') && !has(before, 'SuccessCriteriaMet') && met)
    wrong.push('cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions')
  return wrong.map(text => invalidAt(at, text))
}

function validateTimes(now: JobStatus, before: JobStatus, { spec }: Job, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const { startTime, completionTime } = now
  const path = at.child('completionTime')
  const [startMoved, endMoved] = [startTime !== before.startTime, completionTime !== before.completionTime]
  const complete = has(now, 'Complete')
  if (complete !== has(before, 'Complete') || endMoved) {
    if (completionTime !== undefined && !complete)
      errors.push(invalid(path, completionTime, 'cannot set completionTime when there is no Complete=True condition'))
    if (completionTime === undefined && complete) errors.push(required(path, 'completionTime is required for Complete jobs'))
  }
  if ((startMoved || endMoved) && startTime !== undefined && completionTime !== undefined && completionTime < startTime)
    errors.push(invalid(path, completionTime, 'completionTime cannot be set before startTime'))
  if (completionTime !== undefined && before.completionTime !== undefined && endMoved)
    errors.push(invalid(path, completionTime, 'completionTime cannot be mutated'))
  // A job that goes on after a suspension counts its time anew.
  const resumed = has(before, 'Suspended') && !has(now, 'Suspended')
  if (startMoved && before.startTime !== undefined && !spec.suspend && !resumed)
    errors.push(required(at.child('startTime'), 'startTime cannot be removed for unsuspended job'))
  return errors
}

function validateFinished(now: JobStatus, before: JobStatus, { spec }: Job, at: Path): FieldError[] {
  if (!isFinished(now)) return []
  const became = !isFinished(before)
  const errors: FieldError[] = []
  const changed = (name: 'active' | 'startTime' | 'uncountedTerminatedPods' | 'terminating'): boolean =>
    became || !semanticEqual(now[name], before[name])
  const { uncountedTerminatedPods: pods } = now
  if (changed('active') && (now.active ?? 0) > 0)
    errors.push(invalid(at.child('active'), now.active, 'active>0 is invalid for finished job'))
  // One that is suspended and wants nothing ends without having begun.
  const neverBegins = spec.suspend && spec.completions === 0
  if (changed('startTime') && now.startTime === undefined && !neverBegins)
    errors.push(required(at.child('startTime'), 'startTime is required for finished job'))
  if (changed('uncountedTerminatedPods') && (pods?.failed?.length ?? 0) + (pods?.succeeded?.length ?? 0) > 0)
    errors.push(invalid(at.child('uncountedTerminatedPods'), pods, 'uncountedTerminatedPods needs to be empty for finished job'))
  if (changed('terminating') && (now.terminating ?? 0) > 0)
    errors.push(invalid(at.child('terminating'), now.terminating, 'terminating>0 is invalid for finished job'))
  return errors
}

function validateIndexes(now: JobStatus, before: JobStatus, { spec }: Job, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const { completedIndexes = '', failedIndexes } = now
  const { completions } = spec
  const [completed, failed] = [at.child('completedIndexes'), at.child('failedIndexes')]
  const read = (text: string, path: Path, name: string): void => {
    try {
      countIndexes(text, completions!)
    } catch (e) {
      errors.push(invalid(path, text, `error parsing ${name}: ${(e as Error).message}`))
    }
  }
  const completedMoved = completedIndexes !== (before.completedIndexes ?? '')
  const failedMoved = failedIndexes !== before.failedIndexes
  if (completedMoved && completions !== undefined) read(completedIndexes, completed, 'completedIndexes')
  if (failedMoved && completions !== undefined && spec.backoffLimitPerIndex !== undefined && failedIndexes !== undefined)
    read(failedIndexes, failed, 'failedIndexes')
  if (completedMoved && completedIndexes !== '' && !isIndexed(spec))
    errors.push(invalid(completed, completedIndexes, 'cannot set non-empty completedIndexes when non-indexed completion mode'))
  if (failedMoved && spec.backoffLimitPerIndex === undefined && failedIndexes !== undefined)
    errors.push(invalid(failed, failedIndexes, 'cannot set non-null failedIndexes when backoffLimitPerIndex is null'))
  if ((failedMoved || completedMoved) && completions !== undefined && completedIndexes && failedIndexes) {
    const index = overlap(completedIndexes, failedIndexes, completions)
    if (index !== undefined) errors.push(invalid(failed, failedIndexes, `failedIndexes and completedIndexes overlap at index: ${index}`))
  }
  return errors
}

function validateCounters(now: JobStatus, before: JobStatus, { spec }: Job, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const { ready, active = 0, failed = 0, succeeded = 0 } = now
  if ((ready !== before.ready || active !== (before.active ?? 0)) && (ready ?? 0) > active)
    errors.push(invalid(at.child('ready'), ready, 'cannot set more ready pods than active'))
  if (failed < (before.failed ?? 0)) errors.push(invalid(at.child('failed'), failed, 'cannot decrease the failed counter'))
  // An indexed job that shrinks takes what succeeded beyond its end with it.
  if ((!isIndexed(spec) || spec.completions !== spec.parallelism) && succeeded < (before.succeeded ?? 0))
    errors.push(invalid(at.child('succeeded'), succeeded, 'cannot decrease the succeeded counter'))
  return errors
}
