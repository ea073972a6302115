/** Times and durations as Go's `time` reads and writes them. */
import { Duration, ErrorValue, Timestamp } from './values.ts'

const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?(Z|z|([+-])(\d\d):(\d\d))$/

/** The years 1 to 9999. */
export const minSeconds = -62_135_596_800
export const maxSeconds = 253_402_300_799

/** Undefined when the text is no time in RFC 3339. */
export function parseTimestamp(text: string): Timestamp | undefined {
  const m = rfc3339.exec(text)
  if (!m) return undefined
  const [year, month, day, hour, minute, second] = m.slice(1, 7).map(Number) as [number, number, number, number, number, number]
  if (month < 1 || month > 12 || day < 1 || day > daysOf(year, month) || hour > 23 || minute > 59 || second > 59) return undefined
  const [sign, offsetHours, offsetMinutes] = [m[9] === '-' ? -1 : 1, Number(m[10] ?? 0), Number(m[11] ?? 0)]
  if (offsetHours > 23 || offsetMinutes > 59) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  const seconds = date.getTime() / 1000 + hour * 3600 + minute * 60 + second - sign * (offsetHours * 3600 + offsetMinutes * 60)
  return new Timestamp(seconds, Number((m[7] ?? '').padEnd(9, '0')), sign * (offsetHours * 60 + offsetMinutes))
}

const daysOf = (year: number, month: number): number => {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  return [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]!
}

/** RFC 3339 with as many digits of fraction as it takes. */
export function formatTimestamp({ seconds, nanos, offset }: Timestamp): string {
  const text = new Date((seconds + offset * 60) * 1000).toISOString()
  const whole = text.slice(0, text.lastIndexOf('.'))
  const fraction = nanos === 0 ? '' : `.${String(nanos).padStart(9, '0').replace(/0+$/, '')}`
  if (offset === 0) return `${whole}${fraction}Z`
  const [hours, minutes] = [Math.trunc(Math.abs(offset) / 60), Math.abs(offset) % 60].map(n => String(n).padStart(2, '0'))
  return `${whole}${fraction}${offset < 0 ? '-' : '+'}${hours}:${minutes}`
}

const units: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1000n,
  µs: 1000n,
  μs: 1000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}
const part = /(?:(\d+)(?:\.(\d*))?|\.(\d+))(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/y

export const maxInt = 2n ** 63n - 1n
export const minInt = -(2n ** 63n)

/** Undefined when the text is no duration or does not fit into 64 bits of nanoseconds. */
export function parseDuration(text: string): Duration | undefined {
  const negative = text.startsWith('-')
  const body = /^[+-]/.test(text) ? text.slice(1) : text
  if (body === '0') return new Duration(0n)
  if (body === '' || body.length > 200) return undefined
  let total = 0n
  part.lastIndex = 0
  while (part.lastIndex < body.length) {
    const m = part.exec(body)
    if (!m) return undefined
    const unit = units[m[4]!]!
    const fraction = (m[3] ?? m[2] ?? '').slice(0, 18)
    total += BigInt(m[1] ?? 0) * unit + (fraction === '' ? 0n : (BigInt(fraction) * unit) / 10n ** BigInt(fraction.length))
  }
  if (total > maxInt + (negative ? 1n : 0n)) return undefined
  return new Duration(negative ? -total : total)
}

/** In seconds, `3600.5s`. */
export function formatDuration({ nanos }: Duration): string {
  const size = nanos < 0n ? -nanos : nanos
  const fraction = String(size % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '')
  return `${nanos < 0n ? '-' : ''}${size / 1_000_000_000n}${fraction === '' ? '' : `.${fraction}`}s`
}

export interface CivilTime {
  readonly year: number
  /** From 0. */
  readonly month: number
  readonly day: number
  /** 0 is Sunday. */
  readonly weekday: number
  /** From 0. */
  readonly yearDay: number
  readonly hour: number
  readonly minute: number
  readonly second: number
}

const fixed = /^([+-]?)(\d\d?):(\d\d)$/

/** What clocks show in a zone of IANA's or at an offset, `-08:00`. */
export function inZone({ seconds }: Timestamp, zone: string): CivilTime | ErrorValue {
  const offset = offsetIn(seconds, zone)
  if (offset === undefined) return new ErrorValue(`unknown time zone ${zone}`)
  const date = new Date((seconds + offset) * 1000)
  const year = date.getUTCFullYear()
  const first = new Date(0)
  first.setUTCFullYear(year, 0, 1)
  first.setUTCHours(0, 0, 0, 0)
  return {
    year,
    month: date.getUTCMonth(),
    day: date.getUTCDate(),
    weekday: date.getUTCDay(),
    yearDay: Math.floor((date.getTime() - first.getTime()) / 86_400_000),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
    second: date.getUTCSeconds(),
  }
}

/** Seconds east of UTC. */
function offsetIn(seconds: number, zone: string): number | undefined {
  if (zone === 'UTC' || zone === '') return 0
  const m = fixed.exec(zone)
  if (m) return (m[1] === '-' ? -1 : 1) * (Number(m[2]) * 3600 + Number(m[3]) * 60)
  if (!/^[A-Za-z]/.test(zone)) return undefined
  const format = formatOf(zone)
  if (!format) return undefined
  const at = new Date(seconds * 1000)
  const parts = Object.fromEntries(format.formatToParts(at).map(p => [p.type, Number(p.value)])) as Record<string, number>
  const local = new Date(0)
  local.setUTCFullYear(parts['year']!, parts['month']! - 1, parts['day'])
  local.setUTCHours(parts['hour']!, parts['minute'], parts['second'], 0)
  // Years before 1 are shown as of an era; there clocks ran by the sun anyhow.
  return Math.round((local.getTime() - at.getTime()) / 1000)
}

const formats = new Map<string, Intl.DateTimeFormat | undefined>()
function formatOf(timeZone: string): Intl.DateTimeFormat | undefined {
  if (formats.has(timeZone)) return formats.get(timeZone)
  let format: Intl.DateTimeFormat | undefined
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      calendar: 'gregory',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
  } catch {
    format = undefined
  }
  // Names are users': there are some six hundred true ones.
  if (formats.size > 1000) formats.clear()
  formats.set(timeZone, format)
  return format
}
