/**
 * Objects within objects (`x-kubernetes-embedded-resource`): their metadata have the rules of Go's structs, as those of the object itself,
 * and they are checked (k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta).
 */
import { objectMeta } from '../../api/meta/objectmeta.ts'
import { validateObjectMeta } from '../../api/meta/validation.ts'
import { DecodeError, decodeValue } from '../decode.ts'
import { invalid, Path, required, type FieldError } from '../field.ts'
import { isDNS1035Label, nameIsPathSegment } from '../names.ts'
import { isObject, type Node, type Values } from './plan.ts'

/** Calls `visit` with each embedded object, but not with the object itself. */
function eachEmbedded(node: Node, value: unknown, path: string, visit: (object: Values, path: string) => void): void {
  if (!node.embeds) return
  if (Array.isArray(value)) {
    const { item } = node
    if (item) value.forEach((inner, i) => eachEmbedded(item, inner, `${path}[${i}]`, visit))
  } else if (isObject(value)) {
    if (node.embedded && path !== '') visit(value, path)
    for (const name of Object.keys(value)) {
      const field = node.fields.get(name)
      const below = field ?? node.rest
      const at = path === '' ? name : field ? `${path}.${name}` : `${path}[${name}]`
      if (below) eachEmbedded(below, value[name], at, visit)
    }
  }
}

/** Brings the metadata of embedded objects into normal form; unknown fields go, and their paths to `unknown`. Throws DecodeError. */
export function coerceEmbedded(node: Node, value: unknown, unknown: string[]): void {
  eachEmbedded(node, value, '', (object, path) => {
    const refuse = (name: string, why: string): never => {
      const { field, message } = invalid(new Path(path).child(name), object[name], why)
      throw new DecodeError(`${field}: ${message}`)
    }
    for (const name of ['apiVersion', 'kind'])
      if (Object.hasOwn(object, name) && typeof object[name] !== 'string') refuse(name, 'must be a string')
    const { metadata } = object
    if (metadata === undefined || metadata === null) return
    if (!isObject(metadata)) {
      const is = Array.isArray(metadata) ? 'array' : typeof metadata === 'boolean' ? 'bool' : typeof metadata
      return refuse('metadata', `json: cannot unmarshal ${is} into Go value of type v1.ObjectMeta`)
    }
    try {
      const meta = decodeValue(objectMeta, metadata)
      object['metadata'] = meta.object
      unknown.push(...meta.unknown.map(field => `${path}.metadata.${field}`))
    } catch (e) {
      if (!(e instanceof DecodeError)) throw e
      refuse('metadata', e.message)
    }
  })
}

/** What is wrong with the type and the metadata of embedded objects. */
export function validateEmbedded(node: Node, value: unknown): FieldError[] {
  const errors: FieldError[] = []
  eachEmbedded(node, value, '', (object, path) => {
    const at = new Path(path)
    for (const name of ['apiVersion', 'kind'] as const) {
      const given = object[name]
      if (given === undefined) errors.push(required(at.child(name), 'must not be empty'))
      else if (typeof given !== 'string') errors.push(invalid(at.child(name), given, 'must be a string'))
      else if (given === '') errors.push(invalid(at.child(name), given, 'must not be empty'))
      else if (name === 'apiVersion' && given.split('/').length > 2)
        errors.push(invalid(at.child(name), given, `unexpected GroupVersion string: ${given}`))
      else if (name === 'kind' && isDNS1035Label(given.toLowerCase()).length > 0)
        errors.push(
          invalid(
            at.child(name),
            given,
            `may have mixed case, but should otherwise match: ${isDNS1035Label(given.toLowerCase()).join(',')}`,
          ),
        )
    }
    const { metadata } = object
    if (isObject(metadata)) {
      const meta = { ...metadata, name: metadata['name'] || 'name' } as Parameters<typeof validateObjectMeta>[0]
      errors.push(...validateObjectMeta(meta, Boolean(meta.namespace), nameIsPathSegment, at.child('metadata'), false))
    } else if (metadata !== undefined && metadata !== null) errors.push(invalid(at.child('metadata'), metadata, 'must be an object'))
  })
  return errors
}
