/**
 * Values as expressions see them. JavaScript's own where they fit: null, booleans, strings, bigint for int, number for double,
 * Uint8Array for bytes. Errors are values too, as `&&`, `||` and the macros made of them pass over errors.
 */
import { spend } from './work.ts'
import {
  bool,
  bytes,
  double,
  duration,
  dyn,
  int,
  list,
  map,
  nullType,
  optional,
  string,
  timestamp,
  typeOf,
  uint,
  type Type,
} from './types.ts'

export type Value =
  | null
  | boolean
  | bigint
  | number
  | string
  | Uint8Array
  | Uint
  | Timestamp
  | Duration
  | ListValue
  | MapValue
  | Optional
  | TypeValue
  | Opaque
  | ErrorValue

/** What went wrong while an expression was evaluated, in cel-go's words. */
export class ErrorValue {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}
export const noSuchOverload = new ErrorValue('no such overload')
export const isError = (v: Value): v is ErrorValue => v instanceof ErrorValue

export class Uint {
  readonly value: bigint
  constructor(value: bigint) {
    this.value = value
  }
}

/** Seconds since 1970 and nanoseconds from 0 to 999,999,999. */
export class Timestamp {
  readonly seconds: number
  readonly nanos: number
  /** Minutes east of UTC, in which it is written. */
  readonly offset: number
  constructor(seconds: number, nanos: number, offset = 0) {
    this.seconds = seconds
    this.nanos = nanos
    this.offset = offset
  }
}
export class Duration {
  readonly nanos: bigint
  constructor(nanos: bigint) {
    this.nanos = nanos
  }
}

export abstract class ListValue {
  abstract readonly size: number
  /** `i` is from 0 to size - 1. */
  abstract at(i: number): Value
  /** This list with another behind it. */
  concat(other: ListValue): Value {
    if (this.size === 0) return other
    return other.size === 0 ? this : new Concatenated(this, other)
  }
  equals(other: ListValue): boolean | ErrorValue {
    const { size } = this
    if (other.size !== size) return false
    for (let i = 0; i < size; i++) {
      const same = equals(this.at(i), other.at(i))
      if (same !== true) return same
    }
    return true
  }
  /** Whether an element equals `value`; an error when none does and one could not be compared. */
  contains(value: Value): boolean | ErrorValue {
    let error: ErrorValue | undefined
    for (let i = 0, { size } = this; i < size; i++) {
      const same = equals(this.at(i), value)
      if (same === true) return true
      if (same !== false) error ??= same
    }
    return error ?? false
  }
  *[Symbol.iterator](): IterableIterator<Value> {
    for (let i = 0, { size } = this; i < size; i++) yield this.at(i)
  }
}

export class ArrayList extends ListValue {
  readonly items: readonly Value[]
  constructor(items: readonly Value[]) {
    super()
    this.items = items
  }
  get size(): number {
    return this.items.length
  }
  at(i: number): Value {
    return this.items[i]!
  }
}
export const emptyList = new ArrayList([])

/** Two lists as one: concatenation costs nothing, as upstream's cost of it says. */
class Concatenated extends ListValue {
  readonly #left: ListValue
  readonly #right: ListValue
  readonly size: number
  readonly #split: number
  readonly #depth: number
  constructor(left: ListValue, right: ListValue) {
    super()
    const depth = 1 + Math.max(left instanceof Concatenated ? left.#depth : 0, right instanceof Concatenated ? right.#depth : 0)
    this.#split = left.size
    this.size = left.size + right.size
    if (!Number.isSafeInteger(this.size)) spend(Infinity)
    // Very long chains become flat now and then, so that looking into them does not recurse deeply.
    const flat = depth > 100
    this.#depth = flat ? 1 : depth
    if (flat) spend(this.size)
    this.#left = flat ? new ArrayList([...left]) : left
    this.#right = right instanceof Concatenated && flat ? new ArrayList([...right]) : right
  }
  at(i: number): Value {
    return i < this.#split ? this.#left.at(i) : this.#right.at(i - this.#split)
  }
}

/** The list that a macro fills. */
export class GrowingList extends ArrayList {
  declare readonly items: Value[]
  constructor() {
    super([])
  }
}

export abstract class MapValue {
  abstract readonly size: number
  /** Undefined where there is no such key; an error when `key` cannot be a key of this map or its value is not what it should be. */
  abstract get(key: Value): Value | undefined
  abstract keys(): Iterable<Value>
  has(key: Value): boolean | ErrorValue {
    const value = this.get(key)
    return value instanceof ErrorValue ? value : value !== undefined
  }
  equals(other: MapValue): boolean | ErrorValue {
    if (other.size !== this.size) return false
    for (const key of this.keys()) {
      const theirs = other.get(key)
      if (theirs === undefined) return false
      const same = equals(this.get(key)!, theirs)
      if (same !== true) return same
    }
    return true
  }
}

type Key = string | boolean | bigint

/** Numbers that are equal are one key; undefined for what cannot be one. */
function keyOf(key: Value): Key | undefined {
  switch (typeof key) {
    case 'string':
    case 'boolean':
    case 'bigint':
      return key
    case 'number':
      return Number.isInteger(key) ? BigInt(key) : undefined
    default:
      return key instanceof Uint ? key.value : undefined
  }
}

export class HashMap extends MapValue {
  readonly #entries: Map<Key, { readonly key: Value; readonly value: Value }>
  constructor(entries: Map<Key, { readonly key: Value; readonly value: Value }> = new Map()) {
    super()
    this.#entries = entries
  }
  /** Undefined when all is well. */
  insert(key: Value, value: Value): ErrorValue | undefined {
    const k = typeof key === 'number' ? undefined : keyOf(key)
    if (k === undefined) return new ErrorValue('unsupported key type')
    if (this.#entries.has(k)) return new ErrorValue(`insert failed: key ${keyText(key)} already exists`)
    this.#entries.set(k, { key, value })
    return undefined
  }
  get size(): number {
    return this.#entries.size
  }
  get(key: Value): Value | undefined {
    const k = keyOf(key)
    return k === undefined ? undefined : this.#entries.get(k)?.value
  }
  *keys(): Iterable<Value> {
    for (const { key } of this.#entries.values()) yield key
  }
  copy(): HashMap {
    return new HashMap(new Map(this.#entries))
  }
}
/** The map that a macro fills. */
export class GrowingMap extends HashMap {}

/** As messages show a key. */
export const keyText = (key: Value): string => (key instanceof Uint ? String(key.value) : String(key))

export class Optional {
  readonly value: Value | undefined
  constructor(value: Value | undefined) {
    this.value = value
  }
}
export const none = new Optional(undefined)

/** What `type(x)` gives. */
export class TypeValue {
  readonly type: Type
  constructor(type: Type) {
    this.type = type
  }
}

/** A value of a library: an IP address, a quantity. */
export abstract class Opaque {
  abstract readonly type: Type
  /** What cost is counted by. */
  readonly size: number = 1
  abstract equals(other: Opaque): boolean | ErrorValue
}

/** The type of a value; lists and maps are not looked into. */
export function typeOfValue(v: Value): Type {
  switch (typeof v) {
    case 'string':
      return string
    case 'boolean':
      return bool
    case 'bigint':
      return int
    case 'number':
      return double
    default:
  }
  if (v === null) return nullType
  if (v instanceof MapValue) return map(dyn, dyn)
  if (v instanceof ListValue) return list(dyn)
  if (v instanceof Uint) return uint
  if (v instanceof Uint8Array) return bytes
  if (v instanceof Timestamp) return timestamp
  if (v instanceof Duration) return duration
  if (v instanceof Optional) return optional(dyn)
  if (v instanceof TypeValue) return typeOf(dyn)
  return v instanceof Opaque ? v.type : dyn
}

/** The number behind a value of one of the three kinds of numbers. */
const numeric = (v: Value): bigint | number | undefined =>
  typeof v === 'bigint' || typeof v === 'number' ? v : v instanceof Uint ? v.value : undefined

/** Numbers of different kinds may be equal; other values of different kinds are not. */
export function equals(a: Value, b: Value): boolean | ErrorValue {
  spend(1)
  if (typeof a === 'string' || typeof a === 'boolean' || a === null) return a === b
  if (a instanceof ErrorValue) return a
  if (b instanceof ErrorValue) return b
  const x = numeric(a)
  if (x !== undefined) {
    const y = numeric(b)
    return y !== undefined && (typeof x === typeof y ? x === y : Number(x) === Number(y))
  }
  if (a instanceof MapValue) return b instanceof MapValue && a.equals(b)
  if (a instanceof ListValue) return b instanceof ListValue && a.equals(b)
  if (a instanceof Timestamp) return b instanceof Timestamp && a.seconds === b.seconds && a.nanos === b.nanos
  if (a instanceof Duration) return b instanceof Duration && a.nanos === b.nanos
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0
  if (a instanceof Optional) {
    if (!(b instanceof Optional)) return false
    if (a.value === undefined || b.value === undefined) return a.value === b.value
    return equals(a.value, b.value)
  }
  if (a instanceof TypeValue) return b instanceof TypeValue && a.type.name === b.type.name
  if (a instanceof Opaque) return b instanceof Opaque && a.type.name === b.type.name && a.equals(b)
  return noSuchOverload
}

/** Less than zero, zero or more; undefined when the two cannot be ordered. */
export function compare(a: Value, b: Value): number | ErrorValue {
  const x = numeric(a)
  if (x !== undefined) {
    const y = numeric(b)
    if (y === undefined) return noSuchOverload
    if (Number.isNaN(x) || Number.isNaN(y)) return new ErrorValue('NaN values cannot be ordered')
    if (typeof x === typeof y) return x < y ? -1 : x > y ? 1 : 0
    // As upstream, with what is lost when a whole number becomes a double.
    return Number(x) - Number(y) || 0
  }
  if (typeof a === 'string') return typeof b === 'string' ? compareText(a, b) : noSuchOverload
  if (typeof a === 'boolean') return typeof b === 'boolean' ? Number(a) - Number(b) : noSuchOverload
  if (a instanceof Timestamp) return b instanceof Timestamp ? a.seconds - b.seconds || a.nanos - b.nanos : noSuchOverload
  if (a instanceof Duration) return b instanceof Duration ? (a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0) : noSuchOverload
  if (a instanceof Uint8Array) return b instanceof Uint8Array ? Buffer.compare(a, b) : noSuchOverload
  return noSuchOverload
}

const surrogate = /[\ud800-\udfff]/

/** By code points, as UTF-8 orders; JavaScript compares code units. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0
  if (!surrogate.test(a) && !surrogate.test(b)) return a < b ? -1 : 1
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** How many code points a string has. */
export function textSize(text: string): number {
  if (!surrogate.test(text)) return text.length
  let count = 0
  for (const _ of text) count++
  return count
}

/** What cost is counted by: the size of what has one, 1 for all else. */
export function sizeOf(v: Value): number {
  if (typeof v === 'string') return textSize(v)
  if (v instanceof ListValue || v instanceof MapValue) return v.size
  if (v instanceof Uint8Array) return v.length
  if (v instanceof Opaque) return v.size
  if (v instanceof Optional && v.value !== undefined) return sizeOf(v.value)
  return 1
}
