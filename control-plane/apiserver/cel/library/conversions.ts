/** Conversions between the types of the language. */
import { costOf } from '../estimate.ts'
import { formatDuration, formatTimestamp, maxInt, maxSeconds, minInt, minSeconds, parseDuration, parseTimestamp } from '../gotime.ts'
import { overload, traverses, type Overload } from '../functions.ts'
import { bool, bytes, double, duration, int, param, string, timestamp, typeOf, uint } from '../types.ts'
import { Duration, ErrorValue, Timestamp, TypeValue, typeOfValue, Uint, type Value } from '../values.ts'

const maxUint = 2n ** 64n - 1n
const A = param('A')
const same = (v: Value): Value => v
const error = (message: string): ErrorValue => new ErrorValue(message)
const intRange = error('integer overflow')
const uintRange = error('unsigned integer overflow')
const timeRange = error('timestamp overflow')

const intOf = (v: bigint): Value => (v > maxInt || v < minInt ? intRange : v)
const uintOf = (v: bigint): Value => (v > maxUint || v < 0n ? uintRange : new Uint(v))

/** Doubles at the very limits are refused, as they were rounded there. */
const doubleToInt = (v: number): Value => (v > -(2 ** 63) && v < 2 ** 63 ? intOf(BigInt(Math.trunc(v))) : intRange)
const doubleToUint = (v: number): Value => (v >= 0 && v < 2 ** 64 ? uintOf(BigInt(Math.trunc(v))) : uintRange)

const unparsed = (type: string): ErrorValue => error(`type conversion error from 'string' to '${type}'`)

function textToInt(text: string): Value {
  // The longest numbers are no text to make a bigint of.
  if (!/^[+-]?\d+$/.test(text) || text.length > 400) return unparsed('int')
  const value = BigInt(text.replace('+', ''))
  return value > maxInt || value < minInt ? unparsed('int') : value
}
const textToUint = (text: string): Value =>
  !/^\d+$/.test(text) || text.length > 400 || BigInt(text) > maxUint ? unparsed('uint') : new Uint(BigInt(text))
function textToDouble(text: string): Value {
  const special = /^([+-]?)(?:inf|infinity)$/i.exec(text)
  if (special) return special[1] === '-' ? -Infinity : Infinity
  if (/^[+-]?nan$/i.test(text)) return NaN
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) return unparsed('double')
  const value = Number(text)
  return Number.isFinite(value) ? value : unparsed('double')
}
function textToBool(text: string): Value {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false
  return unparsed('bool')
}

/** As Go's `%g` shows a number: the shortest text that is read as the same one. */
export function formatDouble(v: number): string {
  if (Number.isNaN(v)) return 'NaN'
  if (!Number.isFinite(v)) return v > 0 ? '+Inf' : '-Inf'
  if (v === 0) return Object.is(v, -0) ? '-0' : '0'
  const [digits, exponent] = v.toExponential().split('e') as [string, string]
  const power = Number(exponent)
  if (power < -4 || power >= 21) return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`
  return String(v).includes('e') ? v.toFixed(Math.min(100, Math.max(0, digits.replace(/[-.]/g, '').length - 1 - power))) : String(v)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
function bytesToText(v: Uint8Array): Value {
  try {
    return utf8.decode(v)
  } catch {
    return error('invalid UTF-8 in bytes, cannot convert to string')
  }
}

const textToDuration = (v: string): Value => parseDuration(v) ?? unparsed('google.protobuf.Duration')
function textToTime(v: string): Value {
  const time = parseTimestamp(v)
  if (!time) return unparsed('google.protobuf.Timestamp')
  return time.seconds < minSeconds || time.seconds > maxSeconds ? timeRange : time
}
const intToTime = (v: bigint): Value => (v < minSeconds || v > maxSeconds ? timeRange : new Timestamp(Number(v), 0))

export const conversions: readonly (readonly [string, readonly Overload[]])[] = [
  ['type', [overload('type', [A], typeOf(A), (v: Value) => new TypeValue(typeOfValue(v)))]],
  ['bool', [overload('bool_to_bool', [bool], bool, same), overload('string_to_bool', [string], bool, textToBool)]],
  [
    'bytes',
    [
      overload('bytes_to_bytes', [bytes], bytes, same),
      overload('string_to_bytes', [string], bytes, (v: string) => new Uint8Array(Buffer.from(v)), {
        cost: traverses(),
        estimate: costOf.textToBytes,
      }),
    ],
  ],
  [
    'double',
    [
      overload('double_to_double', [double], double, same),
      overload('int64_to_double', [int], double, (v: bigint) => Number(v)),
      overload('string_to_double', [string], double, textToDouble),
      overload('uint64_to_double', [uint], double, (v: Uint) => Number(v.value)),
    ],
  ],
  [
    'duration',
    [
      overload('duration_to_duration', [duration], duration, same),
      overload('int64_to_duration', [int], duration, (v: bigint) => new Duration(v)),
      overload('string_to_duration', [string], duration, textToDuration),
    ],
  ],
  [
    'int',
    [
      overload('int64_to_int64', [int], int, same),
      overload('double_to_int64', [double], int, doubleToInt),
      overload('duration_to_int64', [duration], int, (v: Duration) => v.nanos),
      overload('string_to_int64', [string], int, textToInt),
      overload('timestamp_to_int64', [timestamp], int, (v: Timestamp) => BigInt(v.seconds)),
      overload('uint64_to_int64', [uint], int, (v: Uint) => intOf(v.value)),
    ],
  ],
  [
    'string',
    [
      overload('string_to_string', [string], string, same),
      overload('bool_to_string', [bool], string, (v: boolean) => String(v)),
      overload('bytes_to_string', [bytes], string, bytesToText, { cost: traverses(), estimate: costOf.bytesToText }),
      overload('double_to_string', [double], string, formatDouble),
      overload('duration_to_string', [duration], string, formatDuration),
      overload('int64_to_string', [int], string, (v: bigint) => String(v)),
      overload('timestamp_to_string', [timestamp], string, formatTimestamp),
      overload('uint64_to_string', [uint], string, (v: Uint) => String(v.value)),
    ],
  ],
  [
    'timestamp',
    [
      overload('timestamp_to_timestamp', [timestamp], timestamp, same),
      overload('int64_to_timestamp', [int], timestamp, intToTime),
      overload('string_to_timestamp', [string], timestamp, textToTime),
    ],
  ],
  [
    'uint',
    [
      overload('uint64_to_uint64', [uint], uint, same),
      overload('double_to_uint64', [double], uint, doubleToUint),
      overload('int64_to_uint64', [int], uint, (v: bigint) => uintOf(v)),
      overload('string_to_uint64', [string], uint, textToUint),
    ],
  ],
]
