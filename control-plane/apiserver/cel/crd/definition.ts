/**
 * What is wrong with the rules of a definition's schema, and whether they could cost too much:
 * k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation.
 */
import { forbidden, invalid, type FieldError, type Path } from '#shared/machinery/field.ts'
import type { JsonSchema, ValidationRule } from '#shared/machinery/structural/schema.ts'
import { fieldPathOf } from './fieldpath.ts'
import type { Declared } from '../schema/declared.ts'
import { declare } from '../schema/structural.ts'
import { compileRule, type CompiledRule } from './rule.ts'
import { brokenByDefault } from './validator.ts'

/** Estimated, of one rule for all that one object may hold. */
const ruleCostLimit = 10_000_000
/** Of all rules of one schema. */
const schemaCostLimit = 100_000_000
const maxRequestBytes = 3 * 1024 * 1024

interface Cost {
  readonly path: Path
  readonly cost: number
}
interface Walk {
  readonly errors: FieldError[]
  readonly costs: Cost[]
  /** The schema was stored like this before: single rules may be as dear as they were. */
  readonly unchanged: boolean
  /** The fields of what else is wrong. */
  readonly wrong: readonly string[]
}

/**
 * Of a structural schema. `at` is of `openAPIV3Schema`; `unchanged` says that it is stored already. Where something else is wrong, at the
 * level of a rule or below, it is not judged.
 */
export function checkRules(schema: JsonSchema, at: Path, unchanged: boolean, beside: readonly FieldError[] = []): FieldError[] {
  const walk: Walk = { errors: [], costs: [], unchanged, wrong: beside.map(e => e.field) }
  check(walk, schema, at, { declared: undefined, root: true, cardinality: 1, uncorrelated: undefined })
  const total = walk.costs.reduce((sum, { cost }) => sum + cost, 0)
  if (total > schemaCostLimit) {
    const dearest = walk.costs.filter(({ cost }) => cost >= schemaCostLimit / 100).sort((a, b) => b.cost - a.cost)
    for (const { path } of dearest.slice(0, 4))
      walk.errors.push(forbidden(path, 'contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema'))
    const name = 'x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema'
    walk.errors.push(forbidden(at, tooDear(name, total / schemaCostLimit)))
  }
  return walk.errors
}

/** Defaults keep to the rules. Of a schema whose rules are right; `at` is of `openAPIV3Schema`. */
export function checkDefaults(schema: JsonSchema, at: Path): FieldError[] {
  const { items, properties = {} } = schema
  return [
    ...(schema.default === undefined ? [] : brokenByDefault(schema, at.child('default'))),
    ...(items ? checkDefaults(items, at.child('items')) : []),
    ...Object.entries(properties).flatMap(([name, inner]) => checkDefaults(inner, at.child('properties').key(name))),
  ]
}

interface Place {
  /** Known where there are rules around. */
  readonly declared: Declared | undefined
  readonly root: boolean
  /** How many of these there may be in one object, undefined when nothing says so. */
  readonly cardinality: number | undefined
  /** The list or object around whose parts cannot be told from what they were. */
  readonly uncorrelated: Path | undefined
}

function check(walk: Walk, schema: JsonSchema, at: Path, place: Place): void {
  const rules = schema['x-kubernetes-validations'] ?? []
  const declared = place.declared ?? (rules.length > 0 ? declareHere(schema, place) : undefined)
  const { additionalProperties: rest, items } = schema
  const count = countOf(schema)
  const cardinality = place.cardinality === undefined || count === undefined ? undefined : place.cardinality * count
  const below = { root: false, cardinality, uncorrelated: place.uncorrelated }
  if (typeof rest === 'object') check(walk, rest, at.child('additionalProperties'), { ...below, declared: declared?.element })
  const { 'x-kubernetes-map-type': mapType = 'granular' } = schema
  const uncorrelated = mapType === 'granular' || mapType === 'atomic' ? place.uncorrelated : (place.uncorrelated ?? at)
  for (const [name, inner] of Object.entries(schema.properties ?? {}))
    check(walk, inner, at.child('properties').key(name), {
      ...below,
      uncorrelated,
      declared: declared?.fields?.get(name),
    })
  if (items) {
    const uncorrelated = schema['x-kubernetes-list-type'] === 'map' ? place.uncorrelated : (place.uncorrelated ?? at)
    check(walk, items, at.child('items'), { ...below, uncorrelated, declared: declared?.element })
  }
  const here = at.child('x-kubernetes-validations')
  if (rules.length === 0 || walk.wrong.some(field => field.startsWith(String(at)))) return
  rules.forEach((rule, i) => {
    const errors = declared ? checkRule(walk, rule, schema, declared, here.index(i), place) : []
    walk.errors.push(...errors)
  })
}

const declareHere = (schema: JsonSchema, { root }: Place): Declared | undefined =>
  declare(schema, 'selfType', root || schema['x-kubernetes-embedded-resource'] === true)

/** How many parts there are below one such value. */
function countOf(schema: JsonSchema): number | undefined {
  if (schema.type === 'array') return schema.maxItems
  return schema.type === 'object' && schema.additionalProperties !== undefined ? schema.maxProperties : 1
}

function checkRule(walk: Walk, rule: ValidationRule, schema: JsonSchema, declared: Declared, at: Path, place: Place): FieldError[] {
  const compiled = compileRule(rule, declared, schema)
  const errors: FieldError[] = []
  const most = place.cardinality ?? Math.floor(maxRequestBytes / (declared.minSize + 1))
  const weigh = (cost: number, name: string, path: Path): void => {
    if (cost > ruleCostLimit && !walk.unchanged) errors.push(forbidden(path, tooDear(name, cost / ruleCostLimit)))
    walk.costs.push({ path, cost })
  }
  const ruleAt = at.child('rule')
  weigh((compiled.program?.estimate().max ?? 0) * most, 'estimated rule cost', ruleAt)
  if (compiled.error !== undefined) errors.push(whole(ruleAt, rule, compiled.error))
  const messageAt = at.child('messageExpression')
  if (compiled.messageError !== undefined) errors.push(whole(messageAt, rule, compiled.messageError))
  else if (compiled.message) weigh(compiled.message.estimate().max, 'estimated messageExpression cost', messageAt)
  errors.push(...checkOldSelf(compiled, at, place))
  return errors
}

function checkOldSelf({ rule, usesOldSelf }: CompiledRule, at: Path, { uncorrelated }: Place): FieldError[] {
  if (!usesOldSelf)
    return rule.optionalOldSelf === undefined
      ? []
      : [invalid(at.child('optionalOldSelf'), rule.optionalOldSelf, 'may not be set if oldSelf is not used in rule')]
  if (!uncorrelated) return []
  const why = `oldSelf cannot be used on the uncorrelatable portion of the schema within ${String(uncorrelated)}`
  return [invalid(at.child('rule'), rule.rule, why)]
}

function tooDear(name: string, factor: number): string {
  const shown = factor > 100 ? 'more than 100x' : factor < 1.5 ? `${factor.toFixed(6)}x` : `${factor.toFixed(1)}x`
  return `${name} exceeds budget by factor of ${shown} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`
}

/** The rule as JSON of upstream's struct, which has no names of its own there: that is what its message has. */
function whole(at: Path, rule: ValidationRule, detail: string): FieldError {
  const { message = '', messageExpression = '', reason = null, fieldPath = '', optionalOldSelf = null } = rule
  const shown = {
    Rule: rule.rule ?? '',
    Message: message,
    MessageExpression: messageExpression,
    Reason: reason,
    FieldPath: fieldPath,
    OptionalOldSelf: optionalOldSelf,
  }
  return invalid(at, shown, detail)
}

/** Whether the field paths of rules fit their schemas. */
export function checkFieldPaths(schema: JsonSchema, at: Path): FieldError[] {
  const errors = (schema['x-kubernetes-validations'] ?? []).flatMap(({ fieldPath }, i) => {
    if (!fieldPath) return []
    const here = at.child('x-kubernetes-validations').index(i).child('fieldPath')
    const wrong: FieldError[] = []
    if (fieldPath.trim() === '') wrong.push(invalid(here, fieldPath, 'must be non-empty if specified'))
    if (/[\n\r]/.test(fieldPath)) wrong.push(invalid(here, fieldPath, 'must not contain line breaks'))
    if (fieldPathOf(fieldPath, schema) === undefined) wrong.push(invalid(here, fieldPath, 'must be a valid path'))
    return wrong
  })
  const { additionalProperties: rest, items, properties = {} } = schema
  if (typeof rest === 'object') errors.push(...checkFieldPaths(rest, at.child('additionalProperties')))
  for (const [name, inner] of Object.entries(properties)) errors.push(...checkFieldPaths(inner, at.child('properties').key(name)))
  if (items) errors.push(...checkFieldPaths(items, at.child('items')))
  return errors
}
