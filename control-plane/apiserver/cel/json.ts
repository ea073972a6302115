/** JSON as values without a schema, and values as JSON. */
import { formatDuration, formatTimestamp } from './gotime.ts'
import { Duration, ErrorValue, keyText, ListValue, MapValue, Optional, Timestamp, Uint, type Value } from './values.ts'
import { spend } from './work.ts'
import { ofBigInt } from '#shared/machinery/int64.ts'

/** What JSON says, looked into when an expression does. Whole numbers are int where they are exact, others double. */
export function fromJson(raw: unknown): Value {
  switch (typeof raw) {
    case 'string':
    case 'boolean':
      return raw
    case 'number':
      return Number.isSafeInteger(raw) ? BigInt(raw) : raw
    case 'bigint':
      return raw
    default:
  }
  if (raw === null || raw === undefined) return null
  return Array.isArray(raw) ? new JsonList(raw) : new JsonMap(raw as Record<string, unknown>)
}

export class JsonList extends ListValue {
  readonly #raw: readonly unknown[]
  constructor(raw: readonly unknown[]) {
    super()
    this.#raw = raw
  }
  get size(): number {
    return this.#raw.length
  }
  at(i: number): Value {
    return fromJson(this.#raw[i])
  }
}

export class JsonMap extends MapValue {
  readonly #raw: Readonly<Record<string, unknown>>
  constructor(raw: Readonly<Record<string, unknown>>) {
    super()
    this.#raw = raw
  }
  get size(): number {
    let count = 0
    for (const name in this.#raw) if (this.#raw[name] !== undefined) count++
    return count
  }
  get(key: Value): Value | undefined {
    if (typeof key !== 'string' || !Object.hasOwn(this.#raw, key)) return undefined
    const value = this.#raw[key]
    return value === undefined ? undefined : fromJson(value)
  }
  *keys(): Iterable<Value> {
    for (const name of Object.keys(this.#raw)) if (this.#raw[name] !== undefined) yield name
  }
}

/** An error for what JSON has no form for: types, numbers that are none. */
export function toJson(v: Value, depth = 0): unknown {
  spend(1)
  if (depth > 1000) return new ErrorValue('nested too deeply')
  switch (typeof v) {
    case 'string':
    case 'boolean':
      return v
    case 'bigint':
      return ofBigInt(v)
    case 'number':
      return Number.isFinite(v) ? v : new ErrorValue(`unsupported number: ${v}`)
    default:
  }
  if (v === null) return null
  if (v instanceof Uint) return Number(v.value)
  if (v instanceof Uint8Array) return Buffer.from(v).toString('base64')
  if (v instanceof Timestamp) return formatTimestamp(v)
  if (v instanceof Duration) return formatDuration(v)
  if (v instanceof Optional) return v.value === undefined ? null : toJson(v.value, depth + 1)
  if (v instanceof ListValue) {
    const items: unknown[] = []
    for (const item of v) {
      const json = toJson(item, depth + 1)
      if (json instanceof ErrorValue) return json
      items.push(json)
    }
    return items
  }
  if (v instanceof MapValue) {
    const object: Record<string, unknown> = {}
    for (const key of v.keys()) {
      const json = toJson(v.get(key)!, depth + 1)
      if (json instanceof ErrorValue) return json
      Object.defineProperty(object, keyText(key), { value: json, enumerable: true, writable: true, configurable: true })
    }
    return object
  }
  return v instanceof ErrorValue ? v : new ErrorValue('unsupported conversion to JSON')
}
