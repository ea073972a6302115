/**
 * Timetables of cron as upstream's CronJob reads them (github.com/robfig/cron/v3, ParseStandard): five fields, or a name such as `@hourly`,
 * or `@every` with a duration. The usual libraries take more than that (`L`, `#`, seconds) and say what is wrong in other words.
 */
import { parseDuration } from './duration.ts'

/** The values of each field that fit, sorted; `any*` when the field is a star, which decides how the two kinds of days are combined. */
export interface Fields {
  readonly minutes: readonly number[]
  readonly hours: readonly number[]
  readonly daysOfMonth: readonly number[]
  readonly months: readonly number[]
  readonly daysOfWeek: readonly number[]
  readonly anyDayOfMonth: boolean
  readonly anyDayOfWeek: boolean
}
/** Fields of the calendar, or a time between one and the next in ms. */
export type Schedule = Fields | { readonly everyMs: number }

interface Bounds {
  readonly min: number
  readonly max: number
  readonly names?: readonly string[]
}
const monthNames = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const dayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const minute: Bounds = { min: 0, max: 59 }
const hour: Bounds = { min: 0, max: 23 }
const dayOfMonth: Bounds = { min: 1, max: 31 }
const month: Bounds = { min: 1, max: 12, names: monthNames }
const dayOfWeek: Bounds = { min: 0, max: 6, names: dayNames }

const descriptors: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}
const every = '@every '

const fail = (text: string): never => {
  throw new Error(text)
}

/** Reads a timetable. Throws an Error with upstream's text. */
export function parseSchedule(text: string): Schedule {
  if (text === '') fail('empty spec string')
  let spec = text
  if (spec.startsWith('TZ=') || spec.startsWith('CRON_TZ=')) {
    const space = spec.indexOf(' ')
    if (space < 0)
      fail(`provided bad location ${spec.slice(spec.indexOf('=') + 1)}: unknown time zone ${spec.slice(spec.indexOf('=') + 1)}`)
    spec = spec.slice(space).trim()
  }
  if (spec.startsWith('@')) return parseDescriptor(spec)
  const fields = spec.split(/\s+/).filter(Boolean)
  if (fields.length !== 5) fail(`expected exactly 5 fields, found ${fields.length}: [${fields.join(' ')}]`)
  const [minutes, hours, days, months, weekdays] = fields as [string, string, string, string, string]
  const [monthDay, weekDay] = [parseField(days, dayOfMonth), parseField(weekdays, dayOfWeek)]
  return {
    minutes: parseField(minutes, minute).values,
    hours: parseField(hours, hour).values,
    daysOfMonth: monthDay.values,
    months: parseField(months, month).values,
    daysOfWeek: weekDay.values,
    anyDayOfMonth: monthDay.star,
    anyDayOfWeek: weekDay.star,
  }
}

function parseDescriptor(text: string): Schedule {
  if (Object.hasOwn(descriptors, text)) return parseSchedule(descriptors[text]!)
  if (!text.startsWith(every)) return fail(`unrecognized descriptor: ${text}`)
  const duration = text.slice(every.length)
  const ms = parseDuration(duration)
  if (ms === undefined) return fail(`failed to parse duration ${text}: time: invalid duration ${JSON.stringify(duration)}`)
  return { everyMs: Math.max(1000, Math.floor(ms / 1000) * 1000) }
}

function parseField(text: string, bounds: Bounds): { values: number[]; star: boolean } {
  const values = new Set<number>()
  let star = false
  for (const part of text.split(',').filter(Boolean)) {
    const range = parseRange(part, bounds)
    star ||= range.star
    for (let v = range.start; v <= range.end; v += range.step) values.add(v)
  }
  return { values: [...values].sort((a, b) => a - b), star }
}

/** `*`, `?`, `N`, `N-M`, each with `/step`. */
function parseRange(text: string, { min, max, names }: Bounds): { start: number; end: number; step: number; star: boolean } {
  const [range = '', ...steps] = text.split('/')
  const limits = range.split('-')
  const star = limits[0] === '*' || limits[0] === '?'
  let [start, end] = [min, max]
  if (!star) {
    start = numberOrName(limits[0]!, names)
    if (limits.length > 2) fail(`too many hyphens: ${text}`)
    end = limits.length === 1 ? start : numberOrName(limits[1]!, names)
  }
  if (steps.length > 1) fail(`too many slashes: ${text}`)
  let step = 1
  if (steps.length === 1) {
    step = integer(steps[0]!)
    // `N/step` goes on to the end.
    if (limits.length === 1) end = max
  }
  if (start < min) fail(`beginning of range (${start}) below minimum (${min}): ${text}`)
  if (end > max) fail(`end of range (${end}) above maximum (${max}): ${text}`)
  if (start > end) fail(`beginning of range (${start}) beyond end of range (${end}): ${text}`)
  if (step === 0) fail(`step of range should be a positive number: ${text}`)
  return { start, end, step, star: star && step === 1 }
}

function numberOrName(text: string, names: readonly string[] | undefined): number {
  const index = names?.indexOf(text.toLowerCase()) ?? -1
  return index < 0 ? integer(text) : index + (names === monthNames ? 1 : 0)
}

function integer(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) fail(`failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`)
  const value = Number(text)
  if (value < 0) fail(`negative number (${value}) not allowed: ${text}`)
  return value
}
