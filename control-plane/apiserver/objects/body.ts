/** Request bodies as defaulted objects in the stored form. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { decodePatched } from '#shared/machinery/patch/patched.ts'
import { decodeBody, type FieldValidation } from '#shared/machinery/requestbody.ts'
import { decodeProtobuf, ProtobufError } from '#shared/machinery/protobuf.ts'
import type { ObjectSchema } from '#shared/machinery/schema.ts'
import { badRequest } from '#shared/machinery/status.ts'
import type { RequestContext } from '../chain/chain.ts'
import { inputFormat } from '../chain/mediatype.ts'
import type { Endpoint } from './endpoint.ts'

/** What a body should hold. */
export interface Expected {
  readonly apiVersion: string
  readonly kind: string
  readonly schema: ObjectSchema
}

/** Decodes a request's body, JSON or YAML; unknown fields go where the client wants them. Not defaulted. Throws 400, 415. */
export function readBody<T = KubeObject>(ctx: RequestContext, expected: Expected, fieldValidation: FieldValidation): T {
  const { body, headers } = ctx.request
  const format = inputFormat(headers['content-type'])
  const mediaType = format === 'yaml' ? 'application/yaml' : 'application/json'
  const text = format === 'protobuf' ? fromProtobuf(expected, body) : body
  const { object, warnings } = decodeBody(expected.schema, text, {
    kind: expected.kind,
    apiVersion: expected.apiVersion,
    mediaType,
    fieldValidation,
  })
  ctx.warnings.push(...warnings)
  return object as T
}

/** A protobuf body as the JSON of the same object. Throws 400. */
export function fromProtobuf(expected: Expected, body: Uint8Array): Uint8Array {
  try {
    return Buffer.from(JSON.stringify(decodeProtobuf(expected.schema, body)))
  } catch (e) {
    if (e instanceof ProtobufError)
      throw badRequest(
        `${expected.kind} in version ${JSON.stringify(expected.apiVersion)} cannot be handled as a ${expected.kind}: ${e.message}`,
      )
    throw e
  }
}

/** A patched document as an object of the endpoint's version; not defaulted. Throws 422. */
export function readPatched(ctx: RequestContext, endpoint: Endpoint, document: unknown, fieldValidation: FieldValidation): KubeObject {
  const { object, warnings } = decodePatched(endpoint.schema, document, fieldValidation, endpoint)
  ctx.warnings.push(...warnings)
  return object as KubeObject
}

/** Fills in static and other defaults and converts to the stored form. The argument may become the result. */
export function toStored(endpoint: Endpoint, object: KubeObject): KubeObject {
  object.metadata ??= {}
  applyDefaults(endpoint.schema, object)
  const stored = endpoint.alternate ? (endpoint.alternate.toStored(object) as KubeObject) : object
  if (endpoint.alternate) applyDefaults(endpoint.resource.schema, stored)
  endpoint.resource.defaults?.(stored)
  if (stored.metadata.name) endpoint.resource.nameDefaults?.(stored)
  return stored
}
