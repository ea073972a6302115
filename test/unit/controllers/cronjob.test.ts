import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CronJob } from '#shared/api/batch/cronjob.ts'
import type { Job } from '#shared/api/batch/job.ts'
import { due, untilNext } from '#control-plane/controller-manager/cronjob/due.ts'
import { account, newJob, surplus, timeIn } from '#control-plane/controller-manager/cronjob/jobs.ts'
import { timetable } from '#control-plane/controller-manager/cronjob/schedule.ts'

const ms = (text: string): number => Date.parse(text)
const iso = (at: number | undefined): string | undefined => (at === undefined ? undefined : new Date(at).toISOString().replace('.000', ''))
const cronJob = (spec: object = {}, status: object = {}): CronJob =>
  ({
    metadata: { name: 'tick', namespace: 'ns', uid: 'cj', creationTimestamp: '2026-01-01T10:00:30Z' },
    spec: {
      schedule: '0 * * * *',
      jobTemplate: { metadata: { labels: { a: 'b' }, annotations: { c: 'd' } }, spec: { template: {} } },
      ...spec,
    },
    status,
  }) as unknown as CronJob

describe('a timetable', () => {
  const runs = (schedule: string, zone: string, after: string, count = 3): (string | undefined)[] => {
    const next = timetable(schedule, zone)
    const found: (string | undefined)[] = []
    for (let at: number | undefined = ms(after); found.length < count && at !== undefined;) found.push(iso((at = next(at))))
    return found
  }
  test.each([
    ['*/20 9-10 * * *', 'UTC', '2026-01-01T09:30:00Z', ['2026-01-01T09:40:00Z', '2026-01-01T10:00:00Z', '2026-01-01T10:20:00Z']],
    ['0 0 1 jan,JUN *', 'UTC', '2026-01-01T00:00:00Z', ['2026-06-01T00:00:00Z', '2027-01-01T00:00:00Z', '2027-06-01T00:00:00Z']],
    // Either kind of day, when both are given.
    ['0 0 13 * fri', 'UTC', '2026-01-03T00:00:00Z', ['2026-01-09T00:00:00Z', '2026-01-13T00:00:00Z', '2026-01-16T00:00:00Z']],
    ['0 0 * * sun', 'UTC', '2026-01-03T00:00:00Z', ['2026-01-04T00:00:00Z', '2026-01-11T00:00:00Z', '2026-01-18T00:00:00Z']],
    ['@weekly', 'UTC', '2026-01-03T00:00:00Z', ['2026-01-04T00:00:00Z', '2026-01-11T00:00:00Z', '2026-01-18T00:00:00Z']],
    ['0 0 29 2 *', 'UTC', '2026-01-01T00:00:00Z', ['2028-02-29T00:00:00Z', '2032-02-29T00:00:00Z', '2036-02-29T00:00:00Z']],
    ['0 12 * * *', 'Europe/Berlin', '2026-03-28T00:00:00Z', ['2026-03-28T11:00:00Z', '2026-03-29T10:00:00Z', '2026-03-30T10:00:00Z']],
    // In the hour that does not exist, and in the one that comes twice.
    ['30 2 * * *', 'America/New_York', '2026-03-07T08:00:00Z', ['2026-03-08T07:00:00Z', '2026-03-09T06:30:00Z', '2026-03-10T06:30:00Z']],
    ['30 1 * * *', 'America/New_York', '2026-10-31T06:00:00Z', ['2026-11-01T05:30:00Z', '2026-11-02T06:30:00Z', '2026-11-03T06:30:00Z']],
    ['30 * * * *', 'America/New_York', '2026-11-01T05:00:00Z', ['2026-11-01T05:30:00Z', '2026-11-01T06:30:00Z', '2026-11-01T07:30:00Z']],
    ['@every 90s', 'UTC', '2026-01-01T00:00:00.400Z', ['2026-01-01T00:01:30Z', '2026-01-01T00:03:00Z', '2026-01-01T00:04:30Z']],
  ])('%s in %s', (schedule, zone, after, expected) => {
    expect(runs(schedule, zone, after)).toEqual(expected)
  })
  test('that is none, or never comes due', () => {
    expect(() => timetable('* * *', 'UTC')).toThrow('expected exactly 5 fields, found 3')
    expect(timetable('59 23 31 2 *', 'UTC')(0)).toBeUndefined()
  })
  const field = (min: number, max: number) =>
    fc.oneof(
      fc.constant('*'),
      fc.integer({ min, max }).map(String),
      fc.integer({ min: 2, max: 15 }).map(n => `*/${n}`),
      fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 3 }).map(a => a.join(',')),
    )
  test('comes due only when its fields say so, and skips nothing', () => {
    fc.assert(
      fc.property(field(0, 59), field(0, 23), field(1, 28), fc.integer({ min: 0, max: 2 ** 31 }), (m, h, d, seconds) => {
        const next = timetable(`${m} ${h} ${d} * *`, 'UTC')
        const start = ms('2026-01-01T00:00:00Z') + seconds * 100
        const at = next(start)!
        const fits = (text: string, value: number, min: number): boolean => {
          if (text === '*') return true
          if (text.startsWith('*/')) return (value - min) % Number(text.slice(2)) === 0
          return text.split(',').map(Number).includes(value)
        }
        const matches = (t: number): boolean => {
          const time = new Date(t)
          return fits(m, time.getUTCMinutes(), 0) && fits(h, time.getUTCHours(), 0) && fits(d, time.getUTCDate(), 1)
        }
        expect(at).toBeGreaterThan(start)
        expect(at % 60_000).toBe(0)
        expect(matches(at)).toBe(true)
        for (let t = at - 60_000; t > start && t > at - 2 * 86_400_000; t -= 60_000) expect(matches(t)).toBe(false)
      }),
      { numRuns: 30 },
    )
  })
})

describe('the run that is due', () => {
  const hourly = timetable('0 * * * *', 'UTC')
  const at = (now: string, spec: object = {}, status: object = {}) => {
    const { at: time, missed } = due(cronJob(spec, status), hourly, ms(now), true)
    return [iso(time), missed]
  }
  test('is the last that was missed since the last one, or since the cron job was made', () => {
    expect(at('2026-01-01T10:59:59Z')).toEqual([undefined, 0])
    expect(at('2026-01-01T11:00:00Z')).toEqual(['2026-01-01T11:00:00Z', 0])
    expect(at('2026-01-01T14:30:00Z')).toEqual(['2026-01-01T14:00:00Z', 4])
    expect(at('2026-01-01T14:30:00Z', {}, { lastScheduleTime: '2026-01-01T14:00:00Z' })).toEqual([undefined, 0])
    expect(at('2026-01-11T14:30:00Z')[1]).toBeGreaterThan(100)
    // What is too late is not looked at.
    expect(at('2026-01-11T14:30:00Z', { startingDeadlineSeconds: 3600 })).toEqual(['2026-01-11T14:00:00Z', 0])
    expect(at('2026-01-11T14:30:00Z', { startingDeadlineSeconds: 60 })).toEqual([undefined, 0])
  })
  test('of an uneven timetable, too', () => {
    const office = timetable('30 6-16/4 * * 1-5', 'UTC')
    const since = { lastScheduleTime: '2026-01-02T14:30:00Z' }
    expect(iso(due(cronJob({}, since), office, ms('2026-01-05T11:00:00Z'), true).at)).toBe('2026-01-05T10:30:00Z')
  })
  test('is found behind a first interval that was short', () => {
    const sevens = timetable('*/7 * * * *', 'UTC')
    expect(iso(due(cronJob({}, { lastScheduleTime: '2026-01-01T10:53:00Z' }), sevens, ms('2026-01-09T10:58:00Z'), true).at)).toBe(
      '2026-01-09T10:56:00Z',
    )
  })
  test('is none for a timetable that never comes due', () => {
    expect(() => due(cronJob(), timetable('59 23 31 2 *', 'UTC'), 0, true)).toThrow(
      'time difference between two schedules is less than 1 second',
    )
  })
  test('says when to look again', () => {
    const wait = (now: string, status: object = {}) => untilNext(cronJob({}, status), hourly, ms(now))
    expect(wait('2026-01-01T10:45:00Z')).toBe(15 * 60_000)
    expect(wait('2026-01-01T14:30:00Z', { lastScheduleTime: '2026-01-01T14:00:00Z' })).toBe(30 * 60_000)
    expect(wait('2026-01-01T14:30:00Z')).toBe(30 * 60_000)
  })
  test('never lies in the future, and never before the last one', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('*/7 * * * *', '0 */5 * * *', '15 3 * * 1', '@every 61s'),
        fc.nat(10_000_000),
        fc.nat(1_000_000),
        (schedule, start, passed) => {
          const last = ms('2026-01-01T00:00:00Z') + start * 1000
          const now = last + passed * 1000
          const next = timetable(schedule, 'UTC')
          const found = due(cronJob({}, { lastScheduleTime: iso(last) }), next, now, true).at
          if (found === undefined) expect(next(last)!).toBeGreaterThan(now)
          else {
            expect(found).toBeGreaterThan(last)
            expect(found).toBeLessThanOrEqual(now)
            expect(next(found)!).toBeGreaterThan(now)
          }
        },
      ),
    )
  })
})

const job = (name: string, more: { type?: string; completed?: string; started?: string } = {}): Job =>
  ({
    metadata: { name, namespace: 'ns', uid: name },
    status: {
      conditions: more.type ? [{ type: more.type, status: 'True' }] : [],
      ...(more.completed ? { completionTime: more.completed } : {}),
      ...(more.started ? { startTime: more.started } : {}),
    },
  }) as unknown as Job

test('a job is named after its minute and tells its time', () => {
  const made = newJob(cronJob({ timeZone: 'Asia/Kolkata' }), ms('2026-01-01T10:00:00Z'))
  expect(made.metadata).toMatchObject({
    name: `tick-${ms('2026-01-01T10:00:00Z') / 60_000}`,
    labels: { a: 'b' },
    annotations: { c: 'd', 'batch.kubernetes.io/cronjob-scheduled-timestamp': '2026-01-01T15:30:00+05:30' },
    ownerReferences: [{ kind: 'CronJob', uid: 'cj', controller: true }],
  })
  expect(timeIn(ms('2026-01-01T10:00:00Z'), 'America/New_York')).toBe('2026-01-01T05:00:00-05:00')
  expect(timeIn(ms('2026-01-01T10:00:00Z'), 'UTC')).toBe('2026-01-01T10:00:00Z')
})

test('jobs are accounted for', () => {
  const status = { active: ['a', 'b', 'c'].map(uid => ({ uid, name: uid })), lastSuccessfulTime: '2026-01-01T01:00:00Z' }
  const jobs = [job('a'), job('b', { type: 'Complete', completed: '2026-01-01T02:00:00Z' }), job('d'), job('e', { type: 'Failed' })]
  const found = account(cronJob({}, status), jobs)
  expect({
    active: found.active.map(a => a.uid),
    ended: found.ended.map(j => j.metadata.uid),
    missing: found.missing.map(a => a.uid),
    unexpected: found.unexpected.map(j => j.metadata.uid),
    lastSuccessfulTime: found.lastSuccessfulTime,
  }).toEqual({ active: ['a', 'c'], ended: ['b'], missing: ['c'], unexpected: ['d'], lastSuccessfulTime: '2026-01-01T02:00:00Z' })
})

test('the history keeps those that started last', () => {
  const jobs = [
    job('new', { type: 'Complete', started: '2026-01-01T03:00:00Z' }),
    job('old', { type: 'Complete', started: '2026-01-01T01:00:00Z' }),
    job('runs', { started: '2026-01-01T00:00:00Z' }),
    job('failed', { type: 'Failed', started: '2026-01-01T02:00:00Z' }),
  ]
  const names = (limits: object) => surplus(cronJob(limits), jobs).map(j => j.metadata.name)
  expect(names({ successfulJobsHistoryLimit: 1, failedJobsHistoryLimit: 1 })).toEqual(['old'])
  expect(names({ successfulJobsHistoryLimit: 0, failedJobsHistoryLimit: 0 })).toEqual(['old', 'new', 'failed'])
  expect(names({})).toEqual([])
})
