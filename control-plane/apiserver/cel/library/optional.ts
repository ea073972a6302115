/** Values that may not be there, `optional.of(x)`, and what macros of two variables need: github.com/google/cel-go/cel, ext. */
import { minSeconds } from '../gotime.ts'
import { member, overload, type Library, type Overload } from '../functions.ts'
import { bool, dyn, int, list, map, optional, param, string } from '../types.ts'
import { ArrayList, Duration, ErrorValue, HashMap, ListValue, MapValue, none, Optional, Timestamp, Uint, type Value } from '../values.ts'

const K = param('K')
const V = param('V')
const optionalV = optional(V)
const listV = list(V)
const mapKV = map(K, V)

function isZero(v: Value): boolean {
  if (v === null || v === false || v === 0 || v === 0n || v === '') return true
  if (v instanceof ListValue || v instanceof MapValue) return v.size === 0
  if (v instanceof Uint) return v.value === 0n
  if (v instanceof Uint8Array) return v.length === 0
  if (v instanceof Duration) return v.nanos === 0n
  if (v instanceof Timestamp) return v.seconds === minSeconds && v.nanos === 0
  return v instanceof Optional && (v.value === undefined || isZero(v.value))
}

function unwrap(l: ListValue): Value {
  const values: Value[] = []
  for (const v of l) {
    if (!(v instanceof Optional)) return new ErrorValue('value is not optional')
    if (v.value !== undefined) values.push(v.value)
  }
  return new ArrayList(values)
}

const end = (l: ListValue, i: number): Value => (l.size === 0 ? none : new Optional(l.at(i)))

function insert(into: MapValue, key: Value, value: Value): Value {
  const map = into instanceof HashMap ? into : new HashMap()
  return map.insert(key, value) ?? map
}
function insertAll(into: MapValue, from: MapValue): Value {
  for (const key of from.keys()) {
    const result = insert(into, key, from.get(key)!)
    if (result instanceof ErrorValue) return result
  }
  return into
}

export const optionals: Library = {
  functions: new Map<string, readonly Overload[]>([
    ['optional.of', [overload('optional_of', [V], optionalV, (v: Value) => new Optional(v))]],
    ['optional.ofNonZeroValue', [overload('optional_ofNonZeroValue', [V], optionalV, (v: Value) => (isZero(v) ? none : new Optional(v)))]],
    ['optional.none', [overload('optional_none', [], optionalV, () => none)]],
    ['value', [member('optional_value', [optionalV], V, (o: Optional) => o.value ?? (o.value === null ? null : noValue))]],
    ['hasValue', [member('optional_hasValue', [optionalV], bool, (o: Optional) => o.value !== undefined)]],
    ['or', [member('optional_or_optional', [optionalV, optionalV], optionalV)]],
    ['orValue', [member('optional_orValue_value', [optionalV, V], V)]],
    ['_?._', [overload('select_optional_field', [dyn, string], optionalV)]],
    [
      '_[?_]',
      [
        overload('list_optindex_optional_int', [listV, int], optionalV),
        overload('optional_list_optindex_optional_int', [optional(listV), int], optionalV),
        overload('map_optindex_optional_value', [mapKV, K], optionalV),
        overload('optional_map_optindex_optional_value', [optional(mapKV), K], optionalV),
      ],
    ],
    [
      '_[_]',
      [
        overload('optional_list_index_int', [optional(listV), int], optionalV),
        overload('optional_map_index_value', [optional(mapKV), K], optionalV),
      ],
    ],
    ['first', [member('list_first', [listV], optionalV, (l: ListValue) => end(l, 0))]],
    ['last', [member('list_last', [listV], optionalV, (l: ListValue) => end(l, l.size - 1))]],
    ['optional.unwrap', [overload('optional_unwrap', [list(optionalV)], listV, unwrap)]],
    ['unwrapOpt', [member('optional_unwrapOpt', [list(optionalV)], listV, unwrap)]],
    [
      'cel.@mapInsert',
      [
        overload('@mapInsert_map_map', [mapKV, mapKV], mapKV, insertAll),
        overload('@mapInsert_map_key_value', [mapKV, K, V], mapKV, insert),
      ],
    ],
  ]),
  types: [optional(V)],
}
const noValue = new ErrorValue('optional.none() dereference')
