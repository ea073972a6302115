/** The body of a server-side apply: a part of an object, as YAML or JSON. */
import type { Codec } from '../codec.ts'
import { DecodeError, type Decoded } from '../decode.ts'
import { pathText } from '../managedfields/fieldset.ts'
import { itemElement, type Shape } from '../managedfields/shape.ts'
import { badRequest, StatusError } from '../status.ts'
import { yamlToJson } from '../yaml.ts'

/**
 * Decodes a configuration for `applyConfiguration`. Throws a StatusError: 400 for what is no YAML, has keys twice or is of another version
 * or kind, 500 (as upstream) for fields that the type does not have or that have a wrong type.
 */
export function decodeConfiguration(codec: Codec, body: Uint8Array, kind: string, apiVersion: string): object {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')
  const decoded = asJson(codec, text, kind, apiVersion) ?? asYaml(codec, text, kind, apiVersion)
  if (decoded.unknown.length === 0) return decoded.object
  const errors = decoded.unknown.map(path => `${keyed(codec.shape, decoded.object, path)}: field not declared in schema`)
  throw untyped(errors.length === 1 ? errors[0]! : `errors:\n  ${errors.join('\n  ')}`)
}

/** `spec.containers[0].x` as upstream names it here, `.spec.containers[name="c"].x`: by the keys of the items. */
function keyed(shape: Shape, object: object, path: string): string {
  let here: { shape: Shape | undefined; value: unknown } = { shape, value: object }
  const text = path.replace(/\[(\d+)\]|[^.[\]]+/g, (part, index?: string) => {
    const { shape, value } = here
    if (index === undefined) {
      const below = shape?.kind === 'map' ? shape.item : shape?.fields.get(part)
      here = { shape: below, value: (value as Record<string, unknown> | undefined)?.[part] }
      return part
    }
    const item = (value as unknown[] | undefined)?.[Number(index)]
    here = { shape: shape?.item, value: item }
    return shape?.kind === 'keyed' ? pathText([itemElement(shape, item)]) : part
  })
  return `.${text}`
}

/** Most clients send JSON, which is YAML too. Undefined when it is none, or has keys twice, whose lines only the YAML parser knows. */
function asJson(codec: Codec, text: string, kind: string, apiVersion: string): Decoded<object> | undefined {
  if (!/^\s*\{/.test(text)) return undefined
  let own: unknown
  try {
    own = JSON.parse(text)
  } catch {
    return undefined
  }
  checkType(own, kind, apiVersion)
  const decoded = decodePartial(codec, text)
  return decoded.duplicate.length > 0 ? undefined : decoded
}

function asYaml(codec: Codec, text: string, kind: string, apiVersion: string): Decoded<object> {
  let json: string
  try {
    const yaml = yamlToJson(text)
    if (yaml.duplicate.length > 0)
      throw badRequest(
        `error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  ${yaml.duplicate.join('\n  ')}`,
      )
    json = yaml.json
  } catch (e) {
    throw e instanceof DecodeError ? badRequest(`error decoding YAML: ${e.message}`) : e
  }
  checkType(JSON.parse(json), kind, apiVersion)
  return decodePartial(codec, json)
}

function checkType(body: unknown, kind: string, apiVersion: string): void {
  const own = body as { kind?: unknown; apiVersion?: unknown } | null
  if (own === null || typeof own.kind !== 'string' || own.kind === '') throw badRequest("error decoding YAML: Object 'Kind' is missing")
  if (typeof own.apiVersion !== 'string' || own.apiVersion === '') throw badRequest('invalid object type: /, Kind=')
  if (own.apiVersion !== apiVersion)
    throw badRequest(`Incorrect version specified in apply patch. Specified patch version: ${own.apiVersion}, expected: ${apiVersion}`)
  if (own.kind !== kind) throw badRequest(`Incorrect kind specified in apply patch. Specified patch kind: ${own.kind}, expected: ${kind}`)
}

function decodePartial(codec: Codec, json: string): Decoded<object> {
  try {
    return codec.decode(json, { partial: true })
  } catch (e) {
    throw e instanceof DecodeError ? untyped(e.message) : e
  }
}

/** How failures begin that the configuration's types are the reason of. */
export const untypedHead = 'failed to create typed patch object'
export const untyped = (why: string): StatusError => new StatusError(500, '', `${untypedHead}: ${why}`)

/** Such a failure as upstream tells it, with the object that the body names; other errors as they are. */
export function identified(e: unknown, body: Uint8Array, kind: string, apiVersion: string): unknown {
  if (!(e instanceof StatusError) || !e.message.startsWith(`${untypedHead}: `)) return e
  const { metadata } = JSON.parse(yamlToJson(Buffer.from(body).toString()).json) as { metadata?: { namespace?: unknown; name?: unknown } }
  const { namespace = '', name = '' } = metadata ?? {}
  const type = `${apiVersion.includes('/') ? '' : '/'}${apiVersion}, Kind=${kind}`
  return new StatusError(500, '', `${untypedHead} (${String(namespace)}/${String(name)}; ${type})${e.message.slice(untypedHead.length)}`)
}
