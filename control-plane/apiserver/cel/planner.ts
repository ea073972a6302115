/**
 * Makes a checked expression into closures that evaluate it and count its cost as github.com/google/cel-go/interpreter does with
 * Kubernetes' settings: 1 for each name, selection and index, of calls what their function says, 10, 30 and 40 for new lists, maps and
 * objects; constants cost nothing, `has` no more than its operand.
 */
import { element, lookUp, present, select, valueAt } from './access.ts'
import type { Call, Comprehension, Expr, ListExpr, MapExpr, StructExpr } from './ast.ts'
import { guardOf, type Functions, type Overload } from './functions.ts'
import { accumulator as accumulatorName, optionalValue } from './macros.ts'
import {
  ArrayList,
  ErrorValue,
  GrowingList,
  GrowingMap,
  HashMap,
  isError,
  ListValue,
  MapValue,
  none,
  noSuchOverload,
  Optional,
  TypeValue,
  type Value,
} from './values.ts'
import { CostExceeded } from './work.ts'
import type { Type } from './types.ts'

/** One evaluation under way. */
export interface Frame {
  /** Of the loops. */
  readonly locals: Value[]
  variable(name: string): Value
  cost: number
  readonly limit: number
}

export type Step = (f: Frame) => Value

/** What upstream evaluates as one attribute: a name with selections and indexes. */
const isAttribute = (e: Expr): boolean =>
  e.kind === 'ident' || (e.kind === 'select' && !e.test) || (e.kind === 'call' && /^_(?:\[\??_\]|\?\._)$/.test(e.name))

export interface Plan {
  readonly step: Step
  readonly locals: number
}

export interface Runtime {
  readonly functions: Functions
  /** Makes an object of a named type. */
  construct(type: Type, fields: ReadonlyMap<string, Value>): Value
}

const charge = (f: Frame, cost: number): void => {
  // What is no number is too much, too.
  if (!((f.cost += cost) <= f.limit)) throw new CostExceeded()
}

export function plan(expr: Expr, runtime: Runtime): Plan {
  const planner = new Planner(runtime)
  const step = planner.plan(expr)
  return { step, locals: planner.locals }
}

/** Steps that give the same value always, and cost nothing. */
const constants = new WeakMap<Step, Value>()
function constant(value: Value): Step {
  const step = (): Value => value
  constants.set(step, value)
  return step
}

/** What upstream computes once when its argument is a constant. */
const conversions: ReadonlySet<string> = new Set('bool bytes double duration dyn int string timestamp type uint'.split(' '))

class Planner {
  locals = 0
  readonly #runtime: Runtime
  readonly #scopes: (readonly [string, number])[] = []

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  plan(e: Expr): Step {
    switch (e.kind) {
      case 'literal':
        return constant(e.value)
      case 'ident':
        if (e.typeValue) return constant(new TypeValue(e.typeValue))
        return this.#name(e.name)
      case 'select':
        return this.#select(e.operand, e.field, e.test)
      case 'call':
        return this.#call(e)
      case 'list':
        return this.#list(e)
      case 'map':
        return this.#map(e)
      case 'struct':
        return this.#struct(e)
      case 'comprehension':
        return this.#comprehension(e)
    }
  }

  #name(name: string): Step {
    const local = this.#scopes.findLast(([other]) => other === name)
    if (local) {
      const slot = local[1]
      if (name === optionalValue) return f => f.locals[slot]!
      return f => {
        charge(f, 1)
        return f.locals[slot]!
      }
    }
    return f => {
      charge(f, 1)
      return f.variable(name)
    }
  }

  /** Upstream evaluates the target of optMap once more for its value: that is what this costs. */
  #optional(step: Step): Step {
    return f => {
      const before = f.cost
      const value = step(f)
      if (value instanceof Optional && value.value !== undefined) charge(f, f.cost - before)
      return value
    }
  }

  /** Selections from what is no name cost one more, as upstream's attribute is one step and its field another. */
  #operand(e: Expr): Step {
    const step = this.plan(e)
    if (isAttribute(e)) return step
    return f => {
      const value = step(f)
      charge(f, 1)
      return value
    }
  }

  #select(operand: Expr, field: string, test: boolean): Step {
    const of = this.#operand(operand)
    if (test) return f => present(of(f), field)
    return f => {
      const value = of(f)
      charge(f, 1)
      return value instanceof MapValue ? valueAt(value, field) : select(value, field)
    }
  }

  #call(e: Call): Step {
    switch (e.name) {
      case '_&&_':
        return this.#logical(e, false)
      case '_||_':
        return this.#logical(e, true)
      case '_?_:_':
        return this.#conditional(e)
      case '_[_]':
      case '_[?_]':
        return this.#index(e, e.name === '_[?_]')
      case '_?._': {
        const of = this.#operand(e.args[0]!)
        const field = (e.args[1] as { value: Value }).value
        return f => {
          const found = lookUp(of(f), field)
          if (found !== none) charge(f, 1)
          return found
        }
      }
      case '@not_strictly_false': {
        const inner = this.plan(e.args[0]!)
        return f => {
          const value = inner(f)
          charge(f, 1)
          return value !== false
        }
      }
      case '@in': {
        const fast = this.#inConstants(e)
        if (fast) return fast
        break
      }
      case 'or':
      case 'orValue':
        if (e.target && e.overloads?.some(id => id.startsWith('optional_or'))) return this.#or(e, e.name === 'orValue')
        break
      default:
    }
    return this.#plainCall(e)
  }

  #logical(e: Call, decisive: boolean): Step {
    const [left, right] = [this.plan(e.args[0]!), this.plan(e.args[1]!)]
    return f => {
      const a = left(f)
      if (a === decisive) return a
      const b = right(f)
      if (b === decisive) return b
      if (typeof a === 'boolean' && typeof b === 'boolean') return !decisive
      if (a instanceof ErrorValue) return a
      return b instanceof ErrorValue ? b : noSuchOverload
    }
  }

  #conditional(e: Call): Step {
    const [test, yes, no] = [this.plan(e.args[0]!), this.#branch(e.args[1]!), this.#branch(e.args[2]!)]
    return f => {
      const value = test(f)
      if (value === true) return yes(f)
      if (value === false) return no(f)
      return value instanceof ErrorValue ? value : noSuchOverload
    }
  }

  /** A name costs nothing where it is chosen or an index, as upstream has one attribute of several there. */
  #branch(e: Expr): Step {
    const step = this.plan(e)
    if (!isAttribute(e) || constants.has(step)) return step
    return f => {
      charge(f, -1)
      return step(f)
    }
  }

  #index(e: Call, optional: boolean): Step {
    const [of, key] = [this.#operand(e.args[0]!), this.#branch(e.args[1]!)]
    return f => {
      const container = of(f)
      const index = key(f)
      if (optional || container instanceof Optional) {
        const found = container instanceof ErrorValue ? container : index instanceof ErrorValue ? index : lookUp(container, index)
        if (found !== none) charge(f, 1)
        return found
      }
      charge(f, 1)
      if (container instanceof ErrorValue) return container
      if (index instanceof ErrorValue) return index
      if (container instanceof MapValue) return valueAt(container, index)
      if (container instanceof ListValue) return element(container, index)
      return noSuchOverload
    }
  }

  /** Membership in a list of constants is free of cost upstream. */
  #inConstants(e: Call): Step | undefined {
    const [value, list] = [this.plan(e.args[0]!), this.plan(e.args[1]!)]
    const items = constants.get(list)
    if (!(items instanceof ArrayList) || items.items.some(i => typeof i === 'object')) return undefined
    const texts = new Set(items.items.filter(i => typeof i === 'string'))
    return f => {
      const v = value(f)
      if (typeof v === 'string') return texts.has(v)
      return v instanceof ErrorValue ? v : (items.contains(v) as Value)
    }
  }

  #or(e: Call, orValue: boolean): Step {
    const [left, right] = [this.plan(e.target!), this.plan(e.args[0]!)]
    return f => {
      const a = left(f)
      if (a instanceof ErrorValue) return a
      if (!(a instanceof Optional)) return noSuchOverload
      if (a.value !== undefined) return orValue ? a.value : a
      const b = right(f)
      return orValue || b instanceof Optional || isError(b) ? b : noSuchOverload
    }
  }

  #plainCall(e: Call): Step {
    const args = (e.target ? [e.target, ...e.args] : e.args).map(a => this.plan(a))
    const all = this.#runtime.functions.get(e.name) ?? []
    const ids = e.overloads
    const overloads = all.filter(o => ids?.includes(o.id) ?? (o.args.length === args.length && o.member === (e.target !== undefined)))
    if (overloads.length === 1 && args.length === 1) return this.#unary(e, overloads[0]!, args[0]!)
    if (overloads.length === 1 && args.length === 2) return binary(overloads[0]!, args[0]!, args[1]!)
    const choices = overloads.map(o => ({ ...o, guards: o.args.map(guardOf) }))
    if (args.length === 1 && conversions.has(e.name)) return this.#folded(args[0]!, dispatch(choices, args))
    return dispatch(choices, args)
  }

  #unary(e: Call, overload: Overload, arg: Step): Step {
    const { call, cost } = overload
    const fits = guardOf(overload.args[0]!)
    const step: Step = f => {
      const value = arg(f)
      if (value instanceof ErrorValue || !fits(value)) return refused(f, value)
      const result = call!(value)
      charge(f, cost ? cost([value], result) : 1)
      return result
    }
    return conversions.has(e.name) ? this.#folded(arg, step) : step
  }

  #folded(arg: Step, step: Step): Step {
    if (!constants.has(arg)) return step
    const value = step({ locals: [], variable: () => null, cost: 0, limit: Infinity })
    return isError(value) ? step : constant(value)
  }

  #list(e: ListExpr): Step {
    const items = e.items.map(({ value, optional }) => ({ step: this.plan(value), optional }))
    if (items.every(i => !i.optional && constants.has(i.step))) return constant(new ArrayList(items.map(i => constants.get(i.step)!)))
    return f => {
      const values: Value[] = []
      for (const { step, optional } of items) {
        const value = step(f)
        if (value instanceof ErrorValue) return value
        if (!optional) values.push(value)
        else if (!(value instanceof Optional)) return badOptional('list element', value)
        else if (value.value !== undefined) values.push(value.value)
      }
      charge(f, 10)
      return new ArrayList(values)
    }
  }

  #map(e: MapExpr): Step {
    const entries = e.entries.map(({ key, value, optional }) => ({ key: this.plan(key), value: this.plan(value), optional }))
    const build: Step = f => {
      const map = new HashMap()
      for (const { key, value, optional } of entries) {
        const k = key(f)
        if (k instanceof ErrorValue) return k
        let v: Value = value(f)
        if (v instanceof ErrorValue) return v
        if (optional) {
          if (!(v instanceof Optional)) return badOptional('map entry', v)
          if (v.value === undefined) continue
          v = v.value
        }
        if (map.insert(k, v)) return new ErrorValue(map.has(k) === true ? `Failed with repeated key` : 'unsupported key type')
      }
      charge(f, 30)
      return map
    }
    if (entries.every(x => !x.optional && constants.has(x.key) && constants.has(x.value))) {
      const value = build({ locals: [], variable: () => null, cost: 0, limit: Infinity })
      if (!isError(value)) return constant(value)
    }
    return build
  }

  #struct(e: StructExpr): Step {
    const fields = e.fields.map(({ name, value, optional }) => ({ name, step: this.plan(value), optional }))
    const type = e.type!
    const { construct } = this.#runtime
    return f => {
      const values = new Map<string, Value>()
      for (const { name, step, optional } of fields) {
        let value = step(f)
        if (value instanceof ErrorValue) return value
        if (optional) {
          if (!(value instanceof Optional)) return badOptional('object field', value)
          if (value.value === undefined) continue
          value = value.value
        }
        values.set(name, value)
      }
      charge(f, 40)
      return construct(type, values)
    }
  }

  #comprehension(e: Comprehension): Step {
    const range = this.plan(e.range)
    const initial = e.accumulator === optionalValue ? this.#optional(this.plan(e.initial)) : this.plan(e.initial)
    const { length } = this.#scopes
    const [accumulator, first, second] = [this.locals++, this.locals++, this.locals++]
    this.#scopes.push([e.accumulator, accumulator], [e.variable, first])
    const two = e.variable2 !== undefined
    if (two) this.#scopes.push([e.variable2!, second])
    const condition = this.plan(e.condition)
    const unconditional = constants.get(condition) === true
    const step = this.plan(e.step)
    this.#scopes.length = length + 1
    const result = this.plan(e.result)
    this.#scopes.length = length
    const isLoop = e.accumulator === accumulatorName
    const growsList = isLoop && e.initial.kind === 'list'
    const growsMap = isLoop && e.initial.kind === 'map'

    return f => {
      const over = range(f)
      if (over instanceof ErrorValue) return over
      const { locals } = f
      // Loops within this one's step use other places; those of the range and of the start are over.
      const started = initial(f)
      locals[accumulator] = growsList ? new GrowingList() : growsMap ? new GrowingMap() : started
      /** Whether to go on. */
      const once = (): boolean => {
        if (!unconditional && condition(f) !== true) return false
        const value = step(f)
        locals[accumulator] = value
        return !((growsList || growsMap) && value instanceof ErrorValue)
      }
      if (over instanceof ListValue) {
        for (let i = 0, { size } = over; i < size; i++) {
          locals[first] = two ? BigInt(i) : over.at(i)
          if (two) locals[second] = over.at(i)
          if (!once()) break
        }
      } else if (over instanceof MapValue) {
        for (const key of over.keys()) {
          locals[first] = key
          if (two) locals[second] = over.get(key)!
          if (!once()) break
        }
      } else return noSuchOverload
      const value = result(f)
      if (value instanceof GrowingList) return new ArrayList(value.items)
      return value instanceof GrowingMap ? value.copy() : value
    }
  }
}

/** Of what does not fit, the first error. */
function refused(f: Frame, ...values: readonly Value[]): Value {
  charge(f, 1)
  return values.find(isError) ?? noSuchOverload
}

function binary({ args, call, cost }: Overload, left: Step, right: Step): Step {
  const [first, second] = [guardOf(args[0]!), guardOf(args[1]!)]
  return f => {
    const a = left(f)
    const b = right(f)
    if (a instanceof ErrorValue || b instanceof ErrorValue || !first(a) || !second(b)) return refused(f, a, b)
    const result = call!(a, b)
    charge(f, cost ? cost([a, b], result) : 1)
    return result
  }
}

function dispatch(choices: readonly (Overload & { guards: readonly ((v: Value) => boolean)[] })[], args: readonly Step[]): Step {
  return f => {
    const values: Value[] = []
    for (const arg of args) values.push(arg(f))
    for (const value of values) if (value instanceof ErrorValue) return value
    const chosen = choices.find(({ guards }) => guards.length === values.length && guards.every((fits, i) => fits(values[i]!)))
    if (!chosen?.call) return noSuchOverload
    const result = chosen.call(...values)
    charge(f, chosen.cost ? chosen.cost(values, result) : 1)
    return result
  }
}

const badOptional = (what: string, _value: Value): ErrorValue =>
  new ErrorValue(`invalid optional ${what} initialization: value is not optional`)
