/** Decoding of request bodies into defaulted objects of the stored form. */
import { parse as parseYaml } from 'yaml'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { DecodeError, decode, decodeValue, type Decoded } from '#shared/machinery/decode.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import type { ObjectSchema } from '#shared/machinery/schema.ts'
import { StatusError, badRequest } from '#shared/machinery/status.ts'
import { inputFormat } from '../handler/mediatype.ts'
import type { Endpoint } from './endpoint.ts'
import type { FieldValidation } from './options.ts'

/** What a body should hold. */
export interface Expected {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly schema: ObjectSchema
}

/** YAML as upstream reads it: version 1.1 (`y` is true), times stay text. Throws Error. */
export function yamlToValue(text: string): unknown {
  return parseYaml(text, { version: '1.1', schema: 'yaml-1.1', uniqueKeys: false, merge: true, logLevel: 'silent', customTags: tags => tags.filter(t => typeof t === 'string' || t.tag !== 'tag:yaml.org,2002:timestamp') })
}

const gvText = (e: Expected): string => (e.group ? `${e.group}/${e.version}` : e.version)

/** Deals with unknown and duplicate fields as the client asked. Throws 400 when strict. */
export function applyFieldValidation(expected: Expected, decoded: Decoded<unknown>, validation: FieldValidation, warnings: string[]): void {
  if (validation === 'Ignore' || decoded.unknown.length + decoded.duplicate.length === 0) return
  const texts = [...decoded.duplicate.map(p => `duplicate field ${JSON.stringify(p)}`), ...decoded.unknown.map(p => `unknown field ${JSON.stringify(p)}`)]
  if (validation === 'Strict') throw badRequest(`${expected.kind} in version ${JSON.stringify(expected.version)} cannot be handled as a ${expected.kind}: strict decoding error: ${texts.join(', ')}`)
  warnings.push(...texts)
}

/** Decodes bytes of JSON or YAML. Throws 400, 415. */
export function decodeBody<T = KubeObject>(expected: Expected, body: Uint8Array, contentType: string | undefined, validation: FieldValidation, warnings: string[]): T {
  const format = inputFormat(contentType)
  let decoded: Decoded<unknown>
  try {
    if (format === 'json') decoded = decode(expected.schema, body)
    else {
      let value: unknown
      try {
        value = yamlToValue(Buffer.from(body).toString('utf8'))
      } catch (e) {
        throw new DecodeError(`error converting YAML to JSON: ${(e as Error).message.split('\n')[0]}`)
      }
      decoded = decodeValue(expected.schema, value)
    }
  } catch (e) {
    throw decodeFailure(expected, e)
  }
  const object = decoded.object as { kind?: string; apiVersion?: string }
  checkKind(expected, object)
  applyFieldValidation(expected, decoded, validation, warnings)
  return object as T
}

/** A DecodeError as 400; other errors as they are. */
export function decodeFailure(expected: Expected, e: unknown): unknown {
  if (!(e instanceof DecodeError)) return e
  const typeError = /^(json: cannot unmarshal|parsing time|quantities must|illegal base64|time: )/.test(e.message)
  return badRequest(
    typeError
      ? `${expected.kind} in version ${JSON.stringify(expected.version)} cannot be handled as a ${expected.kind}: ${e.message}`
      : `the object provided is unrecognized (must be of type ${expected.kind}): couldn't get version/kind; json parse error: ${e.message}`,
  )
}

/** The body may leave kind and apiVersion out; given, they must be right. Fills them in. */
function checkKind(expected: Expected, object: { kind?: string; apiVersion?: string }): void {
  const gv = gvText(expected)
  object.kind ||= expected.kind
  object.apiVersion ||= gv
  if (object.kind === expected.kind && object.apiVersion === gv) return
  const version = object.apiVersion.slice(object.apiVersion.indexOf('/') + 1)
  if (object.kind === expected.kind) throw badRequest(`the API version in the data (${object.apiVersion}) does not match the expected API version (${gv})`)
  throw badRequest(`${object.kind} in version ${JSON.stringify(version)} cannot be handled as a ${expected.kind}: converting (${version}.${object.kind}) to (${expected.version}.${expected.kind}): unknown conversion`)
}

/** An object of the endpoint's version, decoded: static and other defaults filled in, in the stored form. */
export function toStored(endpoint: Endpoint, object: KubeObject): KubeObject {
  applyDefaults(endpoint.schema, object)
  const stored = endpoint.alternate ? (endpoint.alternate.toStored(object) as KubeObject) : object
  if (endpoint.alternate) applyDefaults(endpoint.resource.schema, stored)
  endpoint.resource.defaults?.(stored)
  stored.metadata ??= {}
  return stored
}

/** The value of a patched object, which must be an object: decoded in the endpoint's version, not yet defaulted. Throws 400. */
export function decodePatched(endpoint: Endpoint, value: unknown, validation: FieldValidation, warnings: string[]): KubeObject {
  let decoded: Decoded<unknown>
  try {
    decoded = decodeValue(endpoint.schema, value)
  } catch (e) {
    throw decodeFailure(endpoint, e)
  }
  checkKind(endpoint, decoded.object as { kind?: string })
  applyFieldValidation(endpoint, decoded, validation, warnings)
  return decoded.object as KubeObject
}

/** A generic 415 as upstream's router words it. */
export const unsupportedMediaType = (): StatusError => new StatusError(415, 'UnsupportedMediaType', '415: Unsupported Media Type', {})
