/** Makes jobs by timetables. pkg/controller/cronjob */
import type { CronJob } from '#shared/api/batch/cronjob.ts'
import type { Job } from '#shared/api/batch/job.ts'
import { cronJobs, jobs } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import { exponential } from '#shared/component/counts.ts'
import type { InformerEvent } from '#shared/client/informer.ts'
import type { WorkQueue } from '#shared/client/workqueue.ts'
import { isAlreadyExists, isNamespaceTerminating, isNotFound } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { isTimeZone } from '#shared/machinery/timezone.ts'
import type { NewController } from '../context.ts'
import { holds } from '../job/conditions.ts'
import { byController, controllerOf, managersOf } from '../podcontrol/ownership.ts'
import { due, manyMissed, untilNext } from './due.ts'
import { account, jobName, newJob, reference, surplus, type ActiveJob } from './jobs.ts'
import { timetable, type Timetable } from './schedule.ts'

type Status = NonNullable<CronJob['status']>
/** Timers may be early. */
const paddingMs = 20

export const cronJobController: NewController = ctx => {
  const recorder = ctx.recorder('cronjob-controller')
  const all = ctx.informer(cronJobs)
  const jobInformer = ctx.informer(jobs)
  jobInformer.addIndex('controller', byController)
  let queue: WorkQueue | undefined
  const skew = ctx.metrics.histogram(
    'cronjob_controller_job_creation_skew_duration_seconds',
    '[STABLE] Time between when a cronjob is scheduled to be run, and when the corresponding job is created',
    exponential(1, 2, 10),
  )

  const owners = (event: InformerEvent<Job>): Iterable<string> => managersOf('CronJob', event)
  /** A new timetable is for the time that comes: what it would have made before is not made up for. */
  function changed({ object, previous }: InformerEvent<CronJob>): string[] {
    const same = !previous || (previous.spec.schedule === object.spec.schedule && previous.spec.timeZone === object.spec.timeZone)
    const next = same ? undefined : readable(object)
    if (!next || !queue) return [keyOf(object)]
    queue.addAfter(keyOf(object), untilNext(object, next, Date.now()) + paddingMs)
    return []
  }
  /** The timetable; tells why there is none. */
  function readable(cronJob: CronJob): Timetable | undefined {
    const { schedule, timeZone } = cronJob.spec
    if (timeZone !== undefined && !isTimeZone(timeZone))
      return void recorder.event(
        cronJob,
        'Warning',
        'UnknownTimeZone',
        `invalid timeZone: ${JSON.stringify(timeZone)}: unknown time zone ${timeZone}`,
      )
    try {
      return timetable(schedule, timeZone)
    } catch (e) {
      const message = `unparseable schedule: ${JSON.stringify(schedule)} : ${(e as Error).message}`
      return void recorder.event(cronJob, 'Warning', 'UnparseableSchedule', message)
    }
  }

  async function reconcile(key: string, client: Client): Promise<void | { requeueAfterMs: number }> {
    const cronJob = all.get(...splitKey(key))
    if (!cronJob) return
    const own = jobInformer.byIndex('controller', cronJob.metadata.uid ?? '')
    const gone = new Set<string | undefined>()
    for (const job of surplus(cronJob, own)) if (await remove(client, cronJob, job.metadata)) gone.add(job.metadata.uid)
    const { active, ended, missing, unexpected, lastSuccessfulTime } = account(cronJob, own)
    for (const job of unexpected)
      recorder.event(cronJob, 'Warning', 'UnexpectedJob', `Saw a job that the controller did not create or forgot: ${job.metadata.name}`)
    for (const { metadata, status } of ended) {
      const how = holds(status, 'Complete') ? 'Complete' : 'Failed'
      recorder.event(cronJob, 'Normal', 'SawCompletedJob', `Saw completed job: ${metadata.name}, condition: ${how}`)
    }
    for (const job of missing) if (await isGone(client, cronJob, job)) gone.add(job.uid)
    const status: Status = {
      ...cronJob.status,
      active: active.filter(a => !gone.has(a.uid)),
      ...(lastSuccessfulTime === undefined ? {} : { lastSuccessfulTime }),
    }
    let result: { requeueAfterMs: number } | undefined
    try {
      if (!cronJob.metadata.deletionTimestamp) result = await run(client, cronJob, status)
    } finally {
      if (!sameStatus(cronJob.status, status)) await client.update(cronJobs, { ...cronJob, status }, 'status')
    }
    return result
  }

  /** Whether an active job is not there, which the API is asked for. */
  async function isGone(client: Client, cronJob: CronJob, { namespace = '', name = '' }: ActiveJob): Promise<boolean> {
    try {
      await client.get(jobs, namespace, name)
      return false
    } catch (e) {
      if (!isNotFound(e)) throw e
      recorder.event(cronJob, 'Normal', 'MissingJob', `Active job went missing: ${name}`)
      return true
    }
  }

  /** Makes the job that is due, if it is to be made, and notes it in `status`. */
  async function run(client: Client, cronJob: CronJob, status: Status): Promise<{ requeueAfterMs: number } | undefined> {
    const { spec } = cronJob
    const next = spec.suspend ? undefined : readable(cronJob)
    if (!next) return undefined
    const now = Date.now()
    const later = () => ({ requeueAfterMs: untilNext({ ...cronJob, status }, next, now) + paddingMs })
    let at: number | undefined
    try {
      const found = due(cronJob, next, now, true)
      at = found.at
      if (at !== undefined && found.missed > manyMissed) {
        const message = 'too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew'
        recorder.event(cronJob, 'Warning', 'TooManyMissedTimes', message)
      }
    } catch (e) {
      return void recorder.event(cronJob, 'Warning', 'InvalidSchedule', `invalid schedule: ${spec.schedule} : ${(e as Error).message}`)
    }
    if (at === undefined) return later()
    if (spec.startingDeadlineSeconds !== undefined && at + spec.startingDeadlineSeconds * 1000 < now) {
      const time = new Date(at).toUTCString().replace('GMT', '+0000')
      recorder.event(cronJob, 'Warning', 'MissSchedule', `Missed scheduled time to start a job: ${time}`)
      return later()
    }
    const done = status.active?.some(a => a.name === jobName(cronJob, at)) || status.lastScheduleTime === formatTime(new Date(at))
    if (done) return later()
    if (spec.concurrencyPolicy === 'Forbid' && status.active?.length) {
      const message = 'Not starting job because prior execution is running and concurrency policy is Forbid'
      recorder.event(cronJob, 'Normal', 'JobAlreadyActive', message)
      return later()
    }
    if (spec.concurrencyPolicy === 'Replace')
      for (const job of status.active ?? []) {
        if (!(await remove(client, cronJob, job))) throw new Error(`could not replace job ${job.namespace}/${job.name}`)
        status.active = status.active?.filter(a => a !== job)
      }
    const job = await make(client, cronJob, at)
    if (!job) return undefined
    status.active = [...(status.active ?? []).filter(a => a.uid !== job.metadata.uid), reference(job)]
    status.lastScheduleTime = formatTime(new Date(at))
    return later()
  }

  /** The job for this run, made now or before; undefined when it cannot be, or when somebody else has its name. */
  async function make(client: Client, cronJob: CronJob, at: number): Promise<Job | undefined> {
    const namespace = cronJob.metadata.namespace ?? ''
    const wanted = newJob(cronJob, at)
    try {
      const job = await client.create(jobs, namespace, wanted)
      skew.observe((Date.now() - at) / 1000)
      recorder.event(cronJob, 'Normal', 'SuccessfulCreate', `Created job ${job.metadata.name}`)
      return job
    } catch (e) {
      if (isNamespaceTerminating(e)) return undefined
      if (!isAlreadyExists(e)) {
        recorder.event(cronJob, 'Warning', 'FailedCreate', `Error creating job: ${(e as Error).message}`)
        throw e
      }
      // Made before this controller was killed, or by a request that had no answer.
      const job = await client.get(jobs, namespace, wanted.metadata.name!)
      return controllerOf(job)?.uid === cronJob.metadata.uid ? job : undefined
    }
  }

  async function remove(
    client: Client,
    cronJob: CronJob,
    { namespace = '', name = '', uid }: { namespace?: string | undefined; name?: string | undefined; uid?: string | undefined },
  ): Promise<boolean> {
    try {
      await client.delete(jobs, namespace, name, { propagationPolicy: 'Background', ...(uid ? { preconditions: { uid } } : {}) })
    } catch (e) {
      if (!isNotFound(e)) {
        recorder.event(cronJob, 'Warning', 'FailedDelete', `Deleted job: ${(e as Error).message}`)
        return false
      }
    }
    recorder.event(cronJob, 'Normal', 'SuccessfulDelete', `Deleted job ${name}`)
    return true
  }

  return {
    name: 'cronjob-controller',
    client: ctx.as('cronjob-controller'),
    workers: 5,
    sources: [source(all, changed), source(jobInformer, owners)],
    reconcile,
    start: q => void (queue = q),
    log: ctx.log,
  }
}

/** Equal as far as the API keeps them. */
const sameStatus = (a: Status | undefined, b: Status): boolean =>
  a?.lastScheduleTime === b.lastScheduleTime &&
  a?.lastSuccessfulTime === b.lastSuccessfulTime &&
  (a?.active ?? []).map(j => j.uid).join() === (b.active ?? []).map(j => j.uid).join()
