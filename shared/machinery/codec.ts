/** What turns bytes into objects of one version of a kind and back. Nothing that uses a codec knows by which rules it works. */
import { decode, decodeValue, type DecodeOptions, type Decoded } from './decode.ts'
import { applyDefaults } from './defaults.ts'
import { normalize } from './encode.ts'
import { shapeOf, type Shape } from './managedfields/shape.ts'
import { emptyObject } from './managedfields/update.ts'
import { strategicMergePatch } from './patch/strategic.ts'
import type { FieldError } from './field.ts'
import { planOf } from './plan.ts'
import { encodeMessage } from './protobuf-encode.ts'
import { decodeProtobuf } from './protobuf.ts'
import type { ObjectSchema } from './schema.ts'

/** What is validated as a change. */
export interface Change {
  /** What it leaves as it was here is not blamed. */
  readonly old?: object
  /** The field that alone is changed: nothing else is looked at. */
  readonly part?: string | undefined
  /** Is told what is wrong and not blamed, where clients are to know. */
  readonly warn?: ((text: string) => void) | undefined
}

export interface Codec {
  /** An object from JSON, in normal form. Throws DecodeError. */
  decode(body: Uint8Array | string, options?: DecodeOptions): Decoded<object>
  /** The same from a parsed value. */
  decodeValue(value: unknown, options?: DecodeOptions): Decoded<object>
  /** Brings an object into normal form, changing it, and returns it. */
  normalize<T extends object>(object: T): T
  /** Sets what the schema says about absent fields; changes the object. */
  applyDefaults(object: object): void
  /** Takes out what the schema does not know; absent when decoding has done that for good. Changes the object. */
  readonly prune?: (object: object) => void
  /** What the schema forbids beyond what decoding does, 422; absent when decoding tells everything. */
  readonly validate?: (object: object, change?: Change) => FieldError[]
  /** How its values merge in server-side apply. */
  readonly shape: Shape
  /** What a new object is compared with: all that is there though nobody set it. */
  readonly empty: object
  /** Absent where no list has a merge key: the patch type is not supported. */
  readonly strategicMerge?: (document: object, patch: Uint8Array | string) => unknown
  /** Absent for kinds without a protobuf form. Decoding throws ProtobufError. */
  readonly protobuf?: { encode(object: object): Buffer; decode(body: Uint8Array): object }
}

const codecs = new WeakMap<ObjectSchema, Codec>()

/** By the rules of Go's structs: null unsets, empty optional fields are left out, a wrong type is an error of the whole body. */
export function structCodec(schema: ObjectSchema): Codec {
  let codec = codecs.get(schema)
  if (!codec) codecs.set(schema, (codec = newStructCodec(schema)))
  return codec
}

const newStructCodec = (schema: ObjectSchema): Codec => ({
  decode: (body, options) => decode(schema, body, options) as Decoded<object>,
  decodeValue: (value, options) => decodeValue(schema, value, options) as Decoded<object>,
  normalize: object => normalize(schema, object),
  applyDefaults: object => applyDefaults(schema, object),
  get shape() {
    return shapeOf(planOf(schema))
  },
  get empty() {
    return emptyObject(planOf(schema))
  },
  strategicMerge: (document, patch) => strategicMergePatch(schema, document, patch),
  protobuf: { encode: object => encodeMessage(schema, object), decode: body => decodeProtobuf(schema, body) },
})
