/** From the body of a request to an object of the kind that the path names, with the answers that upstream gives when that fails. */
import type { Codec } from './codec.ts'
import { DecodeError, type Decoded } from './decode.ts'
import { badRequest } from './status.ts'
import { yamlToJson } from './yaml.ts'

/** What to do about unknown and duplicate fields: the request's `fieldValidation`. */
export type FieldValidation = 'Ignore' | 'Warn' | 'Strict'

export interface BodyOptions {
  /** The kind the request is about, and its apiVersion. */
  kind: string
  apiVersion: string
  mediaType: 'application/json' | 'application/yaml'
  fieldValidation: FieldValidation
}

/**
 * Decodes a body. A body that does not say what it is, is taken for what the path names. Returns the object, its kind and apiVersion set,
 * and the texts for `Warning` headers. Throws a StatusError (400) on bad syntax, wrong types, another kind, and with `Strict` on unknown
 * and duplicate fields.
 */
export function decodeBody(codec: Codec, body: Uint8Array, options: BodyOptions): { object: object; warnings: string[] } {
  let decoded: Decoded<object>
  let text: string | undefined
  const duplicateKeys: string[] = []
  try {
    if (options.mediaType === 'application/yaml') {
      const yaml = yamlToJson(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'))
      if (yaml.duplicate.length > 0) duplicateKeys.push(`yaml: unmarshal errors:\n  ${yaml.duplicate.join('\n  ')}`)
      text = yaml.json
    }
    decoded = codec.decode(text ?? body)
  } catch (e) {
    if (!(e instanceof DecodeError)) throw e
    throw badRequest(cannotDecode(e.message, text ?? Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'), options))
  }
  const { object } = decoded
  const own = object as { kind?: string; apiVersion?: string }
  if ((own.kind ?? options.kind) !== options.kind || (own.apiVersion ?? options.apiVersion) !== options.apiVersion)
    throw badRequest(wrongKind(own, options))
  const complaints = [...duplicateKeys, ...strictErrors(decoded)]
  if (options.fieldValidation === 'Strict' && complaints.length > 0)
    throw badRequest(handled(options.kind, options.apiVersion, options.kind, `strict decoding error: ${complaints.join(', ')}`))
  if (own.kind === undefined || own.apiVersion === undefined) {
    const { kind: _, apiVersion: __, ...rest } = own
    return {
      object: { kind: options.kind, apiVersion: options.apiVersion, ...rest },
      warnings: options.fieldValidation === 'Warn' ? complaints : [],
    }
  }
  return { object, warnings: options.fieldValidation === 'Warn' ? complaints : [] }
}

/**
 * The complaints about a body, one for each field: `unknown field "spec.foo"`. They are the texts of warnings, and joined by `, ` of the
 * strict error.
 */
export const strictErrors = (decoded: Pick<Decoded<unknown>, 'unknown' | 'duplicate'>): string[] => [
  ...decoded.duplicate.map(path => `duplicate field ${JSON.stringify(path)}`),
  ...decoded.unknown.map(path => `unknown field ${JSON.stringify(path)}`),
]

const versionOf = (apiVersion: string): string => apiVersion.slice(apiVersion.indexOf('/') + 1)
const handled = (kind: string, apiVersion: string, wanted: string, why: string): string =>
  `${kind} in version ${JSON.stringify(versionOf(apiVersion))} cannot be handled as a ${wanted}: ${why}`

/** Upstream looks at kind and version first, so the answer depends on whether these could be read. */
function cannotDecode(message: string, text: string, options: BodyOptions): string {
  let meta: { kind?: unknown; apiVersion?: unknown } | null
  const head = (why: string): string =>
    `the object provided is unrecognized (must be of type ${options.kind}): couldn't get version/kind; json parse error: ${why} (${excerpt(text)})`
  if (message.endsWith('exceeded max depth')) return head(message)
  try {
    meta = JSON.parse(text) as typeof meta
  } catch {
    return head(message)
  }
  for (const field of ['apiVersion', 'kind'] as const) {
    const value = meta?.[field]
    if (value !== undefined && value !== null && typeof value !== 'string') {
      return head(
        `json: cannot unmarshal ${Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value} into Go struct field .${field} of type string`,
      )
    }
  }
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta)) return head(message)
  const own = { kind: meta.kind as string | undefined, apiVersion: meta.apiVersion as string | undefined }
  if ((own.kind || options.kind) !== options.kind || (own.apiVersion || options.apiVersion) !== options.apiVersion)
    return wrongKind(own, options)
  return handled(options.kind, options.apiVersion, options.kind, message)
}

function wrongKind(own: { kind?: string | undefined; apiVersion?: string | undefined }, options: BodyOptions): string {
  const kind = own.kind || options.kind
  const apiVersion = own.apiVersion || options.apiVersion
  // What upstream says of kinds that it knows; for others only the last part differs.
  if (apiVersion !== options.apiVersion && kind === options.kind)
    return `the API version in the data (${apiVersion}) does not match the expected API version (${options.apiVersion})`
  return handled(
    kind,
    apiVersion,
    options.kind,
    `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)} in this path, which serves ${options.kind}`,
  )
}

/** The beginning of a body, as upstream quotes it. */
function excerpt(text: string): string {
  if (text === '') return '<empty>'
  return text.length > 30 ? `${text.slice(0, 30)} ...` : text
}
