/** Times as the API writes them, and how long ago they are as kubectl shows it (k8s.io/apimachinery/pkg/util/duration). */

/** metav1.Time: RFC 3339 in UTC, whole seconds. */
export const formatTime = (at?: Date): string => (at ? secondsText(at) : presentTime())
/** metav1.MicroTime: the same with six digits of fraction. JavaScript's clock has three of them. */
export const formatMicroTime = (at: Date = new Date()): string => `${at.toISOString().slice(0, 23)}000Z`

const secondsText = (at: Date): string => `${at.toISOString().slice(0, 19)}Z`

// Every write asks for the time, many in each second.
let present = { second: -1, text: '' }
function presentTime(): string {
  const second = Math.floor(Date.now() / 1000)
  if (present.second !== second) present = { second, text: secondsText(new Date(second * 1000)) }
  return present.text
}

const minute = 60
const hour = 60 * minute
const day = 24 * hour

/** About two significant figures: `45s`, `5m30s`, `7h`, `3d4h`, `2y10d`. */
export function humanDuration(milliseconds: number): string {
  const s = Math.trunc(milliseconds / 1000)
  if (s < -1) return '<invalid>'
  if (s < 0) return '0s'
  if (s < 2 * minute) return `${s}s`
  const m = Math.trunc(s / minute)
  if (m < 10) return s % 60 === 0 ? `${m}m` : `${m}m${s % 60}s`
  if (m < 180) return `${m}m`
  const h = Math.trunc(s / hour)
  if (h < 8) return m % 60 === 0 ? `${h}h` : `${h}h${m % 60}m`
  if (h < 48) return `${h}h`
  const d = Math.trunc(s / day)
  if (d < 8) return h % 24 === 0 ? `${d}d` : `${d}d${h % 24}h`
  if (d < 2 * 365) return `${d}d`
  const y = Math.trunc(d / 365)
  if (d < 8 * 365) return d % 365 === 0 ? `${y}y` : `${y}y${d % 365}d`
  return `${y}y`
}

/** One unit only: `45s`, `5m`, `7h`, `3d`, `2y`. */
export function shortHumanDuration(milliseconds: number): string {
  const s = Math.trunc(milliseconds / 1000)
  if (s < -1) return '<invalid>'
  if (s < 0) return '0s'
  if (s < minute) return `${s}s`
  if (s < hour) return `${Math.trunc(s / minute)}m`
  if (s < day) return `${Math.trunc(s / hour)}h`
  return s < 365 * day ? `${Math.trunc(s / day)}d` : `${Math.trunc(s / (365 * day))}y`
}

/** How long ago a time of the API is, for a table's age column; `<unknown>` when there is none. */
export function age(time: string | undefined, now: number = Date.now()): string {
  return time ? humanDuration(now - Date.parse(time)) : '<unknown>'
}
