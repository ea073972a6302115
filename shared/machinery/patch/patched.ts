/** What a patch made, read back as an object of its kind. */
import type { Codec } from '../codec.ts'
import { DecodeError } from '../decode.ts'
import { invalid, Path } from '../field.ts'
import { strictErrors, type FieldValidation } from '../requestbody.ts'
import { StatusError } from '../status.ts'
import { goText, restoreError } from './restore.ts'

/** What an object is: a patch must leave it that. */
export interface TypeMeta {
  readonly apiVersion: string
  readonly kind: string
}

/**
 * Checks a patched document against the schema and brings it into normal form. Returns it with the texts for `Warning` headers. Throws a
 * StatusError 422 about the field `patch`, as upstream does, on another kind or apiVersion than before, on wrong types and with `Strict` on
 * unknown fields. `strategic` is the document of a strategic merge patch.
 */
export function decodePatched(
  codec: Codec,
  document: unknown,
  fieldValidation: FieldValidation,
  expected: TypeMeta,
  strategic?: () => unknown,
): { object: object; warnings: string[] } {
  const text = (): string => (strategic ? goText(strategic()) : JSON.stringify(document))
  const changed = otherType(document, expected)
  if (changed !== undefined) throw rejected(text(), changed)
  try {
    const decoded = codec.decodeValue(document)
    const complaints = strictErrors(decoded)
    if (fieldValidation === 'Strict' && complaints.length > 0) throw rejected(text(), `strict decoding error: ${complaints.join(', ')}`)
    return { object: decoded.object, warnings: fieldValidation === 'Warn' ? complaints : [] }
  } catch (e) {
    if (e instanceof DecodeError) throw rejected(text(), strategic ? restoreError(e.message) : e.message)
    throw e
  }
}

/** What upstream says of a document that became a kind that it does not know, undefined when it stayed what it was. */
function otherType(document: unknown, expected: TypeMeta): string | undefined {
  const { kind = expected.kind, apiVersion = expected.apiVersion } = (document ?? {}) as { kind?: unknown; apiVersion?: unknown }
  // What is no string is for the decoder to refuse.
  if (typeof kind !== 'string' || typeof apiVersion !== 'string') return undefined
  if ((kind === '' || kind === expected.kind) && (apiVersion === '' || apiVersion === expected.apiVersion)) return undefined
  return `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)} in scheme "pkg/api/legacyscheme/scheme.go:30"`
}

/** Upstream names no kind here, so that the message begins with an empty name. */
function rejected(value: string, why: string): StatusError {
  const error = invalid(new Path('patch'), value, why)
  return new StatusError(422, 'Invalid', ` "" is invalid: patch: ${error.message}`, {
    causes: [{ reason: error.reason, message: error.message, field: error.field }],
  })
}
