/** What a selection or an index finds in a value, optional ones too, as github.com/google/cel-go/interpreter/attributes.go. */
import { ErrorValue, keyText, ListValue, MapValue, none, noSuchOverload, Optional, Uint, type Value } from './values.ts'

export function valueAt(map: MapValue, key: Value): Value {
  const value = map.get(key)
  return value === undefined ? new ErrorValue(`no such key: ${keyText(key)}`) : value
}

export function select(value: Value, field: string): Value {
  if (value instanceof ErrorValue) return value
  if (!(value instanceof Optional)) return noSuchOverload
  return value.value === null ? new ErrorValue(`no such key: ${field}`) : lookUp(value, field)
}

export function present(value: Value, field: string): Value {
  if (value instanceof ErrorValue) return value
  if (value instanceof Optional) return value.value !== undefined && present(value.value, field)
  return value instanceof MapValue ? value.has(field) : false
}

/** As `a.?b` and `a[?b]` find it: an optional value. */
export function lookUp(container: Value, key: Value): Value {
  if (container instanceof ErrorValue) return container
  if (container instanceof Optional) return container.value === undefined ? none : lookUp(container.value, key)
  if (container instanceof MapValue) {
    const value = container.get(key)
    return value === undefined ? none : value instanceof ErrorValue ? value : new Optional(value)
  }
  if (container instanceof ListValue) {
    const i = indexOf(key)
    return i === undefined ? noSuchOverload : i >= 0 && i < container.size ? new Optional(container.at(i)) : none
  }
  return container === null ? none : noSuchOverload
}

function indexOf(key: Value): number | undefined {
  if (typeof key === 'bigint') return Number(key)
  if (key instanceof Uint) return Number(key.value)
  return typeof key === 'number' && Number.isInteger(key) ? key : undefined
}

export function element(list: ListValue, key: Value): Value {
  const i = indexOf(key)
  if (i === undefined) return new ErrorValue(`unsupported index type '${typeof key === 'string' ? 'string' : typeof key}' in list`)
  return i >= 0 && i < list.size ? list.at(i) : new ErrorValue(`index out of bounds: ${i}`)
}
