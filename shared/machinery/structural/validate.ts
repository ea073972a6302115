/**
 * What is wrong with an object by its structural schema, in the words of k8s.io/kube-openapi/pkg/validation as
 * k8s.io/apiextensions-apiserver turns them into field errors.
 */
import {
  countErrors,
  duplicate,
  findErrors,
  forgetErrors,
  invalid,
  notSupported,
  Path,
  required,
  tooLong,
  tooMany,
  typeInvalid,
  type FieldError,
} from '../field.ts'
import { equal } from '../managedfields/compare.ts'
import { hasFormat } from './formats.ts'
import { isObject, isTypeMeta, type Node, type Values } from './plan.ts'

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
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value
}

function check(node: Node, value: unknown, old: unknown, path: string, errors: FieldError[]): void {
  const before = errors.length
  const counted = countErrors()
  checkValue(node, value, old, path, errors)
  if (errors.length === before || old === undefined || !equal(old, value)) return
  errors.length = before
  forgetErrors(counted)
}

function checkValue(node: Node, value: unknown, old: unknown, path: string, errors: FieldError[]): void {
  const { schema } = node
  if (value === null && schema.nullable) return
  const is = typeOf(value)
  const want = schema.type
  if (
    node.intOrString ? is !== 'integer' && is !== 'string' : want !== undefined && is !== want && !(want === 'number' && is === 'integer')
  ) {
    const wanted = node.intOrString ? 'integer,string' : want!
    errors.push(typeInvalid(at(path), is, `${path} in body must be of type ${wanted}: ${JSON.stringify(is)}`))
    return
  }
  if (schema.enum && !schema.enum.some(one => equal(one, value)))
    errors.push(
      notSupported(
        at(path),
        value,
        schema.enum.map(one => (typeof one === 'string' ? one : JSON.stringify(one))),
      ),
    )
  if (typeof value === 'string') checkString(node, value, path, errors)
  else if (typeof value === 'number') checkNumber(node, value, path, errors)
  else if (Array.isArray(value)) checkList(node, value, old, path, errors)
  else if (isObject(value)) checkObject(node, value, old, path, errors)
  checkCombinations(node, value, old, path, errors)
}

function checkString({ schema, matches }: Node, value: string, path: string, errors: FieldError[]): void {
  const wrong = (why: string): number => errors.push(invalid(at(path), value, `${path} in body ${why}`))
  const { minLength, maxLength, format, pattern } = schema
  if (minLength !== undefined || maxLength !== undefined) {
    const length = [...value].length
    if (maxLength !== undefined && length > maxLength) errors.push(tooLong(at(path), maxLength))
    if (minLength !== undefined && length < minLength) wrong(`should be at least ${minLength} chars long`)
  }
  if (matches && !matches(value)) wrong(`should match '${pattern}'`)
  if (format !== undefined && !hasFormat(format, value))
    errors.push(typeInvalid(at(path), value, `${path} in body must be of type ${format}: ${JSON.stringify(value)}`))
}

function checkNumber({ schema }: Node, value: number, path: string, errors: FieldError[]): void {
  const wrong = (why: string): number => errors.push(invalid(at(path), value, `${path} in body ${why}`))
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = schema
  if (multipleOf !== undefined && !isMultiple(value, multipleOf)) wrong(`should be a multiple of ${multipleOf}`)
  if (maximum !== undefined && (exclusiveMaximum ? value >= maximum : value > maximum))
    wrong(`should be less than ${exclusiveMaximum ? '' : 'or equal to '}${maximum}`)
  if (minimum !== undefined && (exclusiveMinimum ? value <= minimum : value < minimum))
    wrong(`should be greater than ${exclusiveMinimum ? '' : 'or equal to '}${minimum}`)
}

function isMultiple(value: number, of: number): boolean {
  const times = value / of
  return Math.abs(times - Math.round(times)) <= Number.EPSILON * Math.max(1, Math.abs(times))
}

function checkList(node: Node, value: readonly unknown[], old: unknown, path: string, errors: FieldError[]): void {
  const { schema, item } = node
  const { minItems, maxItems } = schema
  if (minItems !== undefined && value.length < minItems)
    errors.push(invalid(at(path), value.length, `${path} in body should have at least ${minItems} items`))
  if (maxItems !== undefined && value.length > maxItems) errors.push(tooMany(at(path), value.length, maxItems))
  if (schema.uniqueItems && firstRepeated(value, canonical) >= 0)
    errors.push(invalid(at(path), value, `${path} in body shouldn't contain duplicates`))
  if (!item) return
  const former = correlated(node, old)
  value.forEach((inner, i) => check(item, inner, former?.(inner, i), `${path}[${i}]`, errors))
}

/** Finds the former value of an item: by its keys in a list of type map, else by its place; items of sets and atomic lists have none. */
function correlated(node: Node, old: unknown): ((item: unknown, i: number) => unknown) | undefined {
  if (!Array.isArray(old)) return undefined
  const listType = node.schema['x-kubernetes-list-type']
  if (listType === undefined) return (_, i) => old[i]
  if (listType !== 'map') return undefined
  const byKeys = new Map(old.map(item => [canonical(keysOf(node, item)), item as unknown]))
  return item => byKeys.get(canonical(keysOf(node, item)))
}

/** Items that a list of type set or map has twice. Walks the whole value. */
export function validateLists(node: Node, value: unknown, path = ''): FieldError[] {
  if (Array.isArray(value)) {
    const { item } = node
    const errors: FieldError[] = item ? value.flatMap((inner, i) => validateLists(item, inner, `${path}[${i}]`)) : []
    const listType = node.schema['x-kubernetes-list-type']
    if (listType !== 'set' && listType !== 'map') return errors
    const key = listType === 'set' ? canonical : (inner: unknown): string => canonical(keysOf(node, inner))
    const i = firstRepeated(value, key)
    if (i >= 0) errors.push(duplicate(at(path).index(i), listType === 'set' ? value[i] : keysOf(node, value[i])))
    return errors
  }
  if (!node.lists || !isObject(value)) return []
  return Object.keys(value).flatMap(name => {
    const below = node.fields.get(name) ?? node.rest
    return below ? validateLists(below, value[name], child(path, name)) : []
  })
}

const keysOf = ({ listKeys }: Node, item: unknown): Values =>
  Object.fromEntries(listKeys.flatMap(name => (isObject(item) && item[name] !== undefined ? [[name, item[name]]] : [])))

/** JSON with the members in order. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) => (isObject(inner) ? Object.fromEntries(Object.entries(inner).sort()) : inner))

function firstRepeated(items: readonly unknown[], key: (item: unknown) => string): number {
  const seen = new Set<string>()
  return items.findIndex(item => {
    const text = key(item)
    return seen.size === seen.add(text).size
  })
}

function checkObject(node: Node, value: Values, old: unknown, path: string, errors: FieldError[]): void {
  const { schema, fields, rest } = node
  const names = Object.keys(value).filter(name => value[name] !== undefined)
  const { minProperties, maxProperties } = schema
  if (minProperties !== undefined && names.length < minProperties)
    errors.push(invalid(at(path), names.length, `${path} in body should have at least ${minProperties} properties`))
  if (maxProperties !== undefined && names.length > maxProperties) errors.push(tooMany(at(path), names.length, maxProperties))
  for (const name of schema.required ?? []) if (value[name] === undefined) errors.push(required(at(child(path, name))))
  const former = isObject(old) ? old : undefined
  for (const name of names) {
    if (node.embedded && isTypeMeta(name) && !fields.has(name)) continue
    const below = fields.get(name) ?? rest
    if (below) check(below, value[name], former?.[name], child(path, name), errors)
  }
}

/** Upstream loses the place of these: their field is no path. */
function checkCombinations(node: Node, value: unknown, old: unknown, path: string, errors: FieldError[]): void {
  const fits = (one: Node): boolean => findErrors(() => validateStructural(one, value, path)).length === 0
  const wrong = (why: string): number =>
    errors.push({ reason: 'FieldValueInvalid', field: '<nil>', message: `Invalid value: "": ${JSON.stringify(path)} must ${why}` })
  for (const all of node.allOf) check(all, value, old, path, errors)
  if (node.anyOf.length > 0 && !node.anyOf.some(fits)) wrong('validate at least one schema (anyOf)')
  if (node.oneOf.length > 0) {
    const count = node.oneOf.filter(fits).length
    if (count !== 1)
      wrong(`validate one and only one schema (oneOf). ${count === 0 ? 'Found none valid' : `Found ${count} valid alternatives`}`)
  }
  if (node.not && fits(node.not)) wrong('not validate the schema (not)')
}
