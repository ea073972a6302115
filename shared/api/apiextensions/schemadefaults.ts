/** Defaults in the schema of a custom kind (k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting/validation.go). */
import { DecodeError } from '../../machinery/decode.ts'
import { invalid, type FieldError, type Path } from '../../machinery/field.ts'
import { coerceEmbedded, validateEmbedded } from '../../machinery/structural/embedded.ts'
import { isTypeMeta, planOfStructural, type Node } from '../../machinery/structural/plan.ts'
import { prune } from '../../machinery/structural/prune.ts'
import type { JsonSchema } from '../../machinery/structural/schema.ts'
import { validateStructural } from '../../machinery/structural/validate.ts'
import type { Schema } from './schemavalidation.ts'

const isObject = (value: unknown): value is Schema => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Makes the object of a value at some place in it. */
type Around = (value: unknown) => unknown
const typed: Around = value => ({ apiVersion: 'validation/v1', kind: 'Validation', ...(value as object) })

interface Within {
  /** Of an object's own metadata, kind or apiVersion. */
  readonly metadata: boolean
  readonly around: Around
}

/** Defaults fit their schema, hold nothing that would be taken out, and make valid metadata. `schema` keeps to all other rules. */
export function validateDefaults(schema: Schema, at: Path, outer: Within = { metadata: false, around: typed }): FieldError[] {
  const embedded = schema['x-kubernetes-embedded-resource'] === true
  const { metadata, around }: Within = embedded ? { metadata: false, around: typed } : outer
  const errors = schema['default'] === undefined ? [] : errorsOf(schema, at.child('default'), embedded, metadata ? around : undefined)
  const { items, properties, additionalProperties: additional } = schema
  if (isObject(items)) errors.push(...validateDefaults(items, at.child('items'), { metadata, around: v => around([v]) }))
  if (isObject(additional))
    errors.push(...validateDefaults(additional, at.child('additionalProperties'), { metadata, around: v => around({ name: v }) }))
  for (const [name, inner] of Object.entries(isObject(properties) ? properties : {})) {
    const below = { metadata: metadata || (embedded && isTypeMeta(name)), around: (v: unknown) => around({ [name]: v }) }
    errors.push(...validateDefaults(inner as Schema, at.child('properties').key(name), below))
  }
  return errors
}

/** `around` is that of a default within metadata. What comes first is told alone. */
function errorsOf(schema: Schema, at: Path, embedded: boolean, around: Around | undefined): FieldError[] {
  const value = schema['default']
  const node = { ...planOfStructural({ root: schema as JsonSchema }), embedded }
  const unknown: string[] = []
  if (!around) prune(node, structuredClone(value), '', unknown)
  const first = unknown.length > 0 ? [invalid(at, value, 'must not have unknown fields')] : []
  const below = (e: FieldError): FieldError => ({ ...e, field: [String(at), e.field].filter(Boolean).join('.') })
  const meta = around ? embeddedErrors(object, around(value)) : embeddedErrors(node, value)
  if (meta.length > 0 && around) {
    const texts = meta.map(e => `${e.field}: ${e.message}`)
    return [invalid(at, value, `must result in valid metadata: ${texts.length === 1 ? texts[0]! : `[${texts.join(', ')}]`}`)]
  }
  return [...first, ...(meta.length > 0 ? meta : validateStructural(node, value)).map(below)]
}

/** Of any object. */
const object: Node = { ...planOfStructural({ root: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } }), embeds: true }

/** What is wrong with the kinds and the metadata of a value and what is embedded in it. */
function embeddedErrors(node: Node, value: unknown): FieldError[] {
  const holder: Node = { ...object, embedded: false, fields: new Map([['value', node]]) }
  const held = { value: structuredClone(value) }
  const own = (e: FieldError): FieldError => ({ ...e, field: e.field.replace(/^value\.?/, '') })
  try {
    coerceEmbedded(holder, held, [])
  } catch (e) {
    if (!(e instanceof DecodeError)) throw e
    const colon = e.message.indexOf(': ')
    return [own({ reason: 'FieldValueInvalid', field: e.message.slice(0, colon), message: e.message.slice(colon + 2) })]
  }
  return validateEmbedded(holder, held).map(own)
}
