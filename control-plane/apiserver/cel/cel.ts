/**
 * The Common Expression Language as Kubernetes has it. An expression is compiled against an environment, which declares variables by name
 * and type, and then evaluated as often as one likes:
 *
 *     const { compile, fromJson, newEnvironment, types } = cel() // of load.ts
 *     const environment = newEnvironment({ variables: { self: types.int, oldSelf: types.dyn } })
 *     const { program, errors } = compile('self > 3', environment, { returns: [types.bool] })
 *     program.evaluate({ self: 5n, oldSelf: fromJson(old) })   // { value: true, cost: 2 }
 *
 * Everything is synchronous. Programs are immutable and know nothing of what they were evaluated with.
 *
 * Objects of requests are bound as dyn with `fromJson(object)`, which costs nothing until the expression looks into it, or, to have field
 * access checked, as the type and adapter of a schema. A variable that is dear to make (`namespaceObject`, the `variables` of a policy) is
 * bound as a function.
 */
import { namesIn, selects, type Expr } from './ast.ts'
import { check } from './checker.ts'
import { estimate, type SizeEstimator } from './estimate.ts'
import { together, type Functions, type Library } from './functions.ts'
import { baseLibraries } from './library/base.ts'
import { parse } from './parser.ts'
import { plan, type Plan } from './planner.ts'
import type { Range } from './range.ts'
import { display, type CelIssue } from './source.ts'
import * as types from './types.ts'
import type { Type } from './types.ts'
import { validateLiterals, wrongPattern } from './validators.ts'
import { ErrorValue, type Value } from './values.ts'
import { beginWork, CostExceeded, Pending } from './work.ts'

export * as types from './types.ts'
export type { Type } from './types.ts'
export {
  ArrayList,
  Duration,
  ErrorValue,
  HashMap,
  ListValue,
  MapValue,
  none,
  Opaque,
  Optional,
  Timestamp,
  TypeValue,
  Uint,
  type Value,
} from './values.ts'
export { fromJson, toJson } from './json.ts'
export { authorizerType, authorizerValue, requestResourceValue, resourceCheckType, type Authorize } from './library/authz.ts'
export { jsonPatch } from './library/regex.ts'
export * as definitions from './crd/definitions.ts'
export { selects } from './dra/device.ts'
export { checkSelector } from './dra/selector.ts'

/** What one evaluation may cost, in units of some 50 ns: k8s.io/apiserver/pkg/apis/cel. */
export const perCallLimit = 1_000_000
/** What all expressions of one policy binding or of one custom resource may cost together. */
export const runtimeCostBudget = 10_000_000
/** What all match conditions of one webhook or policy may cost together. */
export const matchConditionsCostBudget = 2_500_000
/** The longest text that a message expression may give, in bytes. */
export const maxMessageExpressionBytes = 5 * 1024

/** Variables and named types that expressions are compiled against. Make few and keep them: each caches its programs. */
export interface Environment {
  readonly variables: Readonly<Record<string, Type>>
  readonly functions: Functions
  /** Types that expressions may name, `int`, `Object.spec`. */
  readonly types: ReadonlyMap<string, Type> | { get(name: string): Type | undefined }
  readonly container: string
  readonly mixed: boolean
  readonly bindings: boolean
  readonly construct: Construct
  /** How large variables and their fields may be; for estimates. */
  readonly sizes: SizeEstimator
}
/** Makes the value of `Type{field: value}`. */
export type Construct = (type: Type, fields: ReadonlyMap<string, Value>) => Value

export interface EnvironmentOptions {
  readonly variables?: Readonly<Record<string, Type>>
  /** On top of Kubernetes' own, which every environment has. */
  readonly libraries?: readonly Library[]
  /** Types that can be named, by their names; looked up when an expression names one. */
  readonly types?: { get(name: string): Type | undefined }
  readonly construct?: Construct
  readonly sizes?: SizeEstimator
  /** Whether `cel.bind(name, value, expression)` is known. */
  readonly bindings?: boolean
  /** For the language's own tests: names are looked for in this namespace, lists and maps may hold values of several types. */
  readonly container?: string
  readonly mixed?: boolean
}

const plainTypes: ReadonlyMap<string, Type> = new Map(
  [
    types.bool,
    types.bytes,
    types.double,
    types.duration,
    types.int,
    types.list(types.dyn),
    types.map(types.dyn, types.dyn),
    types.nullType,
    types.string,
    types.timestamp,
    types.typeType,
    types.uint,
  ].map(t => [t.name, t]),
)

const base = together(baseLibraries)

/** The environment of Kubernetes 1.35 with variables of your own. */
export function newEnvironment(options: EnvironmentOptions = {}): Environment {
  const own = options.libraries ? together([base, ...options.libraries]) : base
  const named = new Map([...plainTypes, ...(own.types ?? []).map(t => [t.name, t] as const)])
  const more = options.types
  return {
    variables: options.variables ?? {},
    functions: own.functions,
    types: more ? { get: name => named.get(name) ?? more.get(name) } : named,
    container: options.container ?? '',
    mixed: options.mixed ?? false,
    bindings: options.bindings ?? false,
    construct: options.construct ?? (type => new ErrorValue(`unknown type: ${type.name}`)),
    sizes: options.sizes ?? (() => undefined),
  }
}

export interface CompileOptions {
  /** Types of which the expression must be one (dyn is one of all); any type when absent. */
  readonly returns?: readonly Type[]
  /** Without this, types are not looked at before expressions are evaluated. For the language's own tests. */
  readonly unchecked?: boolean
}

/** A program, or what is wrong in upstream's words, ready to stand in a field error. */
export type Compiled =
  | { readonly program: Program; readonly error?: undefined }
  | {
      readonly program?: undefined
      /** `compilation failed: ERROR: <input>:1:5: undeclared reference to 'x' (in container '')...`, `must evaluate to bool`. */
      readonly error: string
      /** What is wrong without upstream's head: where and what, for callers with a head of their own. */
      readonly issues: string
    }

/** Values by the names of variables. A function is called each time that its variable is looked at: memoize what is dear. */
export type Bindings = Readonly<Record<string, Value | (() => Value)>>

export type Outcome =
  | { readonly value: Exclude<Value, ErrorValue>; readonly error?: undefined; readonly cost: number; readonly exceeded: false }
  | {
      readonly value?: undefined
      /** In upstream's words: `no such key: x`, `operation cancelled: actual cost limit exceeded`. */
      readonly error: string
      readonly cost: number
      /** Whether the cost limit was the reason. */
      readonly exceeded: boolean
      /** An authorizer has yet to answer: evaluate again with the same bindings when this is fulfilled (it never rejects). */
      readonly pending?: Promise<void>
    }

export interface Program {
  readonly expression: string
  /** Of what it evaluates to. */
  readonly type: Type
  /** The variables that it names. */
  readonly names: ReadonlySet<string>
  /** Whether it looks at this field of this variable, `variable.field` or `variable.?field`, somewhere. */
  selects(variable: string, field: string): boolean
  /** Never throws, whatever the values are. `limit` defaults to, and is at most, `perCallLimit`. */
  evaluate(bindings: Bindings, limit?: number): Outcome
  /** What it may cost, judged by the sizes that the environment declares. */
  estimate(): Range
}

const caches = new WeakMap<Environment, Map<string, Compiled>>()
/** Programs that an environment keeps. */
const cached = 1000

/** Compiles; the same expression in the same environment is the same program. */
export function compile(expression: string, environment: Environment, options: CompileOptions = {}): Compiled {
  const key = `${options.unchecked ? 'u' : ''}${options.returns?.map(types.format).join('|') ?? ''}\n${expression}`
  let cache = caches.get(environment)
  if (!cache) caches.set(environment, (cache = new Map()))
  let compiled = cache.get(key)
  if (!compiled) {
    compiled = newProgram(expression, environment, options)
    if (cache.size >= cached) cache.clear()
    cache.set(key, compiled)
  }
  return compiled
}

function newProgram(expression: string, environment: Environment, { returns, unchecked }: CompileOptions): Compiled {
  const fail = (errors: readonly CelIssue[]): Compiled => {
    const issues = display(expression, errors)
    return { error: `compilation failed: ${issues}`, issues }
  }
  const parsed = parse(expression, environment.bindings)
  if ('errors' in parsed) return fail(parsed.errors)
  const { expr } = parsed
  if (!unchecked) {
    const { variables, types: named } = environment
    const wrong = check(expr, {
      functions: environment.functions,
      container: environment.container,
      variable: name => (Object.hasOwn(variables, name) ? variables[name] : undefined),
      type: name => named.get(name),
    })
    if (wrong.length === 0) wrong.push(...validateLiterals(expr, environment.mixed))
    if (wrong.length > 0) return fail(wrong)
  }
  const pattern = wrongPattern(expr)
  if (pattern !== undefined) {
    const error = `program instantiation failed: ${pattern}`
    return { error, issues: error }
  }
  const type = expr.type ?? types.dyn
  if (returns && !types.isDyn(type) && !returns.some(r => types.isDyn(r) || types.same(r, type))) {
    const names = returns.map(r => types.format(r))
    const error = returns.length === 1 ? `must evaluate to ${names[0]}` : `must evaluate to one of [${names.join(' ')}]`
    return { error, issues: error }
  }
  return { program: programOf(expression, expr, type, environment) }
}

/** Evaluations within evaluations, of variables that are computed when they are looked at. */
let depth = 0

function programOf(expression: string, expr: Expr, type: Type, environment: Environment): Program {
  let planned: Plan | undefined
  let range: Range | undefined
  let names: ReadonlySet<string> | undefined
  return {
    expression,
    type,
    get names() {
      return (names ??= namesIn(expr))
    },
    selects: (variable, field) => selects(expr, variable, field),
    evaluate(bindings, limit = perCallLimit) {
      planned ??= plan(expr, environment)
      const frame = {
        locals: new Array<Value>(planned.locals).fill(null),
        variable(name: string): Value {
          const value = bindings[name]
          if (value === undefined) return new ErrorValue(`no such attribute(s): ${name}`)
          return typeof value === 'function' ? value() : value
        },
        cost: 0,
        limit: Math.min(limit, perCallLimit),
      }
      if (depth++ === 0) beginWork()
      try {
        const value = planned.step(frame)
        if (value instanceof ErrorValue) return { error: value.message, cost: frame.cost, exceeded: false }
        return { value, cost: frame.cost, exceeded: false }
      } catch (e) {
        if (e instanceof CostExceeded) return { error: e.message, cost: frame.cost, exceeded: true }
        if (e instanceof Pending) return { error: e.message, cost: frame.cost, exceeded: false, pending: e.until }
        // A value that is not what its type says, or a stack or string that grew too large.
        return { error: `internal error: ${(e as Error).message}`, cost: frame.cost, exceeded: false }
      } finally {
        depth--
      }
    },
    estimate: () => (range ??= estimate(expr, environment.functions, environment.sizes)),
  }
}
