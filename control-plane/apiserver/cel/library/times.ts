/** Parts of times and durations. */
import { inZone, type CivilTime } from '../gotime.ts'
import { member, type Overload } from '../functions.ts'
import { duration, int, string, timestamp } from '../types.ts'
import { ErrorValue, type Duration, type Timestamp, type Value } from '../values.ts'

/** Of a time in UTC or in a zone. */
function part(id: string, of: (t: CivilTime, at: Timestamp) => number, withZone = `${id}_with_tz`): Overload[] {
  const read = (at: Timestamp, zone: string): Value => {
    const civil = inZone(at, zone)
    return civil instanceof ErrorValue ? civil : BigInt(of(civil, at))
  }
  return [member(id, [timestamp], int, (at: Timestamp) => read(at, 'UTC')), member(withZone, [timestamp, string], int, read)]
}
const whole = (id: string, nanos: bigint): Overload => member(id, [duration], int, (d: Duration) => d.nanos / nanos)

export const times: readonly (readonly [string, readonly Overload[]])[] = [
  ['getFullYear', part('timestamp_to_year', t => t.year)],
  ['getMonth', part('timestamp_to_month', t => t.month)],
  ['getDayOfYear', part('timestamp_to_day_of_year', t => t.yearDay)],
  ['getDayOfMonth', part('timestamp_to_day_of_month', t => t.day - 1)],
  ['getDate', part('timestamp_to_day_of_month_1_based', t => t.day)],
  ['getDayOfWeek', part('timestamp_to_day_of_week', t => t.weekday)],
  ['getHours', [...part('timestamp_to_hours', t => t.hour), whole('duration_to_hours', 3_600_000_000_000n)]],
  ['getMinutes', [...part('timestamp_to_minutes', t => t.minute), whole('duration_to_minutes', 60_000_000_000n)]],
  ['getSeconds', [...part('timestamp_to_seconds', t => t.second, 'timestamp_to_seconds_tz'), whole('duration_to_seconds', 1_000_000_000n)]],
  [
    'getMilliseconds',
    [...part('timestamp_to_milliseconds', (_, at) => Math.trunc(at.nanos / 1_000_000)), whole('duration_to_milliseconds', 1_000_000n)],
  ],
]
