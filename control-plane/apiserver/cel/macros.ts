/**
 * Macros: calls that the parser turns into loops and tests. https://github.com/google/cel-spec/blob/master/doc/langdef.md#macros, those of
 * two variables and of optional values as github.com/google/cel-go has them.
 */
import type { Expr } from './ast.ts'
import type { Value } from './values.ts'

/** Cannot be written in an expression. */
export const accumulator = '@result'
/** What optMap is called on. */
export const optionalValue = '@optional'
const sortInput = '@__sortBy_input__'
const unused = '#unused'

interface Wrong {
  readonly at: number
  readonly message: string
}
class MacroError extends Error {
  readonly at: number
  constructor(at: number, message: string) {
    super(message)
    this.at = at
  }
}

/** What a call stands for; undefined when it is no macro. `bindings`: whether cel.bind is one. */
export function expand(
  name: string,
  target: Expr | undefined,
  args: readonly Expr[],
  at: number,
  bindings: boolean,
): Expr | Wrong | undefined {
  const isBind = bindings && name === 'bind' && args.length === 3 && target?.kind === 'ident' && target.name === 'cel'
  const macro = isBind ? bind : target ? memberMacros.get(`${name}:${args.length}`) : name === 'has' && args.length === 1 ? has : undefined
  if (!macro) return undefined
  try {
    return macro(new Builder(at), target!, args)
  } catch (e) {
    if (!(e instanceof MacroError)) throw e
    return { at: e.at < 0 ? at : e.at, message: e.message }
  }
}

type Macro = (b: Builder, target: Expr, args: readonly Expr[]) => Expr

const deepest = (...parts: readonly (Expr | undefined)[]): number => 1 + Math.max(...parts.map(p => p?.depth ?? 0))

/** Nodes that stand where the macro was called. */
class Builder {
  readonly at: number
  constructor(at: number) {
    this.at = at
  }
  literal(value: Value): Expr {
    return { kind: 'literal', value, at: this.at, depth: 0 }
  }
  ident(name: string): Expr {
    return { kind: 'ident', name, at: this.at, depth: 0 }
  }
  get result(): Expr {
    return this.ident(accumulator)
  }
  call(name: string, ...args: Expr[]): Expr {
    return { kind: 'call', name, target: undefined, args, at: this.at, depth: deepest(...args) }
  }
  member(name: string, target: Expr, ...args: Expr[]): Expr {
    return { kind: 'call', name, target, args, at: this.at, depth: deepest(target, ...args) }
  }
  list(...values: Expr[]): Expr {
    return { kind: 'list', items: values.map(value => ({ value, optional: false })), at: this.at, depth: deepest(...values, undefined) }
  }
  emptyMap(): Expr {
    return { kind: 'map', entries: [], at: this.at, depth: 1 }
  }
  loop(range: Expr, variables: readonly string[], initial: Expr, condition: Expr, step: Expr, result: Expr): Expr {
    const [variable, variable2] = variables as [string, string | undefined]
    const depth = deepest(range, initial, condition, step, result)
    return { kind: 'comprehension', range, variable, variable2, accumulator, initial, condition, step, result, at: this.at, depth }
  }
  /** `name` is `value` in `result`. */
  bind(name: string, value: Expr, result: Expr): Expr {
    const depth = deepest(value, result)
    const [range, condition, step] = [this.list(), this.literal(false), this.ident(name)]
    const names = { variable: unused, variable2: undefined, accumulator: name }
    return { kind: 'comprehension', range, ...names, initial: value, condition, step, result, at: this.at, depth }
  }
}

function variableOf(e: Expr, otherwise: string): string {
  if (e.kind !== 'ident') throw new MacroError(e.at, otherwise)
  if (e.name === '__result__' || e.name.startsWith('.')) throw new MacroError(e.at, 'iteration variable overwrites accumulator variable')
  return e.name
}
const simpleName = (e: Expr): string => variableOf(e, 'argument must be a simple name')

function twoNames(args: readonly Expr[]): string[] {
  const names = [simpleName(args[0]!), simpleName(args[1]!)]
  if (names[0] === names[1]) throw new MacroError(args[1]!.at, `duplicate variable name: ${names[0]}`)
  return names
}

const has: Macro = (b, _target, [of]) => {
  if (of!.kind !== 'select') throw new MacroError(of!.at, 'invalid argument to has() macro')
  return { kind: 'select', operand: of!.operand, field: of!.field, test: true, at: b.at, depth: of!.depth }
}

const all = (b: Builder, target: Expr, names: string[], predicate: Expr): Expr =>
  b.loop(target, names, b.literal(true), b.call('@not_strictly_false', b.result), b.call('_&&_', b.result, predicate), b.result)

const exists = (b: Builder, target: Expr, names: string[], predicate: Expr): Expr => {
  const condition = b.call('@not_strictly_false', b.call('!_', b.result))
  return b.loop(target, names, b.literal(false), condition, b.call('_||_', b.result, predicate), b.result)
}

const existsOne = (b: Builder, target: Expr, names: string[], predicate: Expr): Expr => {
  const step = b.call('_?_:_', predicate, b.call('_+_', b.result, b.literal(1n)), b.result)
  return b.loop(target, names, b.literal(0n), b.literal(true), step, b.call('_==_', b.result, b.literal(1n)))
}

/** A list of what `transform` gives for those that pass `filter`. */
const mapped = (b: Builder, target: Expr, names: string[], filter: Expr | undefined, transform: Expr): Expr => {
  const step = b.call('_+_', b.result, b.list(transform))
  return b.loop(target, names, b.list(), b.literal(true), filter ? b.call('_?_:_', filter, step, b.result) : step, b.result)
}

const mapOf = (b: Builder, target: Expr, names: string[], filter: Expr | undefined, ...inserted: Expr[]): Expr => {
  const step = b.call('cel.@mapInsert', b.result, ...inserted)
  return b.loop(target, names, b.emptyMap(), b.literal(true), filter ? b.call('_?_:_', filter, step, b.result) : step, b.result)
}

/** The filter, if there is one, and the last argument. */
const filtered = (args: readonly Expr[], before: number): [Expr | undefined, Expr] =>
  args.length === before + 2 ? [args[before]!, args[before + 1]!] : [undefined, args[before]!]

const notIdent = 'argument is not an identifier'
const map: Macro = (b, target, args) => mapped(b, target, [variableOf(args[0]!, notIdent)], ...filtered(args, 1))
const filter: Macro = (b, target, args) => {
  const name = variableOf(args[0]!, notIdent)
  return mapped(b, target, [name], args[1]!, b.ident(name))
}
const transformList: Macro = (b, target, args) => mapped(b, target, twoNames(args), ...filtered(args, 2))
const transformMap: Macro = (b, target, args) => {
  const names = twoNames(args)
  const [test, value] = filtered(args, 2)
  return mapOf(b, target, names, test, b.ident(names[0]!), value)
}
const transformMapEntry: Macro = (b, target, args) => mapOf(b, target, twoNames(args), ...filtered(args, 2))

/** Sorted by what the second argument says of an element. */
const sortBy: Macro = (b, target, args) => {
  const given = b.ident(sortInput)
  const keys = mapped(b, given, [variableOf(args[0]!, notIdent)], undefined, args[1]!)
  return b.bind(sortInput, target, b.member('@sortByAssociatedKeys', given, keys))
}

/**
 * Upstream writes the target twice, so that nested ones double an expression at every level; here it has a name.
 */
const ofOptional =
  (macro: string, wrap: (b: Builder, e: Expr) => Expr): Macro =>
  (b, target, args) => {
    const variable = args[0]!
    if (variable.kind !== 'ident') throw new MacroError(variable.at, `${macro}() variable name must be a simple identifier`)
    const given = b.ident(optionalValue)
    const inner = wrap(b, b.bind(variable.name, b.member('value', given), args[1]!))
    return b.bind(optionalValue, target, b.call('_?_:_', b.member('hasValue', given), inner, b.call('optional.none')))
  }

const bind: Macro = (b, _target, [variable, value, result]) => {
  if (variable!.kind !== 'ident') throw new MacroError(variable!.at, 'cel.bind() variable names must be simple identifiers')
  return b.bind(variable!.name, value!, result!)
}

const one =
  (make: (b: Builder, target: Expr, names: string[], predicate: Expr) => Expr): Macro =>
  (b, target, args) =>
    make(b, target, [simpleName(args[0]!)], args[1]!)
const two =
  (make: (b: Builder, target: Expr, names: string[], predicate: Expr) => Expr): Macro =>
  (b, target, args) =>
    make(b, target, twoNames(args), args[2]!)

const memberMacros: ReadonlyMap<string, Macro> = new Map([
  ['all:2', one(all)],
  ['exists:2', one(exists)],
  ['exists_one:2', one(existsOne)],
  ['existsOne:2', one(existsOne)],
  ['map:2', map],
  ['map:3', map],
  ['filter:2', filter],
  ['all:3', two(all)],
  ['exists:3', two(exists)],
  ['exists_one:3', two(existsOne)],
  ['existsOne:3', two(existsOne)],
  ['transformList:3', transformList],
  ['transformList:4', transformList],
  ['transformMap:3', transformMap],
  ['transformMap:4', transformMap],
  ['transformMapEntry:3', transformMapEntry],
  ['transformMapEntry:4', transformMapEntry],
  ['sortBy:2', sortBy],
  ['optMap:2', ofOptional('optMap', (b, e) => b.call('optional.of', e))],
  ['optFlatMap:2', ofOptional('optFlatMap', (_, e) => e)],
])
