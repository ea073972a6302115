/** The language's own functions: https://github.com/google/cel-spec/blob/master/doc/langdef.md#list-of-standard-definitions. */
import { matchCost, matchEstimate, costOf } from '../estimate.ts'
import { member, overload, traverses, traversal, type Library, type Overload } from '../functions.ts'
import { bool, bytes, double, duration, dyn, int, list, map, param, string, timestamp, uint, type Type } from '../types.ts'
import { compare, equals, ErrorValue, ListValue, MapValue, Opaque, sizeOf, type Value } from '../values.ts'
import { arithmetic } from './arithmetic.ts'
import { conversions } from './conversions.ts'
import { matcherOf } from './pattern.ts'
import { times } from './times.ts'

const A = param('A')
const B = param('B')
const listOfA = list(A)
const mapOfAB = map(A, B)

/** The planner evaluates these; it does not call them. */
const operators: Library['functions'] = new Map([
  ['_?_:_', [overload('conditional', [bool, A, A], A)]],
  ['_&&_', [overload('logical_and', [bool, bool], bool)]],
  ['_||_', [overload('logical_or', [bool, bool], bool)]],
  ['@not_strictly_false', [overload('not_strictly_false', [bool], bool)]],
  ['_[_]', [overload('index_list', [listOfA, int], A), overload('index_map', [mapOfAB, A], B)]],
])

const smaller = (args: readonly Value[]): number => traversal(Math.min(sizeOf(args[0]!), sizeOf(args[1]!)))
const bothCompared = { cost: smaller, estimate: costOf.comparison }

/** The kinds whose values have an order, as overload ids name them. */
const ordered: readonly (readonly [string, Type, Type])[] = [
  ['bool', bool, bool],
  ['int64', int, int],
  ['int64_double', int, double],
  ['int64_uint64', int, uint],
  ['uint64', uint, uint],
  ['uint64_double', uint, double],
  ['uint64_int64', uint, int],
  ['double', double, double],
  ['double_int64', double, int],
  ['double_uint64', double, uint],
  ['string', string, string],
  ['bytes', bytes, bytes],
  ['timestamp', timestamp, timestamp],
  ['duration', duration, duration],
]

function relation(id: string, holds: (order: number) => boolean): Overload[] {
  const call = (a: Value, b: Value): Value => {
    const order = compare(a, b)
    return order instanceof ErrorValue ? order : holds(order)
  }
  return ordered.map(([name, left, right]) =>
    overload(`${id}_${name}`, [left, right], bool, call, left === string || left === bytes ? bothCompared : {}),
  )
}

const size = (v: Value): Value => BigInt(sizeOf(v))
const sized: readonly (readonly [string, Type])[] = [
  ['bytes', bytes],
  ['list', listOfA],
  ['map', mapOfAB],
  ['string', string],
]

const matches = (text: string, pattern: string): Value => {
  const test = matcherOf(pattern)
  return test instanceof ErrorValue ? test : test.test(text)
}

const contains = (a: string, b: string): Value => a.includes(b)
const product = (args: readonly Value[]): number => traversal(sizeOf(args[0]!)) * traversal(sizeOf(args[1]!))

export const standard: Library = {
  functions: new Map<string, readonly Overload[]>([
    ...operators,
    ['!_', [overload('logical_not', [bool], bool, (v: boolean) => !v)]],
    [
      '_==_',
      [
        overload('equals', [A, A], bool, equals, {
          cost: args => (args[0] instanceof Opaque ? 1 : smaller(args)),
          estimate: costOf.equality,
        }),
      ],
    ],
    [
      '_!=_',
      [
        overload(
          'not_equals',
          [A, A],
          bool,
          (a: Value, b: Value) => {
            const same = equals(a, b)
            return typeof same === 'boolean' ? !same : same
          },
          bothCompared,
        ),
      ],
    ],
    ['_<_', relation('less', order => order < 0)],
    ['_<=_', relation('less_equals', order => order <= 0)],
    ['_>_', relation('greater', order => order > 0)],
    ['_>=_', relation('greater_equals', order => order >= 0)],
    [
      '@in',
      [
        overload('in_list', [A, listOfA], bool, (v: Value, l: ListValue) => l.contains(v), {
          cost: args => sizeOf(args[1]!),
          estimate: costOf.inList,
        }),
        overload('in_map', [A, mapOfAB], bool, (v: Value, m: MapValue) => m.has(v)),
      ],
    ],
    ['size', sized.flatMap(([name, type]) => [overload(`size_${name}`, [type], int, size), member(`${name}_size`, [type], int, size)])],
    ['contains', [member('contains_string', [string, string], bool, contains, { cost: product, estimate: costOf.contains })]],
    [
      'startsWith',
      [
        member('starts_with_string', [string, string], bool, (a: string, b: string) => a.startsWith(b), {
          cost: traverses(0),
          estimate: costOf.affix,
        }),
      ],
    ],
    [
      'endsWith',
      [
        member('ends_with_string', [string, string], bool, (a: string, b: string) => a.endsWith(b), {
          cost: traverses(0),
          estimate: costOf.affix,
        }),
      ],
    ],
    [
      'matches',
      [
        // Upstream knows the cost of the method only.
        overload('matches', [string, string], bool, matches, { cost: matchCost }),
        member('matches_string', [string, string], bool, matches, { cost: matchCost, estimate: matchEstimate }),
      ],
    ],
    ['dyn', [overload('to_dyn', [A], dyn, (v: Value) => v)]],
    ...arithmetic,
    ...conversions,
    ...times,
  ]),
}
