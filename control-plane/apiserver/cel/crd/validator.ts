/** Rules of a schema judge objects: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go. */
import { duplicate, forbidden, invalid, invalidAt, Path, required, type FieldError } from '#shared/machinery/field.ts'
import { keyOfItem, ratchets, type Correlation } from '#shared/machinery/structural/ratchet.ts'
import type { JsonSchema, RulesValidator } from '#shared/machinery/structural/schema.ts'
import { maxMessageExpressionBytes, none, Optional, runtimeCostBudget, type Bindings, type Outcome } from '../cel.ts'
import type { Declared } from '../schema/declared.ts'
import { declare } from '../schema/structural.ts'
import { ruleText, compileRule, type CompiledRule } from './rule.ts'

/** The rules of a part of a schema and below; there is none where there are no rules. */
interface Rules {
  readonly schema: JsonSchema
  readonly declared: Declared | undefined
  readonly compiled: readonly CompiledRule[]
  readonly items: Rules | undefined
  readonly rest: Rules | undefined
  readonly properties: ReadonlyMap<string, Rules>
  readonly allOf: readonly Rules[]
}

/** Undefined when the schema has no rules. */
export function rulesOf(schema: JsonSchema): RulesValidator | undefined {
  const rules = rulesBelow(schema, schema, declare(schema, 'selfType', true))
  if (!rules) return undefined
  return (object, old, warn) => {
    const run: Run = { errors: [], budget: runtimeCostBudget, warn }
    judge(run, rules, undefined, object, old, { schema, now: object, old }, undefined)
    return run.errors
  }
}

/** The rules of a schema that its default breaks, both where it was there before and where it comes anew; `at` is of the default. */
export function brokenByDefault(schema: JsonSchema, at: Path): FieldError[] {
  const rules = rulesBelow(schema, schema, declare(schema, 'selfType', nested(schema)))
  if (!rules) return []
  const { default: value } = schema
  const judged = (old: unknown): FieldError[] => {
    const run: Run = { errors: [], budget: runtimeCostBudget }
    judge(run, rules, at, value, old, undefined, undefined)
    return run.errors
  }
  const errors = judged(value)
  return errors.length > 0 ? errors : judged(undefined)
}

const nested = (schema: JsonSchema): boolean => schema['x-kubernetes-embedded-resource'] === true

/** `says` has the rules: the schema itself or one of its `allOf`, which follows its structure. */
function rulesBelow(says: JsonSchema, schema: JsonSchema, declared: Declared | undefined): Rules | undefined {
  const compiled = declared ? (says['x-kubernetes-validations'] ?? []).map(r => compileRule(r, declared, schema)) : []
  const items = says.items && schema.items ? rulesBelow(says.items, schema.items, declared?.element) : undefined
  const [mine, theirs] = [says.additionalProperties, schema.additionalProperties]
  const rest = typeof mine === 'object' && typeof theirs === 'object' ? rulesBelow(mine, theirs, declared?.element) : undefined
  const properties = new Map<string, Rules>()
  for (const [name, inner] of Object.entries(says.properties ?? {})) {
    const own = schema.properties && Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined
    // What no expression can name has its own rules nevertheless.
    const field = own && (fieldOf(declared, name) ?? declare(own, `selfType.${name}`, nested(own)))
    const below = own && field && rulesBelow(inner, own, field)
    if (below) properties.set(name, below)
  }
  const allOf = (says.allOf ?? []).flatMap(one => rulesBelow(one, schema, declared) ?? [])
  if (compiled.length === 0 && !items && !rest && properties.size === 0 && allOf.length === 0) return undefined
  return { schema, declared, compiled, items, rest, properties, allOf }
}

const fieldOf = (declared: Declared | undefined, name: string): Declared | undefined => declared?.fields?.get(name)

interface Run {
  readonly errors: FieldError[]
  /** Below 0 nothing more is judged. */
  budget: number
  /** Is told what a change breaks and has not touched. */
  readonly warn?: ((text: string) => void) | undefined
}

type Values = Readonly<Record<string, unknown>>
const isObject = (value: unknown): value is Values => typeof value === 'object' && value !== null && !Array.isArray(value)

function judge(
  run: Run,
  rules: Rules,
  path: Path | undefined,
  value: unknown,
  old: unknown,
  correlation: Correlation | undefined,
  parent: Correlation | undefined,
): void {
  if (value === null || value === undefined) return
  judgeValue(run, rules, path, value, old, correlation ?? parent)
  for (const one of rules.allOf) if (run.budget >= 0) judge(run, one, path, value, old, undefined, parent)
  const below = (inner: Rules | undefined, at: Path, v: unknown, before: unknown, next: Correlation | undefined): void => {
    if (inner && run.budget >= 0) judge(run, inner, at, v, before, next, correlation ?? parent)
  }
  const { schema } = rules
  const here = path ?? new Path()
  if (Array.isArray(value)) {
    if (!rules.items) return
    const olds = schema['x-kubernetes-list-type'] === 'map' && Array.isArray(old) ? itemsByKey(schema, old) : undefined
    for (const [i, item] of value.entries()) {
      const before = olds?.get(keyOfItem(schema, item))
      below(
        rules.items,
        here.index(i),
        item,
        before,
        correlation && before !== undefined ? { schema: schema.items, now: item, old: before } : undefined,
      )
    }
  } else if (isObject(value)) {
    if (!rules.rest && rules.properties.size === 0) return
    const olds = isObject(old) ? old : {}
    for (const [name, v] of Object.entries(value)) {
      const own = rules.properties.get(name)
      if (!own && !rules.rest) continue
      const before = Object.hasOwn(olds, name) ? olds[name] : undefined
      const inner = schema.properties?.[name] ?? (typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined)
      const next = correlation && before !== undefined && inner ? { schema: inner, now: v, old: before } : undefined
      const at = own ? here.child(name) : here.key(name)
      // Both objects are of the version that was asked for: what these were cannot be told.
      if (own && correlation && !parent && (name === 'apiVersion' || name === 'kind')) {
        if (run.budget >= 0) judge(run, own, at, v, before, undefined, undefined)
      } else below(own ?? rules.rest, at, v, before, next)
    }
  }
}

const itemsByKey = (schema: JsonSchema, items: readonly unknown[]): Map<string, unknown> =>
  new Map(items.map(item => [keyOfItem(schema, item), item]))

const outOfBudget = 'validation failed due to running out of cost budget, no further validation rules will be run'

function judgeValue(
  run: Run,
  rules: Rules,
  path: Path | undefined,
  value: unknown,
  old: unknown,
  correlation: Correlation | undefined,
): void {
  const { compiled, declared, schema } = rules
  if (compiled.length === 0 || !declared) return
  const type = schema.type ?? ''
  const wrong = (message: string): void => void run.errors.push(at(path, p => invalid(p, type, message)))
  if (run.budget <= 0) {
    wrong(outOfBudget)
    run.budget = -1
    return
  }
  const self = declared.adapt(value)
  const hasOld = old !== undefined && old !== null
  const before = hasOld ? declared.adapt(old) : undefined
  for (const one of compiled) {
    const { rule, program, usesOldSelf } = one
    if (one.error !== undefined) {
      wrong(`rule compile error: ${one.error}`)
      continue
    }
    if (!program || (usesOldSelf && !hasOld && !rule.optionalOldSelf)) continue
    const oldSelf = rule.optionalOldSelf ? (before === undefined ? none : new Optional(before)) : before
    const bindings: Bindings = oldSelf === undefined ? { self } : { self, oldSelf }
    const outcome = program.evaluate(bindings)
    if (outcome.cost > run.budget) {
      wrong(outOfBudget)
      run.budget = -1
      return
    }
    run.budget -= outcome.cost
    if (outcome.error !== undefined) {
      wrong(failure(outcome, ruleText(rule)))
      if (outcome.exceeded) run.budget = -1
      if (run.budget < 0) return
      continue
    }
    if (outcome.value === true) continue
    const detail = messageFor(run, one, bindings)
    const error = at(path, p => broken(one, p, value, type, detail))
    if (!usesOldSelf && correlation && ratchets(correlation) && !('failed' in detail)) run.warn?.(`${error.field}: ${error.message}`)
    else run.errors.push(error)
    if (run.budget < 0) return
  }
}

/** What the root is called. */
const nothing = new Path('<nil>')
function at(path: Path | undefined, make: (path: Path) => FieldError): FieldError {
  return make(path ?? nothing)
}

function failure({ error, exceeded }: Outcome & { error: string }, text: string): string {
  if (error.startsWith('no such overload'))
    return `'${error}': call arguments did not match a supported operator, function or macro signature for rule: ${text}`
  if (exceeded) return `'${error}': no further validation rules will be run due to call cost exceeds limit for rule: ${text}`
  return `${error} evaluating rule: ${text}`
}

/** What is said of a broken rule: a text, or why there can be none, after which nothing more is judged. */
type Detail = { readonly text: string } | { readonly failed: string }

function messageFor(run: Run, { rule, message }: CompiledRule, bindings: Bindings): Detail {
  const plain = { text: rule.message ? rule.message.trim() : `failed rule: ${ruleText(rule)}` }
  if (!message) return plain
  const outcome = message.evaluate(bindings)
  if (outcome.cost > run.budget) {
    run.budget = -1
    return { failed: 'messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run' }
  }
  if (outcome.exceeded) {
    run.budget = -1
    const expression = JSON.stringify(rule.messageExpression)
    return { failed: `no further validation rules will be run due to call cost exceeds limit for messageExpression: ${expression}` }
  }
  run.budget -= outcome.cost
  const text = typeof outcome.value === 'string' ? outcome.value.trim() : ''
  return text === '' || Buffer.byteLength(text) > maxMessageExpressionBytes || text.includes('\n') ? plain : { text }
}

function broken({ rule, fieldPath }: CompiledRule, path: Path, value: unknown, type: string, detail: Detail): FieldError {
  const here = fieldPath === undefined ? path : path === nothing ? new Path(fieldPath) : path.child(fieldPath)
  if ('failed' in detail) return invalid(here, type, detail.failed)
  const hidden = type === 'object' || type === 'array'
  switch (rule.reason) {
    case 'FieldValueForbidden':
      return forbidden(here, detail.text)
    case 'FieldValueRequired':
      return required(here, detail.text)
    case 'FieldValueDuplicate':
      return hidden ? { reason: 'FieldValueDuplicate', field: String(here), message: 'Duplicate value' } : duplicate(here, value)
    default:
      return hidden ? invalidAt(here, detail.text) : invalid(here, value, detail.text)
  }
}
