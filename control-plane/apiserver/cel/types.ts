/**
 * The types of the Common Expression Language as its checker sees them, and their unification, as github.com/google/cel-go/checker has
 * it. https://github.com/google/cel-spec/blob/master/doc/langdef.md#gradual-type-checking
 */

export type Kind =
  | 'dyn'
  | 'error'
  | 'null'
  | 'bool'
  | 'int'
  | 'uint'
  | 'double'
  | 'string'
  | 'bytes'
  | 'timestamp'
  | 'duration'
  | 'list'
  | 'map'
  | 'struct'
  | 'opaque'
  | 'type'
  | 'param'

export interface Type {
  readonly kind: Kind
  /** As `type(x)` names it at run time: `int`, `google.protobuf.Timestamp`, the name of a struct. */
  readonly name: string
  /** Of a list its element, of a map key and value, of an opaque type what it is made of. */
  readonly params: readonly Type[]
  /** Of a struct: the type of a field, undefined where there is none. */
  readonly field?: (name: string) => Type | undefined
}

const simple = (kind: Kind, name: string = kind): Type => ({ kind, name, params: [] })

export const dyn = simple('dyn')
export const errorType = simple('error', '!error!')
export const nullType = simple('null', 'null_type')
export const bool = simple('bool')
export const int = simple('int')
export const uint = simple('uint')
export const double = simple('double')
export const string = simple('string')
export const bytes = simple('bytes')
export const timestamp = simple('timestamp', 'google.protobuf.Timestamp')
export const duration = simple('duration', 'google.protobuf.Duration')

export const list = (item: Type): Type => ({ kind: 'list', name: 'list', params: [item] })
export const map = (key: Type, value: Type): Type => ({ kind: 'map', name: 'map', params: [key, value] })
export const opaque = (name: string, ...params: Type[]): Type => ({ kind: 'opaque', name, params })
export const optional = (of: Type): Type => opaque('optional_type', of)
/** The type of types; of the values that `type(x)` gives. */
export const typeOf = (of: Type): Type => ({ kind: 'type', name: 'type', params: [of] })
export const typeType: Type = simple('type')
export const param = (name: string): Type => ({ kind: 'param', name, params: [] })
/** An object type; `fields` is asked while expressions are checked. */
export const struct = (name: string, field: (name: string) => Type | undefined): Type => ({ kind: 'struct', name, params: [], field })

export const isDyn = (t: Type): boolean => t.kind === 'dyn'
export const isDynOrError = (t: Type): boolean => t.kind === 'dyn' || t.kind === 'error'
export const isOptional = (t: Type): boolean => t.kind === 'opaque' && t.name === 'optional_type'

const shown: Partial<Record<Kind, string>> = { null: 'null', timestamp: 'timestamp', duration: 'duration' }

/** As error messages show a type: `list(int)`, `map(string, dyn)`. */
export function format(t: Type): string {
  const name = shown[t.kind] ?? t.name
  return t.params.length === 0 ? name : `${name}(${t.params.map(format).join(', ')})`
}

/** Whether two types are the same in all parts. */
export function same(a: Type, b: Type): boolean {
  if (a === b) return true
  if (a.kind !== b.kind || a.name !== b.name || a.params.length !== b.params.length) return false
  return a.params.every((p, i) => same(p, b.params[i]!))
}

/** What type parameters stand for, by their names. */
export type Substitutions = Map<string, Type>

/** Unbound parameters stay, or become dyn. */
export function substitute(m: Substitutions, t: Type, toDyn: boolean): Type {
  if (t.kind === 'param') {
    const found = m.get(t.name)
    return found ? substitute(m, found, toDyn) : toDyn ? dyn : t
  }
  if (t.params.length === 0) return t
  const params = t.params.map(p => substitute(m, p, toDyn))
  return params.every((p, i) => p === t.params[i]) ? t : { ...t, params }
}

/** Adds to `m` what makes `from` assignable to `to`; `m` is of no use when there is nothing. */
export function assign(m: Substitutions, from: Type, to: Type): boolean {
  if (to.kind === 'param') {
    const result = bind(m, from, to)
    if (result === 'fits') return true
    if (result === 'taken') return false
  }
  if (from.kind === 'param') return bind(m, to, from) === 'fits'
  if (isDynOrError(from) || isDynOrError(to)) return true
  if (from.kind === 'null') return takesNull(to)
  if (to.kind === 'null') return takesNull(from)
  switch (from.kind) {
    case 'type':
      return to.kind === 'type'
    case 'list':
    case 'map':
    case 'opaque':
      return from.kind === to.kind && from.name === to.name && assignAll(m, from.params, to.params)
    default:
      return from.kind === to.kind && from.name === to.name
  }
}

export const assignAll = (m: Substitutions, from: readonly Type[], to: readonly Type[]): boolean =>
  from.length === to.length && from.every((t, i) => assign(m, t, to[i]!))

const nullable: ReadonlySet<Kind> = new Set<Kind>(['null', 'opaque', 'struct', 'duration', 'timestamp'])
const takesNull = (t: Type): boolean => nullable.has(t.kind)

/** Whether the parameter can stand for `t`; `taken` when it stands for something else. */
function bind(m: Substitutions, t: Type, parameter: Type): 'fits' | 'taken' | 'cannot' {
  if (same(t, parameter)) return 'fits'
  const bound = m.get(parameter.name)
  if (bound) {
    if (same(t, bound)) return 'fits'
    if (!assign(m, t, bound)) return 'taken'
    const general = mostGeneral(t, bound)
    if (!occurs(m, parameter, general)) m.set(parameter.name, general)
    return 'fits'
  }
  if (occurs(m, parameter, t)) return 'cannot'
  m.set(parameter.name, t)
  return 'fits'
}

function occurs(m: Substitutions, parameter: Type, within: Type): boolean {
  if (same(parameter, within)) return true
  if (within.kind === 'param') {
    const bound = m.get(within.name)
    return bound !== undefined && occurs(m, parameter, bound)
  }
  return within.params.some(p => occurs(m, parameter, p))
}

/** The one of two types that go together which says less. */
export const mostGeneral = (a: Type, b: Type): Type => (isLessSpecific(a, b) ? a : b)

function isLessSpecific(a: Type, b: Type): boolean {
  if (isDyn(a) || a.kind === 'param') return true
  if (isDyn(b) || b.kind === 'param' || a.kind !== b.kind) return false
  switch (a.kind) {
    case 'list':
    case 'map':
    case 'opaque':
      return a.name === b.name && a.params.length === b.params.length && a.params.every((p, i) => isLessSpecific(p, b.params[i]!))
    case 'type':
      return true
    default:
      return same(a, b)
  }
}
