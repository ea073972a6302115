/** Lists and sets: k8s.io/apiserver/pkg/cel/library/lists.go, github.com/google/cel-go/ext lists (version 3) and sets. */
import { sizeOrUnknown } from '../estimate.ts'
import { member, overload, type Library, type Overload } from '../functions.ts'
import { exactly, plus, scaled, times } from '../range.ts'
import { bool, bytes, double, duration, dyn, int, list, param, string, timestamp, uint, type Type } from '../types.ts'
import { ArrayList, compare, Duration, equals, ErrorValue, isError, ListValue, sizeOf, typeOfValue, Uint, type Value } from '../values.ts'
import { spend } from '../work.ts'
import { arithmetic } from './arithmetic.ts'
import { literalInt, lists as makes, searches } from './costs.ts'

const T = param('T')
const listT = list(T)

const comparable: readonly (readonly [string, Type])[] = [
  ['int', int],
  ['uint', uint],
  ['double', double],
  ['bool', bool],
  ['duration', duration],
  ['timestamp', timestamp],
  ['string', string],
  ['bytes', bytes],
]
const zeros: readonly (readonly [string, Type, Value])[] = [
  ['int', int, 0n],
  ['uint', uint, new Uint(0n)],
  ['double', double, 0],
  ['duration', duration, new Duration(0n)],
]

function isSorted(l: ListValue): Value {
  for (let i = 1; i < l.size; i++) {
    const order = compare(l.at(i - 1), l.at(i))
    if (order instanceof ErrorValue) return order
    if (order > 0) return false
  }
  return true
}

const additions = arithmetic.find(([name]) => name === '_+_')![1]
function sum(l: ListValue, type: Type, start: Value): Value {
  const add = additions.find(o => o.result === type && o.args[0] === type && o.args[1] === type)!.call!
  let total = start
  for (const item of l) {
    if (item instanceof ErrorValue) return item
    total = add(total, item)
    if (total instanceof ErrorValue) return total
  }
  return total
}

const extreme =
  (name: string, sign: number) =>
  (l: ListValue): Value => {
    let best: Value | undefined
    for (const item of l) {
      if (best === undefined) {
        best = item
        continue
      }
      const order = compare(best, item)
      if (order instanceof ErrorValue) return order
      if (order * sign < 0) best = item
    }
    return best === undefined ? new ErrorValue(`${name} called on empty list`) : best
  }

function indexOf(l: ListValue, v: Value): Value {
  for (let i = 0; i < l.size; i++) if (equals(l.at(i), v) === true) return BigInt(i)
  return -1n
}
function lastIndexOf(l: ListValue, v: Value): Value {
  for (let i = l.size - 1; i >= 0; i--) if (equals(l.at(i), v) === true) return BigInt(i)
  return -1n
}

function slice(l: ListValue, from: bigint, to: bigint): Value {
  const cannot = (why: string): Value => new ErrorValue(`cannot slice(${from}, ${to}), ${why}`)
  if (from < 0n || to < 0n) return cannot('negative indexes not supported')
  if (from > to) return cannot('start index must be less than or equal to end index')
  if (to > l.size) return cannot(`list is length ${l.size}`)
  const items: Value[] = []
  for (let i = Number(from); i < Number(to); i++) items.push(l.at(i))
  return new ArrayList(items)
}

function flattenInto(items: Value[], l: ListValue, depth: bigint): void {
  for (const item of l) {
    spend(1)
    if (item instanceof ListValue && depth > 0n) flattenInto(items, item, depth - 1n)
    else items.push(item)
  }
}
function flatten(l: ListValue, depth = 1n): Value {
  if (depth < 0n) return new ErrorValue('level must be non-negative')
  const items: Value[] = []
  flattenInto(items, l, depth)
  return new ArrayList(items)
}

/** More could not be used within the cost of one evaluation. */
const maxRange = 1_000_000n
function range(n: bigint): Value {
  if (n > maxRange) spend(Infinity)
  return new ArrayList(Array.from({ length: Math.max(0, Number(n)) }, (_, i) => BigInt(i)))
}

function distinct(l: ListValue): Value {
  const items: Value[] = []
  for (const item of l) if (!items.some(other => equals(item, other) === true)) items.push(item)
  return new ArrayList(items)
}

function sortBy(l: ListValue, keys: ListValue): Value {
  if (l.size !== keys.size)
    return new ErrorValue(
      `@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got ${l.size} and ${keys.size} elements respectively`,
    )
  if (l.size === 0) return l
  const pairs = Array.from({ length: l.size }, (_, i) => ({ item: l.at(i), key: keys.at(i) }))
  const kind = typeOfValue(pairs[0]!.key).kind
  if (!comparable.some(([, type]) => type.kind === kind)) return new ErrorValue('list elements must be comparable')
  if (pairs.some(p => typeOfValue(p.key).kind !== kind)) return new ErrorValue('list elements must have the same type')
  let wrong: ErrorValue | undefined
  pairs.sort((a, b) => {
    spend(1)
    const order = compare(a.key, b.key)
    if (typeof order === 'number') return order
    wrong = order
    return 0
  })
  return wrong ?? new ArrayList(pairs.map(p => p.item))
}

function containsAll(l: ListValue, parts: ListValue): Value {
  for (const part of parts) {
    const found = l.contains(part)
    if (found !== true) return found
  }
  return true
}
function intersects(a: ListValue, b: ListValue): Value {
  for (const item of a) if (b.contains(item) === true) return true
  return false
}
function equivalent(a: ListValue, b: ListValue): Value {
  const contained = containsAll(a, b)
  return contained === true ? containsAll(b, a) : contained
}

const setCosts = (factor: number): Pick<Overload, 'cost' | 'estimate'> => ({
  cost: args => 1 + sizeOf(args[0]!) * sizeOf(args[1]!) * factor,
  estimate: ([a, b]) => ({ cost: plus(exactly(1), scaled(times(sizeOrUnknown(a), sizeOrUnknown(b)), factor)) }),
})

/** Comparing every element with every other. */
function pairwise(index: number, type: Type | undefined): Pick<Overload, 'cost' | 'estimate'> {
  const texts = type === string || type === bytes
  const { estimate } = makes(
    () => 0,
    args => times(sizeOrUnknown(args[index]), sizeOrUnknown(args[index])),
    texts ? 2.1 : 2,
  )
  const cost = (args: readonly Value[]): number => {
    const l = args[index] as ListValue
    const first = l.size > 0 ? l.at(0) : null
    const factor = typeof first === 'string' || first instanceof Uint8Array ? 2.1 : 2
    return Math.floor(l.size * l.size * factor) + 11
  }
  return { cost, estimate: estimate! }
}

const resultSize = (_: readonly Value[], result: Value): number => (isError(result) ? 0 : sizeOf(result))
const flattening = makes(
  args => sizeOf(args[0]!) * (args.length === 2 ? Number(args[1]) : 1),
  ([l]) => sizeOrUnknown(l),
)

export const lists: Library = {
  functions: new Map<string, readonly Overload[]>([
    ['isSorted', comparable.map(([name, type]) => member(`list_${name}_is_sorted_bool`, [list(type)], bool, isSorted, searches))],
    [
      'sum',
      zeros.map(([name, type, zero]) =>
        member(`list_${name}_sum_${name}`, [list(type)], type, (l: ListValue) => sum(l, type, zero), searches),
      ),
    ],
    ['max', comparable.map(([name, type]) => member(`list_${name}_max_${name}`, [list(type)], type, extreme('max', 1), searches))],
    ['min', comparable.map(([name, type]) => member(`list_${name}_min_${name}`, [list(type)], type, extreme('min', -1), searches))],
    ['indexOf', [member('list_a_index_of_int', [listT, T], int, indexOf, searches)]],
    ['lastIndexOf', [member('list_a_last_index_of_int', [listT, T], int, lastIndexOf, searches)]],
    [
      'slice',
      [
        member(
          'list_slice',
          [listT, int, int],
          listT,
          slice,
          makes(resultSize, ([l, from, to]) => exactly(Math.max(0, literalInt(to, sizeOrUnknown(l).max) - literalInt(from, 0)))),
        ),
      ],
    ],
    [
      'flatten',
      [
        member('list_flatten', [list(listT)], listT, flatten, flattening),
        member('list_flatten_int', [list(dyn), int], list(dyn), flatten, flattening),
      ],
    ],
    [
      'sort',
      comparable.map(([, type]) =>
        member(`list_${type.name}_sort`, [list(type)], list(type), (l: ListValue) => sortBy(l, l), pairwise(0, type)),
      ),
    ],
    [
      '@sortByAssociatedKeys',
      comparable.map(([, type]) => member(`list_${type.name}_sortByAssociatedKeys`, [listT, list(type)], listT, sortBy, pairwise(1, type))),
    ],
    [
      'lists.range',
      [
        overload(
          'lists_range',
          [int],
          list(int),
          range,
          makes(resultSize, ([n]) => exactly(literalInt(n, 2 ** 64))),
        ),
      ],
    ],
    [
      'reverse',
      [
        member(
          'list_reverse',
          [listT],
          listT,
          (l: ListValue) => new ArrayList([...l].reverse()),
          makes(resultSize, ([l]) => sizeOrUnknown(l)),
        ),
      ],
    ],
    ['distinct', [member('list_distinct', [listT], listT, distinct, pairwise(0, undefined))]],
    ['sets.contains', [overload('list_sets_contains_list', [listT, listT], bool, containsAll, setCosts(1))]],
    ['sets.equivalent', [overload('list_sets_equivalent_list', [listT, listT], bool, equivalent, setCosts(2))]],
    ['sets.intersects', [overload('list_sets_intersects_list', [listT, listT], bool, intersects, setCosts(1))]],
  ]),
}
