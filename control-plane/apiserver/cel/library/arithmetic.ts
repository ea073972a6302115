/** Arithmetic, which does not wrap around: what does not fit into 64 bits is an error. */
import { costOf } from '../estimate.ts'
import { maxInt, maxSeconds, minInt, minSeconds } from '../gotime.ts'
import { overload, traversal, type Overload } from '../functions.ts'
import { bytes, double, duration, int, list, param, string, timestamp, uint } from '../types.ts'
import { Duration, ErrorValue, GrowingList, ListValue, sizeOf, Timestamp, Uint, type Value } from '../values.ts'

const maxUint = 2n ** 64n - 1n
const overflow = (what: string): ErrorValue => new ErrorValue(`${what} overflow`)

const intOf = (v: bigint): Value => (v > maxInt || v < minInt ? overflow('integer') : v)
const uintOf = (v: bigint): Value => (v > maxUint || v < 0n ? overflow('unsigned integer') : new Uint(v))
const durationOf = (v: bigint): Value => (v > maxInt || v < minInt ? overflow('duration') : new Duration(v))

const second = 1_000_000_000n

function timeOf(nanos: bigint, { offset }: Timestamp): Value {
  let seconds = nanos / second
  let rest = nanos % second
  if (rest < 0n) [seconds, rest] = [seconds - 1n, rest + second]
  return seconds < minSeconds || seconds > maxSeconds ? overflow('timestamp') : new Timestamp(Number(seconds), Number(rest), offset)
}
const nanosOf = (t: Timestamp): bigint => BigInt(t.seconds) * second + BigInt(t.nanos)

const zeroDivisor = new ErrorValue('division by zero')
const zeroModulus = new ErrorValue('modulus by zero')

const concatenation = {
  cost: (args: readonly Value[]): number => traversal(sizeOf(args[0]!) + sizeOf(args[1]!)),
  estimate: costOf.concatenation,
}
const listOfA = list(param('A'))

export const arithmetic: readonly (readonly [string, readonly Overload[]])[] = [
  [
    '_+_',
    [
      overload('add_bytes', [bytes, bytes], bytes, (a: Uint8Array, b: Uint8Array) => new Uint8Array(Buffer.concat([a, b])), concatenation),
      overload('add_double', [double, double], double, (a: number, b: number) => a + b),
      overload('add_duration_duration', [duration, duration], duration, (a: Duration, b: Duration) => durationOf(a.nanos + b.nanos)),
      overload('add_duration_timestamp', [duration, timestamp], timestamp, (a: Duration, b: Timestamp) => timeOf(nanosOf(b) + a.nanos, b)),
      overload('add_timestamp_duration', [timestamp, duration], timestamp, (a: Timestamp, b: Duration) => timeOf(nanosOf(a) + b.nanos, a)),
      overload('add_int64', [int, int], int, (a: bigint, b: bigint) => intOf(a + b)),
      overload('add_list', [listOfA, listOfA], listOfA, addLists, { estimate: costOf.concatenation }),
      overload('add_string', [string, string], string, (a: string, b: string) => a + b, concatenation),
      overload('add_uint64', [uint, uint], uint, (a: Uint, b: Uint) => uintOf(a.value + b.value)),
    ],
  ],
  [
    '_-_',
    [
      overload('subtract_double', [double, double], double, (a: number, b: number) => a - b),
      overload('subtract_duration_duration', [duration, duration], duration, (a: Duration, b: Duration) => durationOf(a.nanos - b.nanos)),
      overload('subtract_int64', [int, int], int, (a: bigint, b: bigint) => intOf(a - b)),
      overload('subtract_timestamp_duration', [timestamp, duration], timestamp, (a: Timestamp, b: Duration) =>
        timeOf(nanosOf(a) - b.nanos, a),
      ),
      overload('subtract_timestamp_timestamp', [timestamp, timestamp], duration, (a: Timestamp, b: Timestamp) =>
        durationOf(nanosOf(a) - nanosOf(b)),
      ),
      overload('subtract_uint64', [uint, uint], uint, (a: Uint, b: Uint) => uintOf(a.value - b.value)),
    ],
  ],
  [
    '_*_',
    [
      overload('multiply_double', [double, double], double, (a: number, b: number) => a * b),
      overload('multiply_int64', [int, int], int, (a: bigint, b: bigint) => intOf(a * b)),
      overload('multiply_uint64', [uint, uint], uint, (a: Uint, b: Uint) => uintOf(a.value * b.value)),
    ],
  ],
  [
    '_/_',
    [
      overload('divide_double', [double, double], double, (a: number, b: number) => a / b),
      overload('divide_int64', [int, int], int, (a: bigint, b: bigint) => (b === 0n ? zeroDivisor : intOf(a / b))),
      overload('divide_uint64', [uint, uint], uint, (a: Uint, b: Uint) => (b.value === 0n ? zeroDivisor : uintOf(a.value / b.value))),
    ],
  ],
  [
    '_%_',
    [
      overload('modulo_int64', [int, int], int, (a: bigint, b: bigint) =>
        b === 0n ? zeroModulus : a === minInt && b === -1n ? overflow('integer') : a % b,
      ),
      overload('modulo_uint64', [uint, uint], uint, (a: Uint, b: Uint) => (b.value === 0n ? zeroModulus : new Uint(a.value % b.value))),
    ],
  ],
  ['-_', [overload('negate_int64', [int], int, (a: bigint) => intOf(-a)), overload('negate_double', [double], double, (a: number) => -a)]],
]

/** A macro's list grows in place: nothing else has it. */
function addLists(a: ListValue, b: ListValue): Value {
  if (!(a instanceof GrowingList)) return a.concat(b)
  for (const item of b) a.items.push(item)
  return a
}
