/** Short stable hashes for names and labels. */
import { randomInt } from 'node:crypto'

/** No vowels, so that no words come out, and none of 0, 1, 3, which look like letters: upstream's alphabet. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789'

/** FNV-1a, 32 bits, over the UTF-8 bytes. */
export function fnv32a(text: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash
}

/** Maps every character to one of the alphabet that is safe in names: rand.SafeEncodeString. */
export const safeEncode = (text: string): string => [...text].map(c => alphabet[c.charCodeAt(0) % alphabet.length]).join('')

/** A random suffix as `generateName` appends: 5 characters unless given. */
export const randomSuffix = (length = 5): string => Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('')

/** JSON with sorted keys: equal values give equal texts. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(v => canonical(v === undefined ? null : v)).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value).filter(([, v]) => v !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${canonical(v)}`).join(',')}}`
}

/** The hash of any JSON value, safe in a name; `collisions` gives another one for the same value. */
export const safeHash = (value: unknown, collisions?: number): string =>
  safeEncode(String(fnv32a(canonical(value) + (collisions === undefined ? '' : `#${collisions}`))))
