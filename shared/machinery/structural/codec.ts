/**
 * The codec of custom kinds: any JSON is read, what the schema does not know is pruned, empty values and nulls of nullable fields stay, and
 * what is wrong is told by validation (422). Metadata has the rules of Go's structs, as everywhere.
 */
import { objectMeta } from '../../api/meta/objectmeta.ts'
import type { Codec } from '../codec.ts'
import { DecodeError, decodeAny, decodeCustom, decodeValue, type DecodeOptions, type Decoded } from '../decode.ts'
import { normalize } from '../encode.ts'
import type { CauseReason, FieldError } from '../field.ts'
import { setOwn } from '../jsonvalue.ts'
import type { Shape } from '../managedfields/shape.ts'
import { applyStructuralDefaults } from './defaults.ts'
import { coerceEmbedded, validateEmbedded } from './embedded.ts'
import { isObject, isTypeMeta, planOfStructural, type Node, type Values } from './plan.ts'
import { prune } from './prune.ts'
import type { RulesValidator, StructuralSchema } from './schema.ts'
import { shapeOfNode } from './shape.ts'
import { validateLists, validateStructural } from './validate.ts'

const codecs = new WeakMap<StructuralSchema, Codec>()

/** Nothing is made of the schema before it is needed: most custom kinds of a cluster are never written. */
export function structuralCodec(schema: StructuralSchema): Codec {
  let codec = codecs.get(schema)
  if (!codec) codecs.set(schema, (codec = newCodec(schema)))
  return codec
}

function newCodec(schema: StructuralSchema): Codec {
  const node = once(() => planOfStructural(schema))
  const shape = once(() => shapeOfNode(node()))
  const rules = once(() => schema.rules?.(node()))
  const read = (value: unknown, duplicate: string[], options: DecodeOptions): Decoded<object> => {
    if (!isObject(value)) throw new DecodeError(`json: cannot unmarshal ${goKind(value)} into Go value of type map[string]interface {}`)
    checkTypeMeta(value)
    const meta = decodeValue(objectMeta, value['metadata'] ?? {}, options)
    if (value['metadata'] !== undefined || !options.partial) value['metadata'] = meta.object
    const unknown = meta.unknown.map(path => `metadata.${path}`)
    return finished(value, unknown, duplicate, options)
  }
  /** Metadata are typed already. */
  const finished = (value: Values, unknown: string[], duplicate: string[], options: DecodeOptions): Decoded<object> => {
    const object = headFirst(value)
    coerceEmbedded(node(), object, unknown)
    prune(node(), object, '', unknown)
    if (options.partial) checkKinds(shape(), object, '')
    return { object, unknown, duplicate }
  }
  return {
    decode(body, options = {}) {
      const sound = inOnePass(body, options)
      if (sound) return finished(sound.object, sound.unknown, sound.duplicate, options)
      const { value, duplicate } = decodeAny(body)
      return read(value, duplicate, options)
    },
    decodeValue: (value, options = {}) => read(structuredClone(value), [], options),
    normalize(object) {
      const own = object as Values
      for (const name of Object.keys(own)) if (own[name] === undefined) delete own[name]
      if (isObject(own['metadata'])) normalize(objectMeta, own['metadata'])
      return object
    },
    applyDefaults: object => applyStructuralDefaults(node(), object),
    prune: object => prune(node(), object, '', []),
    validate: (object, { old, part, warn } = {}) => validate(node(), rules(), object as Values, old as Values | undefined, part, warn),
    get shape() {
      return shape()
    },
    empty: {},
  }
}

/** What has nothing wrong with it is read once; what is wrong with the rest is told in upstream's order, which takes two. */
function inOnePass(body: Uint8Array | string, options: DecodeOptions): Decoded<Values> | undefined {
  try {
    const read = decodeCustom(objectMeta, body, options)
    if (read.duplicate.length > 0 || read.object['metadata'] === undefined) return undefined
    checkTypeMeta(read.object)
    return read
  } catch (e) {
    if (e instanceof DecodeError) return undefined
    throw e
  }
}

function checkTypeMeta(value: Values): void {
  for (const name of ['kind', 'apiVersion'])
    if (value[name] !== undefined && value[name] !== null && typeof value[name] !== 'string')
      throw new DecodeError(`json: cannot unmarshal ${goKind(value[name])} into Go struct field .${name} of type string`)
}

/** Kind, apiVersion and metadata come first. */
function headFirst(value: Values): Values {
  const { kind, apiVersion, metadata } = value
  const object: Values = {}
  if (typeof kind === 'string') object['kind'] = kind
  if (typeof apiVersion === 'string') object['apiVersion'] = apiVersion
  if (metadata !== undefined) object['metadata'] = metadata
  for (const name in value) if (!isTypeMeta(name)) setOwn(object, name, value[name])
  return object
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => (made ??= { value: make() }).value
}

/** What keeps rules from being evaluated: values of a type or size that they are not compiled for. */
const blocking: ReadonlySet<CauseReason> = new Set([
  'FieldValueNotSupported',
  'FieldValueRequired',
  'FieldValueTooLong',
  'FieldValueTooMany',
  'FieldValueTypeInvalid',
])
const unchecked: FieldError = {
  reason: 'FieldValueInvalid',
  field: '<nil>',
  message:
    'Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
}

/** All that is wrong with an object or, of a change, with one part of it; rules see all of it. */
function validate(
  node: Node,
  rules: RulesValidator | undefined,
  object: Values,
  old: Values | undefined,
  part: string | undefined,
  warn: ((text: string) => void) | undefined,
): FieldError[] {
  const errors =
    part === undefined ? validateStructural(node, object, '', old) : validatePart(node.fields.get(part), object[part], part, old?.[part])
  if (node.embeds && part === undefined) errors.push(...validateEmbedded(node, object))
  if (node.lists) {
    const repeated = validateLists(node, object)
    if (repeated.length > 0 && (old === undefined || validateLists(node, old).length === 0)) errors.push(...repeated)
  }
  if (rules) errors.push(...(errors.some(e => blocking.has(e.reason)) ? [unchecked] : rules(object, old, warn)))
  return errors
}

/** Upstream looks at the part as if it were all: its messages name fields from there. */
const validatePart = (node: Node | undefined, value: unknown, path: string, old: unknown): FieldError[] =>
  node && value !== undefined
    ? validateStructural(node, value, path, old).map(e => ({
        ...e,
        message: e.message.replace(`${e.field} in body`, `${e.field.slice(path.length + 1)} in body`),
      }))
    : []

const goKind = (value: unknown): string =>
  Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value === 'boolean' ? 'bool' : typeof value

/** An applied configuration is of the types of the schema, as far as merging needs that. */
function checkKinds(shape: Shape, value: unknown, path: string): void {
  if (shape.kind === 'leaf' || shape.free || value === null) return
  if (shape.kind === 'struct' || shape.kind === 'map') {
    if (!isObject(value)) throw new DecodeError(`${path}: expected map, got ${goKind(value)}`)
    for (const [name, inner] of Object.entries(value)) {
      const below = shape.kind === 'map' ? shape.item : shape.fields.get(name)
      if (below) checkKinds(below, inner, `${path}.${name}`)
    }
  } else {
    if (!Array.isArray(value)) throw new DecodeError(`${path}: expected list, got ${goKind(value)}`)
    value.forEach((item, i) => {
      if (shape.kind === 'keyed' && !isObject(item))
        throw new DecodeError(`${path}[${i}]: associative list with keys may not have non-map elements`)
      if (shape.kind === 'keyed') checkKinds(shape.item, item, `${path}[${i}]`)
    })
  }
}
