/** A configuration merged into an object without managers: what a MutatingAdmissionPolicy applies. */
import type { KubeObject } from '../../api/meta/objectmeta.ts'
import type { Codec } from '../codec.ts'
import { clone } from '../jsonvalue.ts'
import { isOneValue, type Shape } from '../managedfields/shape.ts'
import { StatusError } from '../status.ts'
import { checkKeys, merge } from './apply.ts'
import { decodeConfiguration, untypedHead } from './configuration.ts'
import { isDocument, type Document } from './document.ts'

/**
 * The object with what the configuration says; neither is changed. Throws Errors in upstream's words: for fields that the type does not
 * have and for values of atomic types, which would take away what they do not name.
 */
export function mergeConfiguration(codec: Codec, object: KubeObject, configuration: KubeObject): KubeObject {
  const given = typed(() => {
    const decoded = decodeConfiguration(codec, Buffer.from(JSON.stringify(configuration)), configuration.kind!, configuration.apiVersion!)
    checkKeys(codec.shape, decoded, '')
    return decoded
  })
  const atomic = atomics(codec.shape, given, '')
  if (atomic.length > 0) throw new Error(`invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: ${atomic.join(', ')}`)
  return codec.decodeValue(merge(codec.shape, clone(object), clone(given))).object as KubeObject
}

/** The words of server-side apply, without its head. */
function typed<T>(work: () => T): T {
  try {
    return work()
  } catch (e) {
    if (!(e instanceof StatusError)) throw e
    throw new Error(`failed to convert patch object to typed object: ${e.message.replace(`${untypedHead}: `, '')}`)
  }
}

function atomics(shape: Shape, value: unknown, path: string): string[] {
  if (Array.isArray(value)) {
    const own = isOneValue(shape, value) ? [path] : []
    return [...own, ...value.flatMap((item, i) => atomics(shape.item, item, `${path}[${i}]`))]
  }
  if (!isDocument(value)) return []
  if (shape.kind === 'leaf') return [path]
  return Object.entries(value as Document).flatMap(([name, field]) => {
    const below = shape.kind === 'map' ? shape.item : shape.fields.get(name)
    return below ? atomics(below, field, `${path}.${name}`) : []
  })
}
