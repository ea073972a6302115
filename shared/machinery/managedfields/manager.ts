/** Who writes: the names under which changes are recorded. */

/** Upstream's limit, in bytes. */
const maxBytes = 128

/**
 * The manager of a request: its fieldManager parameter, else the first part of its user agent (`kubectl/v1.35.0 ...` gives `kubectl`), else
 * `unknown`.
 */
export function managerName(fieldManager: string | null | undefined, userAgent: string | undefined): string {
  if (fieldManager) return fieldManager
  let out = ''
  let bytes = 0
  for (const character of (userAgent ?? '').split('/')[0]!) {
    if (!/[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(character)) continue
    bytes += Buffer.byteLength(character)
    if (bytes > maxBytes) break
    out += character
  }
  return out || 'unknown'
}
