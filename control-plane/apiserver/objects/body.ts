/** Request bodies as defaulted objects in the stored form. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Codec } from '#shared/machinery/codec.ts'
import { decodePatched } from '#shared/machinery/patch/patched.ts'
import { decodeBody, type FieldValidation } from '#shared/machinery/requestbody.ts'
import { ProtobufError } from '#shared/machinery/protobuf.ts'
import { badRequest } from '#shared/machinery/status.ts'
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import type { RequestContext } from '../chain/chain.ts'
import { inputFormat } from '../chain/mediatype.ts'
import { hubOfServed } from './conversion.ts'
import type { Endpoint } from './endpoint.ts'

/** What a body should hold. */
export interface Expected {
  readonly apiVersion: string
  readonly kind: string
  readonly codec: Codec
}

/** Decodes a request's body, JSON or YAML; unknown fields go where the client wants them. Not defaulted. Throws 400, 415. */
export function readBody<T = KubeObject>(ctx: RequestContext, expected: Expected, fieldValidation: FieldValidation): T {
  const { body, headers } = ctx.request
  const format = inputFormat(headers['content-type'], expected.codec.protobuf !== undefined)
  const mediaType = format === 'yaml' ? 'application/yaml' : 'application/json'
  const text = format === 'protobuf' ? fromProtobuf(expected, body) : body
  const { object, warnings } = decodeBody(expected.codec, text, {
    kind: expected.kind,
    apiVersion: expected.apiVersion,
    mediaType,
    fieldValidation,
  })
  ctx.warnings.push(...warnings)
  ctx.audit?.requestObject(object)
  return object as T
}

/** A protobuf body as the JSON of the same object. Throws 400. */
export function fromProtobuf(expected: Expected, body: Uint8Array): Uint8Array {
  try {
    return Buffer.from(JSON.stringify(expected.codec.protobuf!.decode(body)))
  } catch (e) {
    if (e instanceof ProtobufError)
      throw badRequest(
        `${expected.kind} in version ${JSON.stringify(expected.apiVersion)} cannot be handled as a ${expected.kind}: ${e.message}`,
      )
    throw e
  }
}

/** A patched document as an object of the endpoint's version; not defaulted. Throws 422. */
export function readPatched(
  ctx: RequestContext,
  endpoint: Endpoint,
  document: unknown,
  fieldValidation: FieldValidation,
  strategic?: () => unknown,
): KubeObject {
  const { object, warnings } = decodePatched(endpoint.codec, document, fieldValidation, endpoint, strategic)
  ctx.warnings.push(...warnings)
  return object as KubeObject
}

/** Fills in static and other defaults and converts to the hub form. The argument may become the result. */
export function toStored(endpoint: Endpoint, object: KubeObject): Maybe<KubeObject> {
  object.metadata ??= {}
  endpoint.codec.applyDefaults(object)
  endpoint.definition.defaults?.(object)
  return endpoint.definition.conversion
    ? after(hubOfServed(endpoint, object), hub => defaulted(endpoint, hub))
    : defaulted(endpoint, object)
}

function defaulted({ hub, resource, definition }: Endpoint, object: KubeObject): KubeObject {
  if (definition.conversion) hub.codec.applyDefaults(object)
  resource.defaults?.(object)
  if (object.metadata.name) resource.nameDefaults?.(object)
  return object
}
