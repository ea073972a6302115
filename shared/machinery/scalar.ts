/**
 * The strings with a grammar that decoding checks and brings into the form in which upstream writes them: times, bytes, durations,
 * quantities.
 */

const secondsPattern =
  /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/
const daysIn = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

function isDay(text: string): boolean {
  const year = Number(text.slice(0, 4))
  const month = Number(text.slice(5, 7))
  const days = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : daysIn[month - 1]!
  return Number(text.slice(8, 10)) <= days
}

/** An RFC 3339 time as UTC with whole seconds, as metav1.Time prints it; undefined when it is none. */
export function normalTime(text: string): string | undefined {
  if (!secondsPattern.test(text) || !isDay(text)) return undefined
  if (text.length === 20 && text.charCodeAt(19) === 90) return text
  return utc(text).slice(0, 19) + 'Z'
}

/** An RFC 3339 time as UTC with six digits of fraction, as metav1.MicroTime prints it; undefined when it is none. */
export function normalMicroTime(text: string): string | undefined {
  const m = secondsPattern.exec(text)
  if (!m || !isDay(text)) return undefined
  const fraction = (m[4] ?? '.').slice(1, 7).padEnd(6, '0')
  return `${m[5] === 'Z' ? text.slice(0, 19) : utc(text).slice(0, 19)}.${fraction}Z`
}

const utc = (text: string): string => new Date(text).toISOString()

/** Base64 in the standard alphabet with padding; line breaks are allowed and dropped. Undefined when it is none. */
export function normalBase64(text: string): string | undefined {
  const plain = text.includes('\n') || text.includes('\r') ? text.replace(/[\r\n]/g, '') : text
  if (plain.length % 4 !== 0) return undefined
  return /^[A-Za-z0-9+/]*={0,2}$/.test(plain) && !/^=/.test(plain) ? plain : undefined
}

const durationPattern = /^[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h))*$/

/** Whether the text is a Go duration such as `1m30s`. */
export const isDuration = (text: string): boolean => text === '0' || durationPattern.test(text)

/** The commonest canonical quantities, at most three digits with a suffix: for these nothing need be computed. */
export const plainQuantity = /^[1-9]\d{0,2}(m|k|M|G|T|Ki|Mi|Gi|Ti)?$/
