/** JSON with a schema as values: k8s.io/apiserver/pkg/cel/common/valuesunstructured.go. */
import { ofBigInt } from '#shared/machinery/int64.ts'
import { equal } from '#shared/machinery/managedfields/compare.ts'
import { ArrayList, equals, ErrorValue, ListValue, MapValue, noSuchOverload, type Value } from '../values.ts'
import { spend } from '../work.ts'
import { escapeName, unescapeName } from './names.ts'

export type Adapt = (raw: unknown) => Value
type Raw = Readonly<Record<string, unknown>>

/** An object with fields of its schema; null is as if it were not there. */
export class SchemaObject extends MapValue {
  readonly raw: Raw
  readonly #fields: ReadonlyMap<string, Adapt>
  constructor(raw: Raw, fields: ReadonlyMap<string, Adapt>) {
    super()
    this.raw = raw
    this.#fields = fields
  }
  get size(): number {
    return Object.keys(this.raw).length
  }
  get(key: Value): Value | undefined {
    if (typeof key !== 'string') return noSuchOverload
    const name = this.#fields.has(key) ? key : unescapeName(key)
    if (name === undefined) return undefined
    const adapt = this.#fields.get(name)
    if (!adapt || !Object.hasOwn(this.raw, name)) return undefined
    const raw = this.raw[name]
    return raw === undefined || raw === null ? undefined : adapt(raw)
  }
  *keys(): Iterable<Value> {
    for (const name of Object.keys(this.raw)) if (this.#fields.has(name)) yield escapeName(name) ?? name
  }
  /** What the schema does not know is compared, too. */
  override equals(other: MapValue): boolean | ErrorValue {
    if (!(other instanceof SchemaObject)) return super.equals(other)
    if (this.size !== other.size) return false
    for (const [name, raw] of Object.entries(this.raw)) {
      spend(1)
      const theirs = other.raw[name]
      const adapt = this.#fields.get(name)
      if (theirs === undefined || theirs === null || raw === null) {
        if (theirs !== raw) return false
      } else {
        const same = adapt ? equals(adapt(raw), adapt(theirs)) : equal(raw, theirs)
        if (same !== true) return same
      }
    }
    return true
  }
}

/** A map whose values are of one schema. */
export class SchemaMap extends MapValue {
  readonly raw: Raw
  readonly #adapt: Adapt
  constructor(raw: Raw, adapt: Adapt) {
    super()
    this.raw = raw
    this.#adapt = adapt
  }
  get size(): number {
    return Object.keys(this.raw).length
  }
  get(key: Value): Value | undefined {
    if (typeof key !== 'string') return noSuchOverload
    return Object.hasOwn(this.raw, key) && this.raw[key] !== undefined ? this.#adapt(this.raw[key]) : undefined
  }
  keys(): Iterable<Value> {
    return Object.keys(this.raw)
  }
}

export class SchemaList extends ListValue {
  readonly raw: readonly unknown[]
  readonly adapt: Adapt
  constructor(raw: readonly unknown[], adapt: Adapt) {
    super()
    this.raw = raw
    this.adapt = adapt
  }
  get size(): number {
    return this.raw.length
  }
  at(i: number): Value {
    return this.adapt(this.raw[i])
  }
}

/** A list that compares and adds in a way of its own. */
abstract class Keyed extends ListValue {
  protected readonly items: ListValue
  constructor(items: ListValue) {
    super()
    this.items = items
  }
  get size(): number {
    return this.items.size
  }
  at(i: number): Value {
    return this.items.at(i)
  }
}

/** Of x-kubernetes-list-type `set`: the order does not matter, `+` is a union. */
export class SetList extends Keyed {
  override equals(other: ListValue): boolean | ErrorValue {
    if (other.size !== this.size) return false
    for (const item of other) {
      const found = this.contains(item)
      if (found !== true) return found
    }
    return true
  }
  override concat(other: ListValue): Value {
    const items = [...this]
    for (const item of other) if (!items.some(mine => equals(mine, item) === true)) items.push(item)
    return new SetList(new ArrayList(items))
  }
}

/** Of x-kubernetes-list-type `map`: items are told apart by their keys, `+` puts items in the place of those with their keys. */
export class MapList extends Keyed {
  readonly #keys: readonly string[]
  #index: Map<string, number> | undefined
  constructor(items: ListValue, keys: readonly string[]) {
    super(items)
    this.#keys = keys
  }
  #keyOf(item: Value): string {
    if (!(item instanceof MapValue)) return ''
    return JSON.stringify(
      this.#keys.map(k => {
        const value = (item instanceof SchemaObject ? item.raw[k] : item.get(k)) ?? null
        return typeof value === 'bigint' ? ofBigInt(value) : value
      }),
    )
  }
  get #places(): Map<string, number> {
    return (this.#index ??= new Map([...this].map((item, i) => [this.#keyOf(item), i])))
  }
  override equals(other: ListValue): boolean | ErrorValue {
    if (other.size !== this.size) return false
    for (const item of other) {
      const i = this.#places.get(this.#keyOf(item))
      if (i === undefined) return false
      const same = equals(this.at(i), item)
      if (same !== true) return same
    }
    return true
  }
  override concat(other: ListValue): Value {
    const items = [...this]
    const places = new Map(this.#places)
    for (const item of other) {
      const key = this.#keyOf(item)
      const i = places.get(key) ?? items.length
      places.set(key, i)
      items[i] = item
    }
    return new MapList(new ArrayList(items), this.#keys)
  }
}
