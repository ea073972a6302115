/**
 * Rules of the schema of a custom kind: what OpenAPI may say (ValidateCustomResourceDefinitionOpenAPISchema), and that it is structural
 * (k8s.io/apiextensions-apiserver/pkg/apiserver/schema).
 */
import { compilePattern } from '../../machinery/re2.ts'
import { isKnownFormat } from '../../machinery/structural/formats.ts'
import { validateDefaults } from './schemadefaults.ts'
import { forbidden, invalid, notSupported, required, typeInvalid, type FieldError, type Path } from '../../machinery/field.ts'
import {
  completenessErrors,
  errorsInMetadata,
  errorsInValue,
  isIntOrString,
  metadataErrors,
  metadataOf,
  type Metadata,
} from './structuralschema.ts'

/** A schema as the codec lets it through: below `items` and its like nothing is known of it. */
export type Schema = { readonly [keyword: string]: unknown }
const isObject = (value: unknown): value is Schema => typeof value === 'object' && value !== null && !Array.isArray(value)

const types = ['array', 'boolean', 'integer', 'number', 'object', 'string']
const listTypes = ['atomic', 'set', 'map']
const mapTypes = ['atomic', 'granular']
const rootFields = new Set([
  ...['type', 'description', 'properties', 'required', 'items', 'title', 'default', 'externalDocs', 'example'],
  ...['additionalProperties', 'x-kubernetes-preserve-unknown-fields', 'x-kubernetes-map-type', 'x-kubernetes-validations', 'nullable'],
])
const reasons = ['FieldValueDuplicate', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueRequired']

/** `hasStatus`: there is a status subresource, whose schema must be found below the root. */
export function validateRootSchema(schema: Schema, at: Path, hasStatus: boolean): FieldError[] {
  const errors: FieldError[] = []
  if (hasStatus && schema['type'] !== undefined && schema['type'] !== '' && schema['type'] !== 'object')
    errors.push(
      invalid(
        at.child('type'),
        schema['type'],
        'only "object" is allowed as the type at the root of the schema if the status subresource is enabled',
      ),
    )
  else if (hasStatus && Object.keys(schema).some(k => !rootFields.has(k)))
    errors.push(
      invalid(
        at,
        schema,
        `only [${[...rootFields].join(' ')}] fields are allowed at the root of the schema if the status subresource is enabled`,
      ),
    )
  if (schema['nullable']) errors.push(forbidden(at.child('nullable'), 'nullable cannot be true at the root'))
  if (!schema['type']) errors.push(required(at.child('type'), 'must not be empty at the root'))
  else if (schema['type'] !== 'object') errors.push(invalid(at.child('type'), schema['type'], 'must be object at the root'))
  const { structural, others } = schemaErrors(schema, at)
  return [...errors, ...structural, ...others]
}

/**
 * What is wrong with a schema: that it is not structural, or has defaults that it forbids; and all else, which keeps rules from being
 * judged only around it.
 */
interface SchemaErrors {
  readonly structural: FieldError[]
  readonly others: FieldError[]
}

function schemaErrors(schema: Schema, at: Path): SchemaErrors {
  const found: SchemaErrors = { structural: [], others: [] }
  validateSchema(schema, at, { root: true, metadata: undefined }, found)
  found.structural.push(...completenessErrors(schema, at))
  if (found.structural.length === 0) found.structural.push(...validateDefaults(schema, at))
  return found
}

/** The errors beside which the rules of a schema are judged, though not at their level and above; undefined when none of its rules is. */
export function errorsBesideRules(schema: Schema, at: Path): readonly FieldError[] | undefined {
  const { structural, others } = schemaErrors(schema, at)
  return structural.length > 0 ? undefined : others
}

interface Place {
  readonly root: boolean
  /** Below metadata of the object or of an embedded one. */
  readonly metadata: Metadata | undefined
  /** Below allOf, anyOf, oneOf or not, where only what checks values may stand. */
  readonly valueOnly?: boolean
  /** Of a list. */
  readonly item?: boolean
  /** There an `anyOf` of the two types of an int-or-string may stand nevertheless. */
  readonly firstOfAll?: boolean
}
const notStructural = ['$ref', 'definitions', 'dependencies', 'patternProperties', 'additionalItems', 'id', '$schema'] as const
function validateSchema(schema: Schema, at: Path, place: Place, { structural: errors, others }: SchemaErrors): void {
  const type = schema['type']
  const wrong = wrongTypes(schema, at)
  errors.push(...wrong)
  if (wrong.length > 0) return
  if (type && !types.includes(type as string)) others.push(notSupported(at.child('type'), type, types))
  if (type === 'null') others.push(forbidden(at.child('type'), 'type cannot be set to null, use nullable as an alternative'))
  for (const keyword of notStructural)
    if (schema[keyword] !== undefined && schema[keyword] !== '') errors.push(forbidden(at.child(keyword), `${keyword} is not supported`))
  if (schema['uniqueItems'])
    others.push(forbidden(at.child('uniqueItems'), 'uniqueItems cannot be set to true since the runtime complexity becomes quadratic'))
  errors.push(...validatePattern(schema['pattern'], at.child('pattern')))
  if (place.valueOnly) errors.push(...errorsInValue(schema, at))
  else errors.push(...validateType(schema, at, place), ...metadataErrors(schema, at, place.root))
  errors.push(...errorsInMetadata(schema, at, place.metadata), ...extensionErrors(schema, at))
  others.push(...validateExtensions(schema, at), ...validateRules(schema, at))
  const inside = (value: unknown, path: Path, more: Partial<Place> = {}): void => {
    const here = { root: false, metadata: place.metadata, ...(place.valueOnly ? { valueOnly: true } : {}), ...more }
    if (isObject(value)) validateSchema(value, path, here, { structural: errors, others })
    else errors.push(typeInvalid(path, value, 'must be an object'))
  }
  const { items, additionalProperties: additional, properties } = schema
  const embedded = schema['x-kubernetes-embedded-resource'] === true
  if (Array.isArray(items)) errors.push(forbidden(at.child('items'), 'items must be a schema object and not an array'))
  else if (items !== undefined) inside(items, at.child('items'), { item: true })
  if (isObject(properties))
    for (const [name, inner] of Object.entries(properties))
      inside(inner, at.child('properties').key(name), { metadata: metadataOf(name, { ...place, embedded, around: place.metadata }) })
  if (additional !== undefined) {
    if (isObject(properties) && Object.keys(properties).length > 0 && additional !== true)
      others.push(forbidden(at.child('additionalProperties'), 'additionalProperties and properties are mutual exclusive'))
    if (place.root) errors.push(forbidden(at.child('additionalProperties'), 'must not be used at the root'))
    const metadata = place.metadata && { noDefault: 'inside additionalProperties applying to object metadata' }
    if (typeof additional !== 'boolean') inside(additional, at.child('additionalProperties'), { metadata })
  }
  if (schema['not'] !== undefined) inside(schema['not'], at.child('not'), { valueOnly: true })
  for (const keyword of ['allOf', 'anyOf', 'oneOf']) {
    const all = schema[keyword] as unknown[] | undefined
    if (keyword === 'anyOf' && isIntOrString(all) && (!place.valueOnly || place.firstOfAll)) continue
    const firstOfAll = keyword === 'allOf' && !place.valueOnly
    all?.forEach((inner, i) => inside(inner, at.child(keyword).index(i), { valueOnly: true, firstOfAll: firstOfAll && i === 0 }))
  }
}

function validatePattern(pattern: unknown, at: Path): FieldError[] {
  if (typeof pattern !== 'string' || pattern === '') return []
  try {
    compilePattern(pattern)
    return []
  } catch (e) {
    return [invalid(at, pattern, `must be a valid regular expression, but isn't: ${(e as Error).message}`)]
  }
}

/** What a value must be to be kept: every part of the object has one type. */
function validateType(schema: Schema, at: Path, place: Place): FieldError[] {
  const type = schema['type']
  const [intOrString, preserve, embedded] = ['int-or-string', 'preserve-unknown-fields', 'embedded-resource'].map(
    x => schema[`x-kubernetes-${x}`],
  )
  const errors: FieldError[] = []
  const why = 'must be object if x-kubernetes-embedded-resource is true'
  if (embedded && type !== 'object') errors.push(type ? invalid(at.child('type'), type, why) : required(at.child('type'), why))
  else if (!type && !place.root && !intOrString && !preserve)
    errors.push(required(at.child('type'), `must not be empty for specified ${place.item ? 'array items' : 'object fields'}`))
  if (embedded && !preserve && schema['properties'] === undefined)
    errors.push(
      required(
        at.child('properties'),
        'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields',
      ),
    )
  if (type === 'array' && schema['items'] === undefined) errors.push(required(at.child('items'), 'must be specified'))
  return errors
}

/** Extensions that exclude others. */
function extensionErrors(schema: Schema, at: Path): FieldError[] {
  const errors: FieldError[] = []
  for (const other of ['x-kubernetes-preserve-unknown-fields', 'x-kubernetes-embedded-resource'])
    if (schema['x-kubernetes-int-or-string'] && schema[other])
      errors.push(invalid(at.child(other), true, 'must be false if x-kubernetes-int-or-string is true'))
  if (schema['x-kubernetes-preserve-unknown-fields'] === false)
    errors.push(invalid(at.child('x-kubernetes-preserve-unknown-fields'), false, 'must be true or undefined'))
  return errors
}

function validateExtensions(schema: Schema, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const [listType, mapType, keys] = ['list-type', 'map-type', 'list-map-keys'].map(x => schema[`x-kubernetes-${x}`])
  const type = schema['type'] ?? ''
  const mustBe = (wanted: string, because: string): void => {
    if (type === wanted) return
    const why = `must be ${wanted} if ${because} is specified`
    errors.push(type === '' ? required(at.child('type'), why) : invalid(at.child('type'), type, why))
  }
  if (mapType !== undefined) {
    mustBe('object', 'x-kubernetes-map-type')
    if (!mapTypes.includes(mapType as string)) errors.push(notSupported(at.child('x-kubernetes-map-type'), mapType, mapTypes))
  }
  const items = isObject(schema['items']) ? schema['items'] : undefined
  if (listType !== undefined) {
    mustBe('array', 'x-kubernetes-list-type')
    if (!listTypes.includes(listType as string)) errors.push(notSupported(at.child('x-kubernetes-list-type'), listType, listTypes))
    if (listType === 'set' && items?.['type'] === 'object' && items['x-kubernetes-map-type'] !== 'atomic')
      errors.push(
        invalid(at.child('items', 'x-kubernetes-map-type'), null, 'must be atomic as item of a list with x-kubernetes-list-type=set'),
      )
    const inner = items?.['type'] === 'array' ? (items['x-kubernetes-list-type'] ?? 'atomic') : 'atomic'
    if (listType === 'set' && inner !== 'atomic')
      errors.push(
        invalid(at.child('items', 'x-kubernetes-list-type'), inner, 'must be atomic as item of a list with x-kubernetes-list-type=set'),
      )
    if ((listType === 'set' || listType === 'map') && items?.['nullable'])
      errors.push(forbidden(at.child('items', 'nullable'), `cannot be nullable when x-kubernetes-list-type is ${listType}`))
  }
  const names = Array.isArray(keys) ? (keys as string[]) : []
  const keysAt = at.child('x-kubernetes-list-map-keys')
  if (names.length > 0 && listType !== 'map') {
    const why = 'must be map if x-kubernetes-list-map-keys is non-empty'
    const here = at.child('x-kubernetes-list-type')
    errors.push(listType === undefined ? required(here, why) : invalid(here, listType, why))
  }
  if (listType !== 'map') return errors
  if (names.length === 0) errors.push(required(keysAt, 'must not be empty if x-kubernetes-list-type is map'))
  if (!items) return [...errors, required(at.child('items'), 'must have a schema if x-kubernetes-list-type is map')]
  if (items['type'] !== 'object')
    return [
      ...errors,
      invalid(at.child('items', 'type'), items['type'] ?? '', "must be object if parent array's x-kubernetes-list-type is map"),
    ]
  return [...errors, ...validateMapKeys(names, items, at)]
}

function validateMapKeys(names: readonly string[], items: Schema, at: Path): FieldError[] {
  const keysAt = at.child('x-kubernetes-list-map-keys')
  const needed = (items['required'] ?? []) as readonly string[]
  return names.flatMap((name, i) => {
    const property = isObject(items['properties']) ? items['properties'][name] : undefined
    const errors: FieldError[] = []
    const here = at.child('items', 'properties').key(name)
    if (!isObject(property)) errors.push(invalid(keysAt, names, 'entries must all be names of item properties'))
    else {
      if (property['type'] === 'array' || property['type'] === 'object')
        errors.push(invalid(here.child('type'), items['type'], "must be a scalar type if parent array's x-kubernetes-list-type is map"))
      if (property['default'] === undefined && !needed.includes(name))
        errors.push(
          required(
            here.child('default'),
            `this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property`,
          ),
        )
      if (property['nullable'])
        errors.push(forbidden(here.child('nullable'), 'this property is in x-kubernetes-list-map-keys, so it cannot be nullable'))
    }
    if (names.indexOf(name) < i) errors.push(invalid(keysAt, names, 'must not contain duplicate entries'))
    return errors
  })
}

function validateRules(schema: Schema, at: Path): FieldError[] {
  const rules = (schema['x-kubernetes-validations'] ?? []) as readonly unknown[]
  return rules.flatMap((rule, i) => {
    const here = at.child('x-kubernetes-validations').index(i)
    if (!isObject(rule)) return [typeInvalid(here, rule, 'must be an object')]
    const text = (name: string): string => (typeof rule[name] === 'string' ? rule[name] : '')
    const errors: FieldError[] = []
    const [message, expression] = [text('message'), text('rule').trim()]
    if (expression === '') errors.push(required(here.child('rule'), 'rule is not specified'))
    else if (message !== '' && message.trim() === '') errors.push(invalid(here.child('message'), message, 'must be non-empty if specified'))
    else if (/[\n\r]/.test(message.trim())) errors.push(invalid(here.child('message'), message, 'must not contain line breaks'))
    else if (/[\n\r]/.test(expression) && message === '')
      errors.push(required(here.child('message'), 'message must be specified if rule contains line breaks'))
    if (text('messageExpression') !== '' && text('messageExpression').trim() === '')
      errors.push(required(here.child('messageExpression'), 'messageExpression must be non-empty if specified'))
    if (text('reason') !== '' && !reasons.includes(text('reason'))) errors.push(notSupported(here.child('reason'), text('reason'), reasons))
    return errors
  })
}

/** Keywords by the type of their value; only below `items` and its like can one have another. */
const shapes: readonly [shape: string, keywords: readonly string[]][] = [
  ['string', ['type', 'description', 'format', 'title', 'pattern', '$ref', 'x-kubernetes-list-type', 'x-kubernetes-map-type']],
  ['number', ['maximum', 'minimum', 'maxLength', 'minLength', 'maxItems', 'minItems', 'multipleOf', 'maxProperties', 'minProperties']],
  [
    'boolean',
    ['nullable', 'uniqueItems', 'x-kubernetes-preserve-unknown-fields', 'x-kubernetes-embedded-resource', 'x-kubernetes-int-or-string'],
  ],
  ['array', ['enum', 'required', 'allOf', 'anyOf', 'oneOf', 'x-kubernetes-list-map-keys', 'x-kubernetes-validations']],
  ['object', ['properties', 'not', 'patternProperties', 'definitions', 'dependencies']],
]
const shapeOf = (value: unknown): string => (Array.isArray(value) ? 'array' : typeof value)

const wrongTypes = (schema: Schema, at: Path): FieldError[] =>
  shapes.flatMap(([shape, keywords]) =>
    keywords
      .filter(k => schema[k] !== undefined && schema[k] !== null && shapeOf(schema[k]) !== shape)
      .map(k => typeInvalid(at.child(k), schema[k], `must be ${shape === 'array' || shape === 'object' ? 'an' : 'a'} ${shape}`)),
  )

/** All schemas in one, itself first. */
function* schemasIn(schema: unknown): Generator<Schema> {
  if (Array.isArray(schema)) for (const inner of schema) yield* schemasIn(inner)
  if (!isObject(schema)) return
  yield schema
  const { properties, items, additionalProperties, not, allOf, anyOf, oneOf } = schema
  if (isObject(properties)) for (const inner of Object.values(properties)) yield* schemasIn(inner)
  for (const inner of [items, additionalProperties, not, allOf, anyOf, oneOf]) yield* schemasIn(inner)
}

/** The formats in a schema that nobody knows, each once. */
export function unknownFormats(schema: unknown): ReadonlySet<string> {
  const found = new Set<string>()
  for (const { format, type } of schemasIn(schema))
    if (typeof format === 'string' && format !== '' && !isKnownFormat(format, type)) found.add(format)
  return found
}
