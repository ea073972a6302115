/**
 * Finds the types of an expression and what its calls may mean, as github.com/google/cel-go/checker does, with its words for what is wrong.
 * Changes the expression: it gets types, overloads and full names.
 */
import {
  qualifiedName,
  type Call,
  type Comprehension,
  type Expr,
  type Ident,
  type ListExpr,
  type MapExpr,
  type Select,
  type StructExpr,
} from './ast.ts'
import type { Functions, Overload } from './functions.ts'
import type { CelIssue } from './source.ts'
import * as t from './types.ts'
import { isOptional, type Substitutions, type Type } from './types.ts'
import { ErrorValue, Timestamp, Duration, Uint, type Value } from './values.ts'

export interface Declarations {
  readonly functions: Functions
  /** Undefined where there is none. */
  variable(name: string): Type | undefined
  /** A type with a name, `int`, `Object.spec`. */
  type(name: string): Type | undefined
  /** The namespace in which names are looked for; empty in Kubernetes. */
  readonly container: string
}

/** What is wrong; nothing when the expression can be evaluated. */
export function check(expr: Expr, declarations: Declarations): CelIssue[] {
  const checker = new Checker(declarations)
  checker.check(expr)
  checker.finish()
  return checker.errors
}

class Checker {
  readonly errors: CelIssue[] = []
  readonly #declarations: Declarations
  readonly #nodes: Expr[] = []
  /** The variables of the loops around, innermost last. */
  readonly #scopes: (readonly [string, Type])[] = []
  #substitutions: Substitutions = new Map()
  #variables = 0

  constructor(declarations: Declarations) {
    this.#declarations = declarations
  }

  /** Types that stayed open are dyn. */
  finish(): void {
    for (const node of this.#nodes) node.type = t.substitute(this.#substitutions, node.type!, true)
  }

  #wrong(at: number, message: string): void {
    this.errors.push({ at, message })
  }
  #mismatch(at: number, expected: Type, actual: Type): void {
    this.#wrong(at, `expected type '${t.format(expected)}' but found '${t.format(actual)}'`)
  }
  #undeclared(at: number, name: string): void {
    this.#wrong(at, `undeclared reference to '${name}' (in container '${this.#declarations.container}')`)
  }
  #set(e: Expr, type: Type): void {
    if (e.type === undefined) this.#nodes.push(e)
    e.type = type
  }
  #newVariable(): Type {
    return t.param(`_var${this.#variables++}`)
  }
  /** Keeps what it takes to make the types go together. */
  #assignable(from: Type, to: Type): boolean {
    const tried = new Map(this.#substitutions)
    if (!t.assign(tried, from, to)) return false
    this.#substitutions = tried
    return true
  }
  #join(before: Type | undefined, type: Type): Type {
    if (before === undefined) return type
    if (this.#assignable(before, type)) return t.mostGeneral(before, type)
    // Whether types may be mixed is looked at afterwards: the arguments of format() may.
    return t.dyn
  }

  check(e: Expr): Type {
    switch (e.kind) {
      case 'literal':
        this.#set(e, literalType(e.value))
        break
      case 'ident':
        this.#ident(e)
        break
      case 'select':
        this.#select(e)
        break
      case 'call':
        this.#call(e)
        break
      case 'list':
        this.#list(e)
        break
      case 'map':
        this.#map(e)
        break
      case 'struct':
        this.#struct(e)
        break
      case 'comprehension':
        this.#comprehension(e)
        break
    }
    return e.type!
  }

  /** A name as the container qualifies it, the longest first. */
  #candidates(name: string): string[] {
    if (name.startsWith('.')) return [name.slice(1)]
    const { container } = this.#declarations
    if (container === '') return [name]
    const parts = container.split('.')
    return [...parts.map((_, i) => `${parts.slice(0, parts.length - i).join('.')}.${name}`), name]
  }

  #lookUp(name: string): { name: string; type: Type; typeValue?: Type } | undefined {
    for (let i = this.#scopes.length - 1; i >= 0; i--) if (this.#scopes[i]![0] === name) return { name, type: this.#scopes[i]![1] }
    for (const candidate of this.#candidates(name)) {
      const type = this.#declarations.variable(candidate)
      if (type) return { name: candidate, type }
      const named = this.#declarations.type(candidate)
      if (named) return { name: candidate, type: t.typeOf(named), typeValue: named }
    }
    return undefined
  }

  #ident(e: Ident): void {
    const found = this.#lookUp(e.name)
    if (found) this.#resolve(e, found)
    else {
      this.#set(e, t.errorType)
      this.#undeclared(e.at, e.name)
    }
  }
  #resolve(e: Expr, { name, type, typeValue }: { name: string; type: Type; typeValue?: Type }): void {
    this.#set(e, type)
    Object.assign(e, { kind: 'ident', name }, typeValue ? { typeValue } : {})
  }

  #select(e: Select): void {
    const qualified = qualifiedName(e)
    const found = qualified === undefined ? undefined : this.#lookUp(qualified)
    if (found) return this.#resolve(e, found)
    const type = this.#field(e, e.operand, e.field, false)
    this.#set(e, e.test ? t.bool : t.substitute(this.#substitutions, type, false))
  }

  #field(e: Expr, operand: Expr, field: string, optional: boolean): Type {
    const operandType = t.substitute(this.#substitutions, this.check(operand), false)
    const target = isOptional(operandType) ? operandType.params[0]! : operandType
    let result: Type = t.dyn
    if (target.kind === 'map') result = target.params[1]!
    else if (target.kind === 'struct') {
      const found = target.field!(field)
      if (!found) this.#wrong(e.at, `undefined field '${field}'`)
      result = found ?? t.errorType
    } else if (target.kind === 'param') this.#assignable(t.dyn, target)
    else if (!t.isDynOrError(target)) this.#wrong(e.at, `type '${t.format(target)}' does not support field selection`)
    return optional || isOptional(operandType) ? t.optional(result) : result
  }

  #call(e: Call): void {
    const { args } = e
    if (e.name === '_?._') {
      const [operand, field] = args
      const name = field!.kind === 'literal' ? String(field!.value) : ''
      e.overloads = ['select_optional_field']
      this.#set(e, t.substitute(this.#substitutions, this.#field(e, operand!, name, true), false))
      this.#set(field!, t.string)
      return
    }
    for (const arg of args) this.check(arg)
    const { functions } = this.#declarations
    if (!e.target) {
      const name = this.#candidates(e.name).find(candidate => functions.has(candidate))
      if (name === undefined) {
        this.#undeclared(e.at, e.name)
        this.#set(e, t.errorType)
        return
      }
      e.name = name
      return this.#overload(e, functions.get(name)!)
    }
    const prefix = qualifiedName(e.target)
    if (prefix !== undefined) {
      const name = this.#candidates(`${prefix}.${e.name}`).find(candidate => functions.has(candidate))
      if (name !== undefined) {
        e.name = name
        e.target = undefined
        return this.#overload(e, functions.get(name)!)
      }
    }
    this.check(e.target)
    const overloads = functions.get(e.name)
    if (overloads) return this.#overload(e, overloads)
    this.#set(e, t.errorType)
    this.#undeclared(e.at, e.name)
  }

  #overload(e: Call, overloads: readonly Overload[]): void {
    const args = e.target ? [e.target, ...e.args] : e.args
    const types = args.map(a => a.type!)
    if (e.name === '_&&_' || e.name === '_||_') {
      let fits = true
      args.forEach((arg, i) => {
        if (this.#assignable(types[i]!, t.bool)) return
        this.#mismatch(arg.at, t.bool, types[i]!)
        fits = false
      })
      e.overloads = [overloads[0]!.id]
      this.#set(e, fits ? t.bool : t.errorType)
      return
    }
    let result: Type | undefined
    const fitting: string[] = []
    for (const overload of overloads) {
      if (overload.member !== (e.target !== undefined) || overload.args.length !== args.length) continue
      const { args: wanted, result: gives } = this.#fresh(overload)
      const tried = new Map(this.#substitutions)
      if (!t.assignAll(tried, types, wanted)) continue
      this.#substitutions = tried
      fitting.push(overload.id)
      const type = t.substitute(tried, gives, false)
      if (result === undefined) result = type
      else if (!t.isDyn(result) && !t.same(type, result)) result = t.dyn
    }
    if (result === undefined) {
      const shown = types.map(type => t.format(t.substitute(this.#substitutions, type, true)))
      const signature = e.target ? `${shown[0]}.(${shown.slice(1).join(', ')})` : `(${shown.join(', ')})`
      this.#wrong(e.at, `found no matching overload for '${e.name}' applied to '${signature}'`)
    }
    e.overloads = fitting
    this.#set(e, result ?? t.errorType)
  }

  /** With type parameters that nothing else knows. */
  #fresh({ args, result }: Overload): { args: readonly Type[]; result: Type } {
    const names = new Set<string>()
    for (const type of [result, ...args]) paramsOf(type, names)
    if (names.size === 0) return { args, result }
    const own: Substitutions = new Map([...names].map(name => [name, this.#newVariable()]))
    return { args: args.map(a => t.substitute(own, a, false)), result: t.substitute(own, result, false) }
  }

  /** The type within an optional element. */
  #unwrap(e: Expr, optional: boolean): Type {
    const type = e.type!
    if (!optional) return type
    if (isOptional(type)) return type.params[0]!
    if (!t.isDyn(type)) this.#mismatch(e.at, t.optional(type), type)
    return type
  }

  #list(e: ListExpr): void {
    let items: Type | undefined
    for (const { value, optional } of e.items) {
      this.check(value)
      items = this.#join(items, this.#unwrap(value, optional))
    }
    this.#set(e, t.list(items ?? this.#newVariable()))
  }

  #map(e: MapExpr): void {
    let keys: Type | undefined
    let values: Type | undefined
    for (const { key, value, optional } of e.entries) {
      keys = this.#join(keys, this.check(key))
      this.check(value)
      values = this.#join(values, this.#unwrap(value, optional))
    }
    this.#set(e, t.map(keys ?? this.#newVariable(), values ?? this.#newVariable()))
  }

  #struct(e: StructExpr): void {
    const found = this.#lookUp(e.name)
    let type: Type = t.errorType
    if (!found) this.#undeclared(e.at, e.name)
    else if (!found.typeValue) this.#wrong(e.at, `'${found.type.name}' is not a type`)
    else if (found.typeValue.kind !== 'struct') this.#wrong(e.at, `'${found.typeValue.name}' is not a message type`)
    else {
      type = found.typeValue
      e.name = found.name
    }
    this.#set(e, type)
    if (type.kind !== 'struct') return
    for (const { at, name, value, optional } of e.fields) {
      this.check(value)
      const given = this.#unwrap(value, optional)
      const wanted = type.field!(name)
      if (!wanted) this.#wrong(at, `undefined field '${name}'`)
      else if (!this.#assignable(wanted, given))
        this.#wrong(at, `expected type of field '${name}' is '${t.format(wanted)}' but provided type is '${t.format(given)}'`)
    }
  }

  #comprehension(e: Comprehension): void {
    this.check(e.range)
    this.check(e.initial)
    const range = t.substitute(this.#substitutions, e.range.type!, false)
    const accumulated = e.initial.type!
    let first: Type = t.dyn
    let second: Type = t.dyn
    if (range.kind === 'list') [first, second] = e.variable2 === undefined ? [range.params[0]!, t.dyn] : [t.int, range.params[0]!]
    else if (range.kind === 'map') [first, second] = range.params as [Type, Type]
    else if (t.isDynOrError(range) || range.kind === 'param') this.#assignable(t.dyn, range)
    else {
      this.#wrong(e.range.at, `expression of type '${t.format(range)}' cannot be range of a comprehension (must be list, map, or dynamic)`)
      first = second = t.errorType
    }
    const { length } = this.#scopes
    this.#scopes.push([e.accumulator, accumulated], [e.variable, first])
    if (e.variable2 !== undefined) this.#scopes.push([e.variable2, second])
    this.check(e.condition)
    this.#assert(e.condition, t.bool)
    this.check(e.step)
    this.#assert(e.step, accumulated)
    this.#scopes.length = length + 1
    this.check(e.result)
    this.#scopes.length = length
    this.#set(e, t.substitute(this.#substitutions, e.result.type!, false))
  }
  #assert(e: Expr, type: Type): void {
    if (!this.#assignable(type, e.type!)) this.#mismatch(e.at, type, e.type!)
  }
}

function literalType(v: Value): Type {
  switch (typeof v) {
    case 'string':
      return t.string
    case 'boolean':
      return t.bool
    case 'bigint':
      return t.int
    case 'number':
      return t.double
    default:
  }
  if (v === null) return t.nullType
  if (v instanceof Uint) return t.uint
  if (v instanceof Timestamp) return t.timestamp
  if (v instanceof Duration) return t.duration
  return v instanceof ErrorValue ? t.errorType : t.bytes
}

function paramsOf(type: Type, names: Set<string>): void {
  if (type.kind === 'param') names.add(type.name)
  for (const p of type.params) paramsOf(p, names)
}
