/** Functions as libraries declare them: overloads by the types of their arguments, what they do and what they cost. */
import type { CostEstimator } from './estimate.ts'
import { MapValue, ListValue, Opaque, Optional, Timestamp, Duration, TypeValue, Uint, sizeOf, type Value } from './values.ts'
import type { Type } from './types.ts'

export interface Overload {
  readonly id: string
  /** The receiver first, of member functions. */
  readonly args: readonly Type[]
  readonly result: Type
  /** Called on a value, `x.f(y)`. */
  readonly member: boolean
  /** Is not called with errors. Absent for operators that do not evaluate all of their arguments. */
  readonly call?: (...args: any[]) => Value // any: the checker and guards see to the types
  /** In units of some 50 ns; 1 when absent. */
  readonly cost?: (args: readonly Value[], result: Value) => number
  /** The cost before there are values; 1 when absent. */
  readonly estimate?: CostEstimator
}

export type Functions = ReadonlyMap<string, readonly Overload[]>
export interface Library {
  readonly functions: Functions
  /** Named types, for `type(x) == net.IP`. */
  readonly types?: readonly Type[]
}

type Costs = Pick<Overload, 'cost' | 'estimate'>

export const overload = (
  id: string,
  args: readonly Type[],
  result: Type,
  call?: (...args: any[]) => Value, // any: as above
  costs: Costs = {},
): Overload => ({ id, args, result, member: false, ...(call ? { call } : {}), ...costs })

export const member = (
  id: string,
  args: readonly Type[],
  result: Type,
  call?: (...args: any[]) => Value, // any: as above
  costs: Costs = {},
): Overload => ({ id, args, result, member: true, ...(call ? { call } : {}), ...costs })

/** One library of several; overloads of one name are put together, a later one is in the place of another with its id. */
export function together(libraries: readonly Library[]): Library {
  const functions = new Map<string, Overload[]>()
  for (const library of libraries)
    for (const [name, overloads] of library.functions) {
      const others = (functions.get(name) ?? []).filter(o => !overloads.some(({ id }) => id === o.id))
      functions.set(name, [...others, ...overloads])
    }
  return { functions, types: libraries.flatMap(l => l.types ?? []) }
}

const scalars: ReadonlySet<string> = new Set(['bool', 'bytes', 'double', 'duration', 'int', 'string', 'timestamp', 'uint'])

/** Whether a value is of a type, as far as calls are chosen by it. */
export function guardOf(type: Type): (v: Value) => boolean {
  switch (type.kind) {
    case 'string':
      return v => typeof v === 'string'
    case 'int':
      return v => typeof v === 'bigint'
    case 'bool':
      return v => typeof v === 'boolean'
    case 'double':
      return v => typeof v === 'number'
    case 'uint':
      return v => v instanceof Uint
    case 'bytes':
      return v => v instanceof Uint8Array
    case 'null':
      return v => v === null
    case 'timestamp':
      return v => v instanceof Timestamp
    case 'duration':
      return v => v instanceof Duration
    case 'list': {
      const item = type.params[0]!
      if (!scalars.has(item.kind)) return v => v instanceof ListValue
      // Upstream looks at the first element, too.
      const fits = guardOf(item)
      return v => v instanceof ListValue && (v.size === 0 || fits(v.at(0)))
    }
    case 'map':
    case 'struct':
      return v => v instanceof MapValue
    case 'type':
      return v => v instanceof TypeValue
    case 'opaque':
      return type.name === 'optional_type' ? v => v instanceof Optional : v => v instanceof Opaque && v.type.name === type.name
    default:
      return () => true
  }
}

/** A tenth of what is traversed, rounded up: upstream's cost of walking once through a string. */
export const traversal = (size: number): number => Math.ceil(size * 0.1)
/** The cost of walking through the argument with this index. */
export const traverses =
  (index = 0) =>
  (args: readonly Value[]): number =>
    traversal(sizeOf(args[index]!))
