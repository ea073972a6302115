/**
 * That a schema is structural beyond what each part of it says: what it may say of metadata, what may stand below allOf and its like, and
 * that these speak of nothing that is not described (k8s.io/apiextensions-apiserver/pkg/apiserver/schema).
 */
import { forbidden, invalid, required, type FieldError, type Path } from '../../machinery/field.ts'
import { isTypeMeta } from '../../machinery/structural/plan.ts'
import type { Schema } from './schemavalidation.ts'

const isObject = (value: unknown): value is Schema => typeof value === 'object' && value !== null && !Array.isArray(value)
const part = (schema: Schema, keyword: string, name: string): Schema | undefined => {
  const parts = schema[keyword]
  const found = isObject(parts) && Object.hasOwn(parts, name) ? parts[name] : undefined
  return isObject(found) ? found : undefined
}

/** Kind, apiVersion and metadata of an object: the root, or one with `x-kubernetes-embedded-resource`. */
export function metadataErrors(schema: Schema, at: Path, root: boolean): FieldError[] {
  const embedded = schema['x-kubernetes-embedded-resource'] === true
  if (!root && !embedded) return []
  const errors: FieldError[] = []
  if (embedded && schema['additionalProperties'] !== undefined)
    errors.push(forbidden(at.child('additionalProperties'), 'must not be used if x-kubernetes-embedded-resource is set'))
  for (const [name, type] of Object.entries({ kind: 'string', apiVersion: 'string', metadata: 'object' })) {
    const property = part(schema, 'properties', name)
    const is = property?.['type'] ?? ''
    if (property && is !== type) errors.push(invalid(at.child('properties').key(name).child('type'), is, `must be ${type}`))
  }
  const metadata = part(schema, 'properties', 'metadata')
  if (root && metadata && !saysOnlyNames(metadata)) {
    const why = 'must not specify anything other than name and generateName, but metadata is implicitly specified'
    errors.push(forbidden(at.child('properties').key('metadata'), why))
  }
  return errors
}

/** Whether a schema of the object's own metadata says nothing but what names are. Its default is another matter. */
function saysOnlyNames(metadata: Schema): boolean {
  const { type: _, default: __, properties, ...rest } = metadata
  const names = isObject(properties) ? Object.keys(properties) : []
  return Object.keys(rest).length === 0 && names.every(name => name === 'name' || name === 'generateName')
}

/** Where a schema is within the metadata of an object: why it may have no default there, when it may not. */
export interface Metadata {
  readonly noDefault?: string
}

/** Where the property of a schema is: in metadata it stays. */
export function metadataOf(name: string, { root, embedded, around }: { root: boolean; embedded: boolean; around: Metadata | undefined }) {
  if (!isTypeMeta(name) || (!root && !embedded)) return around
  return { ...around, ...(root ? { noDefault: `in top-level ${name}` } : {}) }
}

export function errorsInMetadata(schema: Schema, at: Path, metadata: Metadata | undefined): FieldError[] {
  if (!metadata) return []
  const errors: FieldError[] = []
  if (metadata.noDefault !== undefined && schema['default'] !== undefined)
    errors.push(forbidden(at.child('default'), `must not be set ${metadata.noDefault}`))
  if (schema['x-kubernetes-embedded-resource'])
    errors.push(forbidden(at.child('x-kubernetes-embedded-resource'), 'must not be used inside of resource meta'))
  return errors
}

/** What says how a value is kept, and not how it must be, with what it must be below allOf and its like. */
const notInValue: readonly [keyword: string, must: string][] = [
  ...['type', 'title', 'description', 'x-kubernetes-list-map-keys', 'x-kubernetes-validations'].map((k): [string, string] => [k, 'empty']),
  ...['additionalProperties', 'default', 'x-kubernetes-list-type', 'x-kubernetes-map-type'].map((k): [string, string] => [k, 'undefined']),
  ...['nullable', 'x-kubernetes-preserve-unknown-fields', 'x-kubernetes-embedded-resource', 'x-kubernetes-int-or-string'].map(
    (k): [string, string] => [k, 'false'],
  ),
]

export function errorsInValue(schema: Schema, at: Path): FieldError[] {
  const says = (value: unknown, must: string): boolean =>
    value !== undefined && (must === 'undefined' || (Array.isArray(value) ? value.length > 0 : Boolean(value)))
  const errors = notInValue
    .filter(([keyword, must]) => says(schema[keyword], must))
    .map(([keyword, must]) => forbidden(at.child(keyword), `must be ${must} to be structural`))
  if (part(schema, 'properties', 'metadata'))
    errors.push(forbidden(at.child('properties').key('metadata'), 'must not be specified in a nested context'))
  return errors
}

/** `anyOf` says of an int-or-string what it is: the one place below which types may stand. */
export const isIntOrString = (anyOf: unknown): boolean => JSON.stringify(anyOf) === '[{"type":"integer"},{"type":"string"}]'

/** What the root's allOf and its like speak of is described outside of them. */
export function completenessErrors(schema: Schema, at: Path): FieldError[] {
  return ofCombinations(schema, schema, at, at)
}

function ofCombinations(says: Schema, schema: Schema, at: Path, from: Path): FieldError[] {
  const errors = isObject(says['not']) ? ofValue(says['not'], schema, at, from.child('not')) : []
  for (const keyword of ['allOf', 'anyOf', 'oneOf'])
    for (const [i, one] of ((says[keyword] ?? []) as unknown[]).entries())
      if (isObject(one)) errors.push(...ofValue(one, schema, at, from.child(keyword).index(i)))
  return errors
}

function ofValue(says: Schema, schema: Schema | undefined, at: Path, from: Path): FieldError[] {
  if (!schema) return [required(at, `because it is defined in ${String(from)}`)]
  const errors = ofCombinations(says, schema, at, from)
  const { items, properties } = says
  if (isObject(items))
    errors.push(...ofValue(items, isObject(schema['items']) ? schema['items'] : undefined, at.child('items'), from.child('items')))
  for (const [name, one] of Object.entries(isObject(properties) ? properties : {})) {
    const [here, there] = [at, from].map(path => path.child('properties').key(name)) as [Path, Path]
    if (isObject(one)) errors.push(...ofValue(one, part(schema, 'properties', name), here, there))
  }
  return errors
}
