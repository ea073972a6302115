/** What all patches share: parsing their bodies, and objects whose keys come from outside. */
import { parseJson } from '../int64.ts'
import { maxDepth, measure } from '../jsonvalue.ts'
import { badRequest } from '../status.ts'

export type Document = Record<string, unknown>

export const isDocument = (value: unknown): value is Document => typeof value === 'object' && value !== null && !Array.isArray(value)

/** JSON with sorted keys, so that equal values have one text. */
export const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) => (isDocument(inner) ? sorted(inner) : inner))
const sorted = (object: Document): Document => Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)))

/** The JSON value of a patch's body; a StatusError 400 when it is none or nested too deep. */
export function parsePatch(patch: Uint8Array | string): unknown {
  const text = typeof patch === 'string' ? patch : Buffer.from(patch.buffer, patch.byteOffset, patch.byteLength).toString('utf8')
  let value: unknown
  try {
    value = parseJson(text)
  } catch (e) {
    throw badRequest(
      `error decoding patch: ${text.trim() === '' ? 'unexpected end of JSON input' : e instanceof Error ? e.message : String(e)}`,
    )
  }
  if (measure(value).depth > maxDepth) throw badRequest('error decoding patch: exceeded max depth')
  return value
}

/** The same where the patch must be an object. */
export function parseObjectPatch(patch: Uint8Array | string): Document {
  const value = parsePatch(patch)
  if (isDocument(value)) return value
  const kind = Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value === 'boolean' ? 'bool' : typeof value
  throw badRequest(`error decoding patch: json: cannot unmarshal ${kind} into Go value of type map[string]interface {}`)
}
