/** Entries of preloadedImagesVerificationAllowlist: whole names of images without tag and digest, or beginnings of them with `/*`. */
import { invalidImageName, parseImageName } from '../api/core/podspec/imagename.ts'

/** What is wrong with one, in upstream's words; undefined: nothing. */
export function imagePatternError(pattern: string): string | undefined {
  if (pattern !== pattern.trim()) return `leading/trailing spaces are not allowed: ${pattern}`
  const wildcard = pattern.endsWith('/*')
  const rest = wildcard ? pattern.slice(0, -1) : pattern
  if (rest === '') return `the supplied pattern is too short: ${pattern}`
  if (rest.includes('*')) return `not a valid wildcard pattern, only patterns ending with '/*' are allowed: ${pattern}`
  if (wildcard) return rest === '/' ? 'at least registry hostname is required' : undefined
  const name = parseImageName(rest)
  if (!name) return `failed to parse as an image name: ${invalidImageName(rest)}`
  return name.repository === rest ? undefined : `neither tag nor digest is accepted in an image reference: ${pattern}`
}
