/** Rules of batch/v1 CronJob (pkg/apis/batch/validation). */
import { parseSchedule } from '../../machinery/cron.ts'
import { invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { isTimeZone } from '../../machinery/timezone.ts'
import { validateNonNegative } from '../meta/validation.ts'
import type { CronJob } from './cronjob.ts'
import type { JobSpec } from './jobspec.ts'
import { validateJobSpec } from './jobvalidation.ts'

const concurrencyPolicies = ['Allow', 'Forbid', 'Replace']
/** What is left of a job's name for its maker's: the rest is a dash and the scheduled minute. */
const maxName = 63 - 11

export const validateCronJobName = (name: string | undefined, at: Path): FieldError[] =>
  (name ?? '').length > maxName ? [invalid(at, name, `must be no more than ${maxName} characters`)] : []

/** What the jobs run. */
export const templateOf = (spec: CronJob['spec']): JobSpec => spec.jobTemplate.spec ?? { template: {} }

export function validateCronJob(spec: CronJob['spec'], at: Path): FieldError[] {
  const { concurrencyPolicy: policy = '' } = spec
  const errors = validateSchedule(spec.schedule, at.child('schedule'))
  errors.push(...validateNonNegative(spec.startingDeadlineSeconds, at.child('startingDeadlineSeconds')))
  if (spec.timeZone !== undefined) errors.push(...validateTimeZone(spec.timeZone, at.child('timeZone')))
  if (policy === '') errors.push(required(at.child('concurrencyPolicy')))
  else if (!concurrencyPolicies.includes(policy)) errors.push(notSupported(at.child('concurrencyPolicy'), policy, concurrencyPolicies))
  const template = templateOf(spec)
  const path = at.child('jobTemplate', 'spec')
  errors.push(...validateJobSpec(template, path))
  if (template.selector) errors.push(invalid(path.child('selector'), template.selector, '`selector` will be auto-generated'))
  if (template.manualSelector) errors.push(notSupported(path.child('manualSelector'), template.manualSelector, ['nil', 'false']))
  return [
    ...errors,
    ...validateNonNegative(spec.successfulJobsHistoryLimit, at.child('successfulJobsHistoryLimit')),
    ...validateNonNegative(spec.failedJobsHistoryLimit, at.child('failedJobsHistoryLimit')),
  ]
}

function validateSchedule(schedule: string, at: Path): FieldError[] {
  if (!schedule) return [required(at)]
  const errors: FieldError[] = []
  try {
    parseSchedule(schedule)
  } catch (e) {
    errors.push(invalid(at, schedule, (e as Error).message))
  }
  if (schedule.includes('TZ')) errors.push(invalid(at, schedule, 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead'))
  return errors
}

function validateTimeZone(zone: string, at: Path): FieldError[] {
  if (zone === '') return [invalid(at, zone, 'timeZone must be nil or non-empty string')]
  const unknown = invalid(at, zone, `unknown time zone ${zone}`)
  // https://data.iana.org/time-zones/theory.html#naming
  if (zone.split('/').some(part => part === '.' || part === '..' || !/^(?!-)[A-Za-z.\-_0-9+]{1,14}$/.test(part))) return [unknown]
  const errors: FieldError[] = []
  if (zone.toLowerCase() === 'local')
    errors.push(invalid(at, zone, 'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones'))
  // Go takes Local for the machine's own.
  if (zone !== 'Local' && !isTimeZone(zone)) errors.push(unknown)
  return errors
}
