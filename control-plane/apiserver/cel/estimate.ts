/**
 * Estimates what an expression costs at least and at most before there are values, as github.com/google/cel-go/checker/cost.go does. How
 * large variables and their fields may be, their schemas say.
 */
import type { Call, Comprehension, Expr } from './ast.ts'
import type { Functions } from './functions.ts'
import { accumulator, optionalValue } from './macros.ts'
import { exactly, most, one, plus, scaled, times, union, unknown, zero, type Range } from './range.ts'
import { isOptional, same, type Type } from './types.ts'
import { sizeOf, type Value } from './values.ts'

/** An argument of a call. */
export interface Part {
  readonly expr: Expr
  readonly type: Type
  /** From a variable on: names of fields, `@items`, `@keys`, `@values`; empty for what does not come from one. */
  readonly path: readonly string[]
  /** How long the string or list is, undefined when nothing is known. */
  readonly size: Range | undefined
}

/** Of a call, without what its arguments cost; undefined for 1. */
export type CostEstimator = (args: readonly Part[], sizes: EntrySizes) => { cost: Range; size?: Range } | undefined

/** How large a variable or its field may be, undefined when it is not known. */
export type SizeEstimator = (path: readonly string[], type: Type) => Range | undefined

/** Of what a list or map holds. */
export interface Entries {
  readonly kind: 'list' | 'map'
  readonly key: Range
  readonly value: Range
}
export interface EntrySizes {
  entries(e: Expr): Entries | undefined
  /** How large what is at a path may be. */
  sizeAt(path: readonly string[], type: Type): Range | undefined
  /** Of the call at hand. */
  setEntries(entries: Entries | undefined): void
}

export const sizeOrUnknown = (p: Part | undefined): Range => p?.size ?? unknown

/** The range of costs of a checked expression. */
export function estimate(expr: Expr, functions: Functions, sizes: SizeEstimator): Range {
  return new Coster(functions, sizes).cost(expr)
}

interface Local {
  readonly path: readonly string[]
  readonly size: Range | undefined
  readonly entries: Entries | undefined
}

class Coster {
  readonly #functions: Functions
  readonly #estimator: SizeEstimator
  readonly #paths = new Map<Expr, readonly string[]>()
  readonly #sizes = new Map<Expr, Range>()
  readonly #entries = new Map<Expr, Entries>()
  readonly #locals: (readonly [string, Local])[] = []

  constructor(functions: Functions, estimator: SizeEstimator) {
    this.#functions = functions
    this.#estimator = estimator
  }

  cost(e: Expr): Range {
    switch (e.kind) {
      case 'literal':
        return zero
      case 'ident':
        this.#paths.set(e, this.#local(e)?.path ?? [e.name])
        return e.name === optionalValue ? zero : one
      case 'select': {
        const operand = this.cost(e.operand)
        if (e.test) return operand
        this.#paths.set(e, [...this.#path(e.operand), e.field])
        const { kind } = e.operand.type!
        return kind === 'map' || kind === 'struct' || kind === 'param' ? plus(operand, one) : operand
      }
      case 'call':
        return this.#call(e)
      case 'list': {
        const costs = e.items.map(i => this.cost(i.value))
        this.#entries.set(e, { kind: 'list', key: one, value: this.#widest(e.items.map(i => i.value)) })
        return plus(exactly(10), ...costs)
      }
      case 'map': {
        const costs = e.entries.flatMap(x => [this.cost(x.key), this.cost(x.value)])
        const [key, value] = [this.#widest(e.entries.map(x => x.key)), this.#widest(e.entries.map(x => x.value))]
        this.#entries.set(e, { kind: 'map', key, value })
        return plus(exactly(30), ...costs)
      }
      case 'struct':
        return plus(exactly(40), ...e.fields.map(f => this.cost(f.value)))
      case 'comprehension':
        return this.#comprehension(e)
    }
  }

  #widest(items: readonly Expr[]): Range {
    return items.length === 0 ? zero : items.map(i => this.#size(i) ?? unknown).reduce(union)
  }

  #local(e: Expr): Local | undefined {
    return e.kind === 'ident' ? this.#locals.findLast(([name]) => name === e.name)?.[1] : undefined
  }
  #path(e: Expr): readonly string[] {
    return this.#local(e)?.path ?? this.#paths.get(e) ?? []
  }

  #size(e: Expr): Range | undefined {
    const known = this.#sizes.get(e)
    if (known) return known
    if (e.kind === 'literal') return exactly(sizeOf(e.value))
    if (e.kind === 'list') return exactly(e.items.length)
    if (e.kind === 'map') return exactly(e.entries.length)
    const path = this.#path(e)
    const estimated = path.length > 0 && path[0] !== accumulator ? this.#estimator(path, e.type!) : undefined
    if (estimated) {
      this.#sizes.set(e, estimated)
      return estimated
    }
    return isScalar(e.type!) ? one : this.#local(e)?.size
  }
  #entriesOf(e: Expr): Entries | undefined {
    return this.#entries.get(e) ?? this.#local(e)?.entries
  }
  #part(expr: Expr): Part {
    const path = this.#path(expr)
    return { expr, type: expr.type!, path: path[0] === accumulator ? [] : path, size: this.#size(expr) }
  }

  #call(e: Call): Range {
    const args = e.target ? [e.target, ...e.args] : e.args
    if (e.name === 'dyn') {
      const cost = this.cost(args[0]!)
      this.#copySizes(e, args[0]!)
      return plus(cost, one)
    }
    const costs = args.map(a => this.cost(a))
    const parts = args.map(a => this.#part(a))
    const declared = this.#functions.get(e.name) ?? []
    let cost: Range | undefined
    let size: Range | undefined
    for (const id of e.overloads ?? []) {
      const estimated = this.#overload(e, id, declared.find(o => o.id === id)?.estimate, parts, costs)
      cost = cost ? union(cost, estimated.cost) : estimated.cost
      if (estimated.size) size = size ? union(size, estimated.size) : estimated.size
      if (id === 'index_list' || id === 'index_map') {
        size = this.#entriesOf(args[0]!)?.value
        this.#paths.set(e, [...this.#path(args[0]!), id === 'index_list' ? '@items' : '@values'])
      }
      size ??= this.#size(e)
    }
    if (size) this.#sizes.set(e, size)
    return cost ?? zero
  }

  #overload(
    e: Call,
    id: string,
    estimator: CostEstimator | undefined,
    parts: readonly Part[],
    costs: readonly Range[],
  ): { cost: Range; size?: Range } {
    switch (id) {
      case 'logical_and':
      case 'logical_or':
        return { cost: { min: costs[0]!.min, max: plus(...costs).max } }
      case 'conditional': {
        const [yes, no] = [this.#entriesOf(parts[1]!.expr), this.#entriesOf(parts[2]!.expr)]
        if (yes && no) this.#entries.set(e, unionOf(yes, no))
        const size = union(sizeOrUnknown(parts[1]), sizeOrUnknown(parts[2]))
        return { cost: plus(costs[0]!, union(costs[1]!, costs[2]!)), size }
      }
      default:
    }
    const sizes: EntrySizes = {
      entries: of => this.#entriesOf(of),
      sizeAt: this.#estimator,
      setEntries: entries => {
        if (entries) this.#entries.set(e, entries)
      },
    }
    const estimated = estimator?.(parts, sizes)
    return estimated ? { ...estimated, cost: plus(estimated.cost, ...costs) } : { cost: plus(one, ...costs) }
  }

  /** Upstream evaluates what optMap is called on a second time, for its value. */
  #optional(e: Comprehension, initial: Range, result: Range): Range {
    return e.accumulator === optionalValue ? { min: result.min, max: plus(result, initial).max } : result
  }

  #copySizes(to: Expr, from: Expr): void {
    const [size, entries] = [this.#size(from), this.#entriesOf(from)]
    if (size) this.#sizes.set(to, size)
    if (entries) this.#entries.set(to, entries)
  }

  #comprehension(e: Comprehension): Range {
    const range = e.accumulator === optionalValue ? zero : this.cost(e.range)
    const initial = this.cost(e.initial)
    const { length } = this.#locals
    this.#locals.push([e.accumulator, { path: this.#path(e.initial), size: this.#size(e.initial), entries: this.#entriesOf(e.initial) }])
    if (e.accumulator !== accumulator) {
      const result = this.#optional(e, initial, this.cost(e.result))
      this.#locals.length = length
      // What is bound has its size also where the result is looked at.
      this.#copySizes(e, e.result)
      return plus(range, initial, result)
    }
    const entries = this.#entriesOf(e.range)
    const isList = (entries?.kind ?? e.range.type!.kind) === 'list'
    const below = (part: string, size: Range | undefined): Local => ({ path: [...this.#path(e.range), part], size, entries: undefined })
    const key = below(isList ? '@indices' : '@keys', entries?.key)
    const value = below(isList ? '@items' : '@values', entries?.value)
    if (e.variable2 !== undefined) this.#locals.push([e.variable, key], [e.variable2, value])
    else this.#locals.push([e.variable, isList ? value : key])
    const loop = plus(this.cost(e.condition), this.cost(e.step))
    this.#locals.length = length + 1
    const result = this.cost(e.result)
    this.#locals.length = length
    const count = this.#size(e.range) ?? unknown
    if (e.initial.kind === 'literal') this.#sizes.set(e, one)
    else {
      this.#sizes.set(e, count)
      const stepped = this.#entriesOf(e.step)
      if (stepped) this.#entries.set(e, stepped)
    }
    return plus(range, initial, result, times(count, loop))
  }
}

const unionOf = (a: Entries, b: Entries): Entries => ({ kind: a.kind, key: union(a.key, b.key), value: union(a.value, b.value) })

const scalars: ReadonlySet<string> = new Set(['bool', 'double', 'duration', 'int', 'timestamp', 'uint'])
const isScalar = (t: Type): boolean => scalars.has(t.kind) || (isOptional(t) && isScalar(t.params[0]!))

/** A walk through a string. */
export const traversed = (size: Range): Range => scaled(size, 0.1)
/** A regular expression's length stands for its states. */
const regexFactor = 0.25

export const matchCost = (args: readonly Value[]): number =>
  Math.ceil((1 + sizeOf(args[0]!)) * 0.1) * Math.ceil(sizeOf(args[1]!) * regexFactor)

export const matchEstimate: CostEstimator = ([text, pattern]) => ({
  cost: times(traversed(plus(sizeOrUnknown(text), one)), scaled(sizeOrUnknown(pattern), regexFactor)),
})

const comparison: CostEstimator = ([a, b]) => {
  const max = Math.min(sizeOrUnknown(a).max, sizeOrUnknown(b).max)
  return { cost: traversed({ min: max > 0 ? 1 : 0, max }) }
}

/** Of `==`: values of Kubernetes' own types are compared at once. */
const equality: CostEstimator = (args, sizes) => {
  const { type } = args[0]!
  if (type.kind !== 'opaque' || isOptional(type) || !same(type, args[1]!.type)) return comparison(args, sizes)
  const max = type.name === 'kubernetes.NamedFormat' ? 64 : type.name === 'kubernetes.URL' ? sizeOrUnknown(args[1]).max : undefined
  return { cost: max === undefined ? one : traversed({ min: 1, max }) }
}

export const costOf = {
  affix: (([, affix]) => ({ cost: traversed(sizeOrUnknown(affix)) })) satisfies CostEstimator,
  inList: (([, list]) => ({ cost: sizeOrUnknown(list) })) satisfies CostEstimator,
  contains: (([text, part]) => ({ cost: times(traversed(sizeOrUnknown(text)), traversed(sizeOrUnknown(part))) })) satisfies CostEstimator,
  comparison,
  equality,
  concatenation: (([a, b], sizes) => {
    const size = plus(sizeOrUnknown(a), sizeOrUnknown(b))
    const [left, right] = [sizes.entries(a!.expr), sizes.entries(b!.expr)]
    if (left && right) sizes.setEntries(unionOf(left, right))
    return { cost: a!.type.kind === 'list' ? one : traversed(size), size }
  }) satisfies CostEstimator,
  textToBytes: (([text]) => {
    const size = sizeOrUnknown(text)
    return { cost: traversed(size), size: { min: size.min, max: Math.min(size.max * 4, most) } }
  }) satisfies CostEstimator,
  bytesToText: (([data]) => {
    const size = sizeOrUnknown(data)
    return { cost: traversed(size), size: { min: Math.floor(size.min / 4), max: size.max } }
  }) satisfies CostEstimator,
}
