/** JSON Merge Patch, RFC 7386. https://datatracker.ietf.org/doc/html/rfc7386 */
import { clone, getOwn, setOwn } from '../jsonvalue.ts'
import { isDocument, parseObjectPatch, type Document } from './document.ts'

/**
 * Applies a patch to a document; the document is not changed and shares nothing with the result that a caller may not change. Throws a
 * StatusError 400 when the patch is no object.
 */
export const mergePatch = (document: unknown, patch: Uint8Array | string): unknown => mergeValue(clone(document), parseObjectPatch(patch))

/** The merge itself, on values; changes and returns `target` where it is an object. */
export function mergeValue(target: unknown, patch: unknown): unknown {
  if (!isDocument(patch)) return patch
  const out: Document = isDocument(target) ? target : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete out[key]
    else setOwn(out, key, mergeValue(getOwn(out, key), value))
  }
  return out
}

/** The patch that turns `from` into `to`; undefined when they are equal. A null in `to` cannot be expressed. */
export function mergeDiff(from: unknown, to: unknown): unknown {
  if (!isDocument(from) || !isDocument(to)) return JSON.stringify(from) === JSON.stringify(to) ? undefined : to
  const patch: Document = {}
  for (const key of Object.keys(from)) if (getOwn(to, key) === undefined) setOwn(patch, key, null)
  for (const [key, value] of Object.entries(to)) {
    if (value === undefined) continue
    const change = Object.hasOwn(from, key) ? mergeDiff(from[key], value) : value
    if (change !== undefined) setOwn(patch, key, change)
  }
  return Object.keys(patch).length > 0 ? patch : undefined
}
