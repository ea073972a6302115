/**
 * What is wrong with an object by its structural schema, in the words of k8s.io/kube-openapi/pkg/validation as
 * k8s.io/apiextensions-apiserver turns them into field errors.
 */
import {
  counted,
  countErrors,
  duplicate,
  findErrors,
  forgetErrors,
  invalid,
  notListed,
  Path,
  required,
  tooLong,
  tooMany,
  typeInvalid,
  type FieldError,
} from '../field.ts'
import { equal } from '../managedfields/compare.ts'
import { hasFormat, isFormat } from './formats.ts'
import { isObject, isTypeMeta, type Node, type Values } from './plan.ts'
import { ratchets } from './ratchet.ts'
import type { JsonSchema } from './schema.ts'

/**
 * All errors, in the order of the schema. `path` is `''` for the root. What was wrong in `old` already, and is as it was, is no error
 * (CRDValidationRatcheting): `undefined` is a value that nothing can be compared with.
 */
export function validateStructural(node: Node, value: unknown, path = '', old?: unknown): FieldError[] {
  const errors: FieldError[] = []
  check(node, value, old, path, errors)
  return errors
}

const at = (path: string): Path => new Path(path)
const child = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`)

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  // Upstream takes a float64 for an integer where it holds every one up to it.
  if (typeof value === 'number') return Number.isSafeInteger(value) ? 'integer' : 'number'
  if (typeof value === 'bigint') return 'integer'
  return typeof value
}

/** How many checks a value passed: of several schemas of which none fits, upstream tells of the one that came closest. */
type Passed = number

function check(node: Node, value: unknown, old: unknown, path: string, errors: FieldError[]): Passed {
  const before = errors.length
  const countedBefore = countErrors()
  const passed = checkValue(node, value, old, path, errors)
  if (errors.length === before || old === undefined || !ratchets({ schema: node.schema, now: value, old })) return passed
  errors.length = before
  forgetErrors(countedBefore)
  return passed
}

function checkValue(node: Node, value: unknown, old: unknown, path: string, errors: FieldError[]): Passed {
  const { schema } = node
  if (value === null) {
    const typed = node.intOrString || schema.type !== undefined
    const refused = typed && !schema.nullable
    if (refused) wrongType(path, typesOf(node), 'null', errors)
    checkEnum(schema, value, path, errors)
    return refused ? 0 : 1
  }
  let passed = checkType(node, value, path, errors) + checkCombinations(node, value, path, errors)
  if (typeof value === 'string') {
    checkString(node, value, path, errors)
    passed++
    if (schema.format !== undefined && isFormat(schema.format)) passed++
  } else if (typeof value === 'number' || typeof value === 'bigint') {
    checkNumber(node, value, path, errors)
    passed += 2
  } else if (Array.isArray(value)) passed += 2 + checkList(node, value, old, path, errors)
  checkEnum(schema, value, path, errors)
  if (isObject(value)) passed += 1 + checkObject(node, value, old, path, errors)
  // One of the enumeration and one of the whole.
  return passed + 2
}

const typesOf = ({ intOrString, schema }: Node): string => (intOrString ? 'integer,string' : (schema.type ?? ''))

function wrongType(path: string, want: string, is: string, errors: FieldError[]): void {
  errors.push(typeInvalid(at(path), is, `${path} in body must be of type ${want}: ${JSON.stringify(is)}`))
}

/** What upstream calls the formats of JSON's values. */
const valueFormats: Readonly<Record<string, string>> = { integer: 'int64', number: 'float64' }

/** A wrong type is told, and all else is judged nevertheless. A format hides its type: that of texts lets lists pass, too. */
function checkType(node: Node, value: unknown, path: string, errors: FieldError[]): Passed {
  const { schema, intOrString } = node
  const { type, format } = schema
  if (type === undefined && !intOrString && format === undefined) return 0
  const is = typeOf(value)
  const fits = intOrString ? is === 'integer' || is === 'string' : is === type || (is === 'integer' && type === 'number')
  if (fits) return 2
  if (format !== undefined && isFormat(format)) {
    const mine = valueFormats[is] ?? ''
    if (is !== 'string' && is !== 'array') {
      if (mine === format) return 2
      wrongType(path, format, mine, errors)
      return 1
    }
    if (type !== 'number' && type !== 'integer' && !intOrString) return 2
  } else if (type === undefined && !intOrString) return 2
  wrongType(path, typesOf(node), is, errors)
  return 1
}

function checkEnum(schema: JsonSchema, value: unknown, path: string, errors: FieldError[]): void {
  if (!schema.enum || (value !== null && schema.enum.some(one => equal(one, value)))) return
  const listed = schema.enum.map(one => (typeof one === 'string' ? one : JSON.stringify(one)))
  errors.push(notListed(at(path), value, listed))
}

function checkString({ schema, matches }: Node, value: string, path: string, errors: FieldError[]): void {
  const wrong = (why: string): number => errors.push(invalid(at(path), value, `${path} in body ${why}`))
  const { minLength, maxLength, format, pattern } = schema
  let tooLongOrShort = false
  if (minLength !== undefined || maxLength !== undefined) {
    const length = [...value].length
    tooLongOrShort = (maxLength !== undefined && length > maxLength) || (minLength !== undefined && length < minLength)
    if (maxLength !== undefined && length > maxLength) errors.push(tooLong(at(path), maxLength))
    else if (tooLongOrShort) wrong(`should be at least ${minLength} chars long`)
  }
  if (!tooLongOrShort && matches && !matches(value)) wrong(`should match '${pattern}'`)
  if (format !== undefined && !hasFormat(format, value))
    errors.push(typeInvalid(at(path), value, `${path} in body must be of type ${format}: ${JSON.stringify(value)}`))
}

function checkNumber({ schema }: Node, value: number | bigint, path: string, errors: FieldError[]): void {
  const wrong = (why: string): number => errors.push(invalid(at(path), value, `${path} in body ${why}`))
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = schema
  if (multipleOf !== undefined && !isMultiple(value, multipleOf)) wrong(`should be a multiple of ${multipleOf}`)
  if (maximum !== undefined && (exclusiveMaximum ? value >= maximum : value > maximum))
    wrong(`should be less than ${exclusiveMaximum ? '' : 'or equal to '}${maximum}`)
  if (minimum !== undefined && (exclusiveMinimum ? value <= minimum : value < minimum))
    wrong(`should be greater than ${exclusiveMinimum ? '' : 'or equal to '}${minimum}`)
}

function isMultiple(value: number | bigint, of: number): boolean {
  if (typeof value === 'bigint') return Number.isInteger(of) && value % BigInt(of) === 0n
  const times = value / of
  return Math.abs(times - Math.round(times)) <= Number.EPSILON * Math.max(1, Math.abs(times))
}

function checkList(node: Node, value: readonly unknown[], old: unknown, path: string, errors: FieldError[]): Passed {
  const { schema, item } = node
  let passed = 0
  if (item) {
    const former = correlated(node, old)
    value.forEach((inner, i) => (passed += check(item, inner, former?.(inner), `${path}[${i}]`, errors)))
  }
  const { minItems, maxItems } = schema
  if (minItems !== undefined && value.length < minItems)
    errors.push(invalid(at(path), value.length, `${path} in body should have at least ${minItems} items`))
  if (maxItems !== undefined && value.length > maxItems) errors.push(tooMany(at(path), value.length, maxItems))
  if (schema.uniqueItems && repeated(value, canonical).length > 0)
    errors.push(invalid(at(path), value, `${path} in body shouldn't contain duplicates`))
  return passed
}

/** Finds the former value of an item by its keys, in a list of type map; items of other lists have none. */
function correlated(node: Node, old: unknown): ((item: unknown) => unknown) | undefined {
  if (!Array.isArray(old) || node.schema['x-kubernetes-list-type'] !== 'map') return undefined
  const byKeys = new Map(old.map(item => [canonical(keysOf(node, item)), item as unknown]))
  return item => byKeys.get(canonical(keysOf(node, item)))
}

/** Items that a list of type set or map has twice, and what has no keys. Walks the whole value. */
export function validateLists(node: Node, value: unknown, path = ''): FieldError[] {
  if (Array.isArray(value)) {
    const { item } = node
    const errors = listErrors(node, value, at(path))
    return item ? [...errors, ...value.flatMap((inner, i) => validateLists(item, inner, `${path}[${i}]`))] : errors
  }
  if (!node.lists || !isObject(value)) return []
  return Object.keys(value).flatMap(name => {
    const field = node.fields.get(name)
    const below = field ?? node.rest
    return below ? validateLists(below, value[name], field ? child(path, name) : `${path}[${name}]`) : []
  })
}

function listErrors(node: Node, items: readonly unknown[], here: Path): FieldError[] {
  const listType = node.schema['x-kubernetes-list-type']
  if (listType === 'set') return repeated(items, canonical).map(i => duplicate(here.index(i), items[i]))
  if (listType !== 'map') return []
  const other = items.findIndex(item => item !== null && !isObject(item))
  if (other >= 0) return [invalid(here.index(other), items[other], 'must be an object for an array of list-type map')]
  return repeated(items, item => canonical(keysOf(node, item))).map(i => duplicate(here.index(i), keysOf(node, items[i])))
}

const keysOf = ({ listKeys }: Node, item: unknown): Values =>
  Object.fromEntries(listKeys.flatMap(name => (isObject(item) && item[name] !== undefined ? [[name, item[name]]] : [])))

/** JSON with the members in order. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) => (isObject(inner) ? Object.fromEntries(Object.entries(inner).sort()) : inner))

/** Where values are for the second time. */
function repeated(items: readonly unknown[], key: (item: unknown) => string): number[] {
  if (items.length < 2) return []
  const times = new Map<string, number>()
  return items.flatMap((item, i) => {
    const text = key(item)
    const n = (times.get(text) ?? 0) + 1
    times.set(text, n)
    return n === 2 ? [i] : []
  })
}

function checkObject(node: Node, value: Values, old: unknown, path: string, errors: FieldError[]): Passed {
  const { schema, fields, rest } = node
  const names = Object.keys(value).filter(name => value[name] !== undefined)
  const { minProperties, maxProperties } = schema
  if (minProperties !== undefined && names.length < minProperties)
    errors.push(invalid(at(path), names.length, `${path} in body should have at least ${minProperties} properties`))
  if (maxProperties !== undefined && names.length > maxProperties) errors.push(tooMany(at(path), names.length, maxProperties))
  for (const name of schema.required ?? []) if (value[name] === undefined) errors.push(required(at(child(path, name))))
  const former = isObject(old) ? old : undefined
  let passed = 0
  for (const name of names) {
    if (node.embedded && isTypeMeta(name) && !fields.has(name)) continue
    const below = fields.get(name) ?? rest
    // Kind and version of the object itself are those of the request: what the old one had cannot be told.
    const before = path === '' && isTypeMeta(name) ? undefined : former?.[name]
    if (below) passed += check(below, value[name], before, child(path, name), errors)
  }
  return passed
}

/** Whether one of several schemas is right for a value, what is wrong by it, and how close it came. */
interface Alternative {
  readonly errors: readonly FieldError[]
  readonly passed: Passed
}

/**
 * Upstream loses the place of what it says of the schemas themselves: their field is no path. With it comes what the closest of those that
 * do not fit says.
 */
function checkCombinations(node: Node, value: unknown, path: string, errors: FieldError[]): Passed {
  const { allOf, anyOf, oneOf, not } = node
  let passed = 1
  if (allOf.length + anyOf.length + oneOf.length === 0 && !not) return passed
  const wrong = (why: string): void => void errors.push(invalid(at('<nil>'), '', `${JSON.stringify(path)} must ${why}`))
  const merge = ({ errors: more, passed: p }: Alternative): void => {
    const isNew = (e: FieldError): boolean => !errors.some(other => other.message === e.message && other.field === e.field)
    for (const e of more) if (isNew(e)) errors.push(counted(e))
    passed += p
  }
  const attempt = (one: Node): Alternative => {
    let p = 0
    const found = findErrors(() => {
      const mine: FieldError[] = []
      p = check(one, value, undefined, path, mine)
      return mine
    })
    return { errors: found, passed: p }
  }
  const closest = (alternatives: readonly Alternative[]): Alternative =>
    alternatives.reduce((best, one) => (one.passed > best.passed ? one : best))

  if (anyOf.length > 0) {
    const tried: Alternative[] = []
    let fits: Alternative | undefined
    for (const one of anyOf) {
      const alternative = attempt(one)
      if (alternative.errors.length > 0) tried.push(alternative)
      else if ((fits = alternative)) break
    }
    if (!fits) wrong('validate at least one schema (anyOf)')
    merge(fits ?? closest(tried))
  }
  if (oneOf.length > 0) {
    const alternatives = oneOf.map(attempt)
    const fits = alternatives.filter(one => one.errors.length === 0)
    if (fits.length === 1) merge(fits[0]!)
    else {
      const count = fits.length === 0 ? 'Found none valid' : `Found ${fits.length} valid alternatives`
      wrong(`validate one and only one schema (oneOf). ${count}`)
      if (fits.length === 0) merge(closest(alternatives))
    }
  }
  if (allOf.length > 0) {
    const alternatives = allOf.map(attempt)
    alternatives.forEach(merge)
    const fits = alternatives.filter(one => one.errors.length === 0).length
    if (fits < allOf.length) wrong(`validate all the schemas (allOf)${fits === 0 ? '. None validated' : ''}`)
  }
  if (not && attempt(not).errors.length === 0) wrong('not validate the schema (not)')
  return passed
}
