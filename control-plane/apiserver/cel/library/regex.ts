/** Regular expressions and keys of JSON patches: k8s.io/apiserver/pkg/cel/library/regex.go, jsonpatch.go. */
import { member, overload, type Library, type Overload } from '../functions.ts'
import { int, list, string } from '../types.ts'
import { ArrayList, ErrorValue, type Value } from '../values.ts'
import { finds, rewrites } from './costs.ts'
import { matcherOf } from './pattern.ts'

function all(text: string, pattern: string, limit = -1n): Value {
  const matcher = matcherOf(pattern)
  if (matcher instanceof ErrorValue) return new ErrorValue(`Illegal regex: ${matcher.message}`)
  return new ArrayList(matcher.findAll(text, limit < 0n ? Infinity : Number(limit)))
}
function first(text: string, pattern: string): Value {
  const found = all(text, pattern, 1n)
  return found instanceof ArrayList ? (found.items[0] ?? '') : found
}

const texts = list(string)

export const regexes: Library = {
  functions: new Map<string, readonly Overload[]>([
    ['find', [member('string_find_string', [string, string], string, first, finds)]],
    [
      'findAll',
      [
        member('string_find_all_string', [string, string], texts, all, finds),
        member('string_find_all_string_int', [string, string, int], texts, all, finds),
      ],
    ],
  ]),
}

const escapeKey = (key: string): string => key.replace(/[~/]/g, c => (c === '~' ? '~0' : '~1'))

export const jsonPatch: Library = {
  functions: new Map<string, readonly Overload[]>([
    ['jsonpatch.escapeKey', [overload('string_jsonpatch_escapeKey_string', [string], string, escapeKey, rewrites)]],
  ]),
}
