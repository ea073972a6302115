/**
 * When a timetable comes due. What it means is read as upstream reads it (shared/machinery/cron.ts); the calendar and its time zones are
 * croner's. In the hour that a zone skips in spring what is due then comes at its end, and in autumn what has a fixed hour comes once;
 * upstream skips the one and does the other twice.
 */
import { Cron } from 'croner'
import { parseSchedule } from '#shared/machinery/cron.ts'

/** The first time after `after`, in ms; undefined when there is none. */
export type Timetable = (after: number) => number | undefined

/** Throws an Error with upstream's text for what cannot be read. `timeZone`: the controller's own when absent. */
export function timetable(schedule: string, timeZone: string | undefined): Timetable {
  const parsed = parseSchedule(schedule)
  if ('everyMs' in parsed) return after => Math.floor(after / 1000) * 1000 + parsed.everyMs
  const { minutes, hours, daysOfMonth, months, daysOfWeek, anyDayOfMonth, anyDayOfWeek } = parsed
  const days = anyDayOfMonth ? '*' : daysOfMonth.join(',')
  const weekdays = anyDayOfWeek ? '*' : daysOfWeek.join(',')
  const pattern = [minutes.join(','), hours.join(','), days, months.join(','), weekdays].join(' ')
  const cron = new Cron(pattern, { paused: true, ...(timeZone === undefined ? {} : { timezone: timeZone }) })
  return after => cron.nextRun(new Date(after))?.getTime()
}
