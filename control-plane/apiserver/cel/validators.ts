/**
 * What upstream's environment looks at in an expression whose types are right: literals of durations, times and regular expressions, and
 * lists and maps whose elements are not all of one type (github.com/google/cel-go/cel/validator.go).
 */
import { partsOf, type Expr } from './ast.ts'
import { maxSeconds, minSeconds, parseDuration, parseTimestamp } from './gotime.ts'
import { checkFormat } from './library/stringformat.ts'
import { matcherOf } from './library/pattern.ts'
import type { CelIssue } from './source.ts'
import { format, isDyn, isOptional, same, type Type } from './types.ts'
import { ErrorValue, type Value } from './values.ts'

/** The list of a format call's arguments may be mixed. */
const exempt: ReadonlySet<string> = new Set(['format'])

export function validateLiterals(expr: Expr, mayMix: boolean): CelIssue[] {
  const errors: CelIssue[] = []
  walk(expr, mayMix, errors)
  return errors
}

const checks: Readonly<Record<string, (v: Value) => boolean>> = {
  duration: v => typeof v !== 'string' || parseDuration(v) !== undefined,
  timestamp: v => (typeof v === 'string' ? parseTimestamp(v) !== undefined : typeof v !== 'bigint' || (v >= minSeconds && v <= maxSeconds)),
  matches: v => typeof v !== 'string' || !(matcherOf(v) instanceof ErrorValue),
}

/** What is wrong with a pattern that is written in a call of find() or findAll(): upstream reads it once, before it is needed. */
export function wrongPattern(e: Expr): string | undefined {
  if (e.kind === 'call' && (e.name === 'find' || e.name === 'findAll') && e.target) {
    const pattern = e.args[0]
    const matcher = pattern?.kind === 'literal' && typeof pattern.value === 'string' ? matcherOf(pattern.value) : undefined
    if (matcher instanceof ErrorValue) return matcher.message
  }
  for (const part of partsOf(e)) {
    const wrong = wrongPattern(part)
    if (wrong !== undefined) return wrong
  }
  return undefined
}

function walk(e: Expr, mayMix: boolean, errors: CelIssue[]): void {
  switch (e.kind) {
    case 'select':
      walk(e.operand, mayMix, errors)
      break
    case 'call': {
      const valid = Object.hasOwn(checks, e.name) ? checks[e.name] : undefined
      // Upstream looks at the first argument, which of a global matches() is the text.
      const first = e.args[0]
      if (valid && first?.kind === 'literal' && !valid(first.value)) errors.push({ at: first.at, message: `invalid ${e.name} argument` })
      if (e.name === 'format' && e.target && e.args.length === 1) checkFormat(e, e.target, e.args[0]!, errors)
      const mixes = mayMix || exempt.has(e.name)
      if (e.target) walk(e.target, mixes, errors)
      for (const arg of e.args) walk(arg, mixes, errors)
      break
    }
    case 'list':
      if (!mayMix)
        oneType(
          e.items.map(i => ({ e: i.value, type: unwrapped(i.value, i.optional) })),
          errors,
        )
      for (const { value } of e.items) walk(value, mayMix, errors)
      break
    case 'map':
      if (!mayMix) {
        oneType(
          e.entries.map(x => ({ e: x.key, type: x.key.type! })),
          errors,
        )
        oneType(
          e.entries.map(x => ({ e: x.value, type: unwrapped(x.value, x.optional) })),
          errors,
        )
      }
      for (const { key, value } of e.entries) {
        walk(key, mayMix, errors)
        walk(value, mayMix, errors)
      }
      break
    case 'struct':
      for (const { value } of e.fields) walk(value, mayMix, errors)
      break
    case 'comprehension':
      for (const part of [e.range, e.initial, e.condition, e.step, e.result]) walk(part, mayMix, errors)
      break
    default:
  }
}

const unwrapped = (e: Expr, optional: boolean): Type => (optional && isOptional(e.type!) ? e.type!.params[0]! : e.type!)

function oneType(items: readonly { e: Expr; type: Type }[], errors: CelIssue[]): void {
  const first = items[0]?.type
  if (first === undefined) return
  const other = items.find(({ type }) => !equivalent(first, type))
  if (other) errors.push({ at: other.e.at, message: `expected type '${format(first)}' but found '${format(other.type)}'` })
}

function equivalent(a: Type, b: Type): boolean {
  if (a.kind !== b.kind || a.name !== b.name || a.params.length !== b.params.length) return false
  return isDyn(a) || same(a, b) || a.params.every((p, i) => equivalent(p, b.params[i]!))
}
