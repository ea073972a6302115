import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CronJob } from '#shared/api/batch/cronjob.ts'
import { cronJobs, events, jobs } from '#shared/api/kinds.ts'
import { controllerRef } from '#control-plane/controller-manager/podcontrol/ownership.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { startControl, until, type Control } from './setup.ts'

let c: Control
beforeAll(async () => {
  c = await startControl()
  await c.control()
})
afterAll(() => c?.stop())

const minuteMs = 60_000
/** A timetable that was due `minutes` minutes ago and will not be again for almost a day. */
function daily(minutes: number): { schedule: string; at: number } {
  const at = Math.floor(Date.now() / minuteMs) * minuteMs - minutes * minuteMs
  const time = new Date(at)
  return { schedule: `${time.getUTCMinutes()} ${time.getUTCHours()} * * *`, at }
}
/** Made suspended, so that its past can be given to it before it runs. */
async function create(ns: string, schedule: string, spec: object = {}, pod: object = {}): Promise<CronJob> {
  const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }], ...pod } }
  const made = await c.client.create(cronJobs, ns, {
    metadata: { name: 'tick' },
    spec: { schedule, timeZone: 'UTC', suspend: true, jobTemplate: { metadata: { labels: { l: 'v' } }, spec: { template } }, ...spec },
  } as unknown as CronJob)
  return made
}
const get = (ns: string) => c.client.get(cronJobs, ns, 'tick')
/** Its last run was a day before `at`. */
async function resume(ns: string, at: number): Promise<void> {
  const status = { lastScheduleTime: formatTime(new Date(at - 24 * 60 * minuteMs)) }
  await c.client.patch(cronJobs, ns, 'tick', 'merge', { status }, 'status')
  await c.client.patch(cronJobs, ns, 'tick', 'merge', { spec: { suspend: false } })
}
const jobsOf = async (ns: string) => (await c.client.list(jobs, ns)).items.filter(j => !j.metadata.deletionTimestamp)
const nameAt = (at: number) => `tick-${at / minuteMs}`
const told = (ns: string, text: string) =>
  until(`the event ${text}`, async () => (await c.client.list(events, ns)).items.some(e => `${e.reason} ${e.message}`.startsWith(text)))
/** What the job controller says of a job that has ended. */
async function end(ns: string, name: string, type: 'Complete' | 'Failed'): Promise<void> {
  const [interim, reason] = type === 'Complete' ? ['SuccessCriteriaMet', 'CompletionsReached'] : ['FailureTarget', 'BackoffLimitExceeded']
  const time = formatTime()
  const condition = (of: string) => ({ type: of, status: 'True', reason, lastProbeTime: time, lastTransitionTime: time })
  await until(`${type} of ${name}`, async () => {
    const job = await c.client.get(jobs, ns, name)
    const status = {
      ...job.status,
      startTime: job.status?.startTime ?? time,
      active: 0,
      ready: 0,
      conditions: [condition(interim!), condition(type)],
      ...(type === 'Complete' ? { completionTime: time } : {}),
    }
    return c.client.update(jobs, { ...job, status }, 'status')
  })
}

test('the run that is due is made once, whoever kills the controller when', async () => {
  const ns = await c.namespace('due')
  const { schedule, at } = daily(3)
  await create(ns, schedule)
  await resume(ns, at)
  const [job] = await until('the job', async () => (await jobsOf(ns)).length === 1 && (await jobsOf(ns)))
  expect(job!.metadata).toMatchObject({
    name: nameAt(at),
    labels: { l: 'v' },
    annotations: { 'batch.kubernetes.io/cronjob-scheduled-timestamp': formatTime(new Date(at)) },
    ownerReferences: [{ kind: 'CronJob', name: 'tick', controller: true }],
  })
  await until('the status', async () => {
    const { status } = await get(ns)
    return status?.lastScheduleTime === formatTime(new Date(at)) && status.active?.[0]?.uid === job!.metadata.uid
  })
  await told(ns, `SuccessfulCreate Created job ${nameAt(at)}`)

  // As after a kill between making the job and noting it: the name finds the job.
  await c.stopControllers()
  const before = { lastScheduleTime: formatTime(new Date(at - 24 * 60 * minuteMs)), active: null }
  await c.client.patch(cronJobs, ns, 'tick', 'merge', { status: before }, 'status')
  await c.control()
  await until('the job to be noted again', async () => (await get(ns)).status?.active?.[0]?.uid === job!.metadata.uid)
  expect(await jobsOf(ns)).toHaveLength(1)
  await end(ns, nameAt(at), 'Complete')
  await until('the success', async () => {
    const { status } = await get(ns)
    return !status?.active?.length && status?.lastSuccessfulTime !== undefined
  })
  await told(ns, `SawCompletedJob Saw completed job: ${nameAt(at)}, condition: Complete`)
})

test('what is too late is missed, and told', async () => {
  const ns = await c.namespace('late')
  const { schedule, at } = daily(5)
  await create(ns, schedule, { startingDeadlineSeconds: 60 })
  await resume(ns, at)
  await until('nothing to be done', async () => (await get(ns)).spec.suspend === false)
  const other = await c.namespace('in-time')
  await create(other, schedule, { startingDeadlineSeconds: 86_000 })
  await resume(other, at)
  await until('the one in time', async () => (await jobsOf(other)).length === 1)
  expect(await jobsOf(ns)).toHaveLength(0)
})

test('Forbid waits for the job before, Replace deletes it, Allow does not care', async () => {
  const [first, second] = [daily(4), daily(2)]
  const start = async (concurrencyPolicy: 'Forbid' | 'Replace' | 'Allow'): Promise<string> => {
    const ns = await c.namespace(concurrencyPolicy.toLowerCase())
    await create(ns, first.schedule, { concurrencyPolicy })
    await resume(ns, first.at)
    await until('the first job', async () => (await get(ns)).status?.active?.length === 1)
    await c.client.patch(cronJobs, ns, 'tick', 'merge', { spec: { suspend: true } })
    await c.client.patch(cronJobs, ns, 'tick', 'merge', { spec: { schedule: second.schedule } })
    await resume(ns, second.at)
    return ns
  }
  const names = async (ns: string) => (await jobsOf(ns)).map(j => j.metadata.name).sort()
  const [forbid, replace, allow] = [await start('Forbid'), await start('Replace'), await start('Allow')]
  await until('both', async () => (await names(allow)).length === 2 && (await get(allow)).status?.active?.length === 2)
  await until('the second alone', async () => (await names(replace)).join() === nameAt(second.at))
  await told(forbid, 'JobAlreadyActive Not starting job because prior execution is running and concurrency policy is Forbid')
  expect(await names(forbid)).toEqual([nameAt(first.at)])
  await end(forbid, nameAt(first.at), 'Failed')
  await until('the second', async () => (await names(forbid)).includes(nameAt(second.at)))
})

test('of jobs that have ended as many are kept as the history says', async () => {
  const ns = await c.namespace('history')
  const { schedule, at } = daily(3)
  const cronJob = await create(ns, schedule, { successfulJobsHistoryLimit: 1, failedJobsHistoryLimit: 0 })
  const template = cronJob.spec.jobTemplate.spec!
  // As kubectl create job --from=cronjob/tick.
  for (const name of ['one', 'two', 'three'])
    await c.client.create(jobs, ns, { metadata: { name, ownerReferences: [controllerRef(cronJobs, cronJob)] }, spec: template } as never)
  await told(ns, 'UnexpectedJob Saw a job that the controller did not create or forgot: one')
  await end(ns, 'one', 'Complete')
  await end(ns, 'three', 'Failed')
  await end(ns, 'two', 'Complete')
  await until('one to be kept', async () => (await jobsOf(ns)).length === 1)
  await resume(ns, at)
  await until('the next', async () => (await jobsOf(ns)).some(j => j.metadata.name === nameAt(at)))
})

test('an active job that is gone is noticed', async () => {
  const ns = await c.namespace('missing')
  const { schedule, at } = daily(3)
  await create(ns, schedule)
  await resume(ns, at)
  await until('the job', async () => (await get(ns)).status?.active?.length === 1)
  await c.client.delete(jobs, ns, nameAt(at), { propagationPolicy: 'Background' })
  await until('the list to be empty', async () => !(await get(ns)).status?.active?.length)
  await told(ns, `MissingJob Active job went missing: ${nameAt(at)}`)
  expect(await jobsOf(ns)).toHaveLength(0)
})

test('a timetable that never comes due is told, and does no harm', async () => {
  const ns = await c.namespace('never')
  await create(ns, '59 23 31 2 *', { suspend: false })
  await told(ns, 'InvalidSchedule invalid schedule: 59 23 31 2 * : time difference between two schedules is less than 1 second')
})
