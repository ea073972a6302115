/** Which run of a cron job is due. pkg/controller/cronjob/utils.go */
import type { CronJob } from '#shared/api/batch/cronjob.ts'
import type { Timetable } from './schedule.ts'

export interface Due {
  /** When the last run was, or the cron job was made, or what is older is given up; ms. */
  readonly since: number
  /** The last time it should have run and did not, in ms; undefined when there is none. */
  readonly at: number | undefined
  /** About how many runs were missed. */
  readonly missed: number
}

/** More than this is worth a warning. */
export const manyMissed = 100

/**
 * `now` in ms. `deadline`: what is later than startingDeadlineSeconds does not count. Throws an Error for a timetable that never comes due.
 */
export function due({ metadata, spec, status }: CronJob, next: Timetable, now: number, deadline: boolean): Due {
  let since = Date.parse(status?.lastScheduleTime ?? metadata.creationTimestamp ?? '')
  if (deadline && spec.startingDeadlineSeconds !== undefined) since = Math.max(since, now - spec.startingDeadlineSeconds * 1000)
  const first = next(since)
  const second = first === undefined ? undefined : next(first)
  if (first === undefined || second === undefined || second - first < 1000)
    throw new Error('time difference between two schedules is less than 1 second')
  if (now < first) return { since, at: undefined, missed: 0 }
  if (now < second) return { since, at: first, missed: 0 }
  // Not all that were missed are looked at: there could be decades of them. From one interval before the last on they are, and from further
  // back where the intervals are not alike.
  const interval = second - first
  const missed = Math.floor((now - first) / interval) + 1
  let at: number | undefined
  let from = first + (missed - 2) * interval
  for (let back = interval; ; back *= 2) {
    for (let t = next(from); t !== undefined && t <= now; t = next(t)) at = t
    if (at !== undefined) return { since, at, missed }
    from = Math.max(since, from - back)
  }
}

/** When to look again, in ms from now. */
export function untilNext(cronJob: CronJob, next: Timetable, now: number): number {
  const last = lastOf(cronJob, next, now)
  return Math.max(0, (next(last) ?? now) - now)
}
function lastOf(cronJob: CronJob, next: Timetable, now: number): number {
  try {
    const { since, at, missed } = due(cronJob, next, now, false)
    return at ?? (missed === 0 ? since : now)
  } catch {
    return now
  }
}
