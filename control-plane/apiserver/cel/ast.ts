/** Expressions as the parser makes them and the checker completes them. */
import type { Type } from './types.ts'
import type { Value } from './values.ts'

interface Node {
  /** Offset in the source, in code points, where errors point. */
  readonly at: number
  /** How deep the expression is nested; bounded by the parser. */
  readonly depth: number
  /** Set by the checker. */
  type?: Type
  /** Set by the checker on calls: what may be called, by the ids of the overloads. */
  overloads?: readonly string[]
}
export interface Literal extends Node {
  readonly kind: 'literal'
  readonly value: Value
}
export interface Ident extends Node {
  readonly kind: 'ident'
  name: string
  /** Set by the checker on names of types. */
  typeValue?: Type
}
export interface Select extends Node {
  readonly kind: 'select'
  readonly operand: Expr
  readonly field: string
  /** `has(operand.field)`. */
  readonly test: boolean
}
export interface Call extends Node {
  readonly kind: 'call'
  name: string
  /** Undefined for global functions, also for those with a namespace (`optional.of`). */
  target: Expr | undefined
  readonly args: readonly Expr[]
}
export interface ListExpr extends Node {
  readonly kind: 'list'
  readonly items: readonly { readonly value: Expr; readonly optional: boolean }[]
}
export interface MapExpr extends Node {
  readonly kind: 'map'
  readonly entries: readonly { readonly key: Expr; readonly value: Expr; readonly optional: boolean }[]
}
export interface StructExpr extends Node {
  readonly kind: 'struct'
  name: string
  readonly fields: readonly { readonly at: number; readonly name: string; readonly value: Expr; readonly optional: boolean }[]
}
/** A loop over a list or map; all macros become one. */
export interface Comprehension extends Node {
  readonly kind: 'comprehension'
  readonly range: Expr
  readonly variable: string
  /** With a second variable the first one is the index or key. */
  readonly variable2: string | undefined
  readonly accumulator: string
  readonly initial: Expr
  readonly condition: Expr
  readonly step: Expr
  readonly result: Expr
}
export type Expr = Literal | Ident | Select | Call | ListExpr | MapExpr | StructExpr | Comprehension

/** `a.b.c` of names only, undefined for anything else. */
export function qualifiedName(e: Expr): string | undefined {
  if (e.kind === 'ident') return e.name
  if (e.kind !== 'select' || e.test) return undefined
  const before = qualifiedName(e.operand)
  return before === undefined ? undefined : `${before}.${e.field}`
}

/** The parts of an expression. */
export function partsOf(e: Expr): readonly Expr[] {
  switch (e.kind) {
    case 'select':
      return [e.operand]
    case 'call':
      return e.target ? [e.target, ...e.args] : e.args
    case 'list':
      return e.items.map(i => i.value)
    case 'map':
      return e.entries.flatMap(x => [x.key, x.value])
    case 'struct':
      return e.fields.map(f => f.value)
    case 'comprehension':
      return [e.range, e.initial, e.condition, e.step, e.result]
    default:
      return []
  }
}

/** All names in an expression, those of loops' variables among them. */
export function namesIn(e: Expr, names = new Set<string>()): Set<string> {
  if (e.kind === 'ident') names.add(e.name)
  for (const part of partsOf(e)) namesIn(part, names)
  return names
}

/** Whether `variable.field`, `variable.?field` or a test for it is in an expression. */
export function selects(e: Expr, variable: string, field: string): boolean {
  const isOf = (operand: Expr | undefined): boolean => operand?.kind === 'ident' && operand.name === variable
  if (e.kind === 'select' && e.field === field && isOf(e.operand)) return true
  if (e.kind === 'call' && e.name === '_?._' && isOf(e.args[0])) {
    const name = e.args[1]
    if (name?.kind === 'literal' && name.value === field) return true
  }
  return partsOf(e).some(part => selects(part, variable, field))
}
