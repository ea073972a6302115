/** A cron job's jobs: how one is made, what those there are say, and which of them go. */
import type { CronJob } from '#shared/api/batch/cronjob.ts'
import type { Job } from '#shared/api/batch/job.ts'
import { cronJobs } from '#shared/api/kinds.ts'
import { holds, isFinished } from '../job/conditions.ts'
import { controllerRef } from '../podcontrol/ownership.ts'

export type ActiveJob = NonNullable<NonNullable<CronJob['status']>['active']>[number]

const scheduledAnnotation = 'batch.kubernetes.io/cronjob-scheduled-timestamp'

/** A job's name tells the minute that it is for: it cannot be made twice. */
export const jobName = (cronJob: CronJob, at: number): string => `${cronJob.metadata.name}-${Math.floor(at / 60_000)}`

/** RFC 3339 in a zone: `2026-01-02T03:04:05+01:00`. */
export function timeIn(at: number, timeZone: string): string {
  const parts = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' }).formatToParts(at)
  const offset = parts.find(p => p.type === 'timeZoneName')!.value.slice('GMT'.length, 'GMT+00:00'.length)
  if (offset === '' || offset === '+00:00') return `${new Date(at).toISOString().slice(0, 19)}Z`
  const [hours, minutes] = offset.slice(1).split(':').map(Number) as [number, number]
  const shift = (offset.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000
  return `${new Date(at + shift).toISOString().slice(0, 19)}${offset}`
}

/** The job for the run that is due `at` (ms). */
export function newJob(cronJob: CronJob, at: number): Job {
  const { metadata = {}, spec } = cronJob.spec.jobTemplate
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: jobName(cronJob, at),
      namespace: cronJob.metadata.namespace,
      ...(metadata.labels ? { labels: metadata.labels } : {}),
      annotations: { ...metadata.annotations, [scheduledAnnotation]: timeIn(at, cronJob.spec.timeZone ?? 'UTC') },
      ownerReferences: [controllerRef(cronJobs, cronJob)],
    },
    spec,
  } as Job
}

export const reference = ({ metadata: { namespace, name, uid, resourceVersion } }: Job): ActiveJob =>
  ({ apiVersion: 'batch/v1', kind: 'Job', namespace, name, uid, resourceVersion }) as ActiveJob

export interface Account {
  /** Those of the active ones that still run, or are not known. */
  readonly active: readonly ActiveJob[]
  /** Of the active ones, those that have ended. */
  readonly ended: readonly Job[]
  /** Of the active ones, those that are not there. */
  readonly missing: readonly ActiveJob[]
  /** Running ones that are not among the active. */
  readonly unexpected: readonly Job[]
  readonly lastSuccessfulTime: string | undefined
}

/** What the jobs say next to a cron job's status. */
export function account({ status }: CronJob, jobs: readonly Job[]): Account {
  const active = status?.active ?? []
  const byUid = new Map(jobs.map(j => [j.metadata.uid, j]))
  const known = new Set(active.map(a => a.uid))
  const successes = jobs.filter(j => holds(j.status, 'Complete')).map(j => j.status?.completionTime)
  const times = [status?.lastSuccessfulTime, ...successes].filter(t => t !== undefined)
  return {
    active: active.filter(a => !(byUid.get(a.uid) && isFinished(byUid.get(a.uid)!))),
    ended: jobs.filter(j => known.has(j.metadata.uid) && isFinished(j)),
    missing: active.filter(a => !byUid.has(a.uid)),
    unexpected: jobs.filter(j => !known.has(j.metadata.uid) && !isFinished(j)),
    lastSuccessfulTime: times.sort().at(-1),
  }
}

/** The jobs that have ended and are more than the history keeps: those that started first. */
export function surplus({ spec }: CronJob, jobs: readonly Job[]): Job[] {
  const started = (j: Job): number => (j.status?.startTime ? Date.parse(j.status.startTime) : Infinity)
  const byStart = (a: Job, b: Job): number =>
    started(a) === started(b) ? (a.metadata.name! < b.metadata.name! ? -1 : 1) : started(a) < started(b) ? -1 : 1
  const beyond = (type: 'Complete' | 'Failed', limit: number | undefined): Job[] => {
    const ended = jobs.filter(j => holds(j.status, type)).sort(byStart)
    return limit === undefined ? [] : ended.slice(0, Math.max(0, ended.length - limit))
  }
  return [...beyond('Complete', spec.successfulJobsHistoryLimit), ...beyond('Failed', spec.failedJobsHistoryLimit)]
}
