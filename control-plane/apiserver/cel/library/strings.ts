/** The extended strings of github.com/google/cel-go/ext, at the version that Kubernetes has (2). Indexes count code points. */
import { sizeOrUnknown, traversed, type CostEstimator } from '../estimate.ts'
import { member, overload, traversal, traverses, type Library, type Overload } from '../functions.ts'
import { dyn, int, list, string } from '../types.ts'
import { most, plus, scaled, times, zero } from '../range.ts'
import { ArrayList, ErrorValue, ListValue, sizeOf, textSize, type Value } from '../values.ts'
import { itemSize, literalInt, rewrites, walk } from './costs.ts'
import { format } from './stringformat.ts'

const outOfRange = (i: bigint): ErrorValue => new ErrorValue(`index out of range: ${i}`)
const isSimple = (text: string): boolean => textSize(text) === text.length

/** Like String.slice, by code points. */
const slice = (text: string, from: number, to?: number): string =>
  isSimple(text) ? text.slice(from, to) : [...text].slice(from, to).join('')

function charAt(text: string, i: bigint): Value {
  const size = textSize(text)
  if (i < 0n || i > size) return outOfRange(i)
  return slice(text, Number(i), Number(i) + 1)
}

function indexOf(text: string, part: string, offset = 0n): Value {
  if (part === '') return offset
  if (offset < 0n) return outOfRange(offset)
  if (offset >= textSize(text)) return -1n
  if (isSimple(text)) return BigInt(text.indexOf(part, Number(offset)))
  const skipped = slice(text, 0, Number(offset)).length
  const found = text.indexOf(part, skipped)
  return found < 0 ? -1n : BigInt(textSize(text.slice(0, found)))
}

function lastIndexOf(text: string, part: string, offset?: bigint): Value {
  const size = textSize(text)
  if (part === '') return offset ?? BigInt(size)
  if (offset !== undefined && offset < 0n) return outOfRange(offset)
  if (offset !== undefined && offset >= size) return -1n
  const from = offset === undefined ? undefined : slice(text, 0, Number(offset)).length
  const found = text.lastIndexOf(part, from)
  return found < 0 ? -1n : BigInt(textSize(text.slice(0, found)))
}

function substring(text: string, from: bigint, to?: bigint): Value {
  const size = textSize(text)
  if (to !== undefined && from > to) return new ErrorValue(`invalid substring range. start: ${from}, end: ${to}`)
  if (from < 0n || from > size) return outOfRange(from)
  if (to !== undefined && (to < 0n || to > size)) return outOfRange(to)
  return slice(text, Number(from), to === undefined ? undefined : Number(to))
}

/** Long results are bounded as upstream's are by its cost, which is that of the text before. */
const maxLength = 10 * 1024 * 1024

function replace(text: string, old: string, by: string, limit = -1n): Value {
  if (limit === 0n) return text
  const parts = old === '' ? ['', ...text] : text.split(old)
  const all = old === '' ? parts.length : parts.length - 1
  const count = limit < 0n || limit > all ? all : Number(limit)
  if (count * by.length + text.length > maxLength) return new ErrorValue('replace: result is too long')
  if (old === '') return parts.map((c, i) => (i < count ? c + by : c)).join('')
  return [...parts.slice(0, count), parts.slice(count).join(old)].join(by)
}

function split(text: string, by: string, limit = -1n): Value {
  if (limit === 0n) return new ArrayList([])
  const parts = by === '' ? [...text] : text.split(by)
  if (limit < 0n || parts.length <= limit) return new ArrayList(parts)
  const kept = Number(limit) - 1
  return new ArrayList([...parts.slice(0, kept), parts.slice(kept).join(by)])
}

function join(parts: ListValue, by = ''): Value {
  const texts: string[] = []
  let length = 0
  for (const part of parts) {
    if (typeof part !== 'string') return part instanceof ErrorValue ? part : new ErrorValue(`join: invalid input: ${String(part)}`)
    length += part.length + by.length
    if (length > maxLength) return new ErrorValue('join: result is too long')
    texts.push(part)
  }
  return texts.join(by)
}

/** What Go's unicode.IsSpace says. */
const space = /[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/
function trim(text: string): string {
  let [from, to] = [0, text.length]
  while (from < to && space.test(text[from]!)) from++
  while (to > from && space.test(text[to - 1]!)) to--
  return text.slice(from, to)
}

const escapes: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
}
const quote = (text: string): Value => `"${text.toWellFormed().replace(/[\x07\b\f\n\r\t\v\\"]/g, c => escapes[c]!)}"`

const onceThrough: CostEstimator = ([text]) => ({ cost: traversed(sizeOrUnknown(text)) })
const searching = { cost: (args: readonly Value[]) => walk(args[0]!), estimate: onceThrough }
const twice = (args: readonly Value[]): number => Math.ceil(sizeOf(args[0]!) * 0.2)

/** As long as the text can become, and as short. */
const replacing: Pick<Overload, 'cost' | 'estimate'> = {
  cost: twice,
  estimate: ([text, old, by]) => {
    const [size, from, to] = [sizeOrUnknown(text), sizeOrUnknown(old), sizeOrUnknown(by)]
    const longest =
      from.min === 0 ? [Math.min(size.max + 1, most), size.max] : to.max <= from.min ? [0, size.max] : [Math.ceil(size.max / from.min), 0]
    const shortest = from.max === 0 ? [size.min + 1, size.min] : from.max <= to.min ? [0, size.min] : [Math.ceil(size.min / from.max), 0]
    const count = { min: shortest[0]!, max: longest[0]! }
    return { cost: scaled(size, 0.2), size: plus(times(count, to), { min: shortest[1]!, max: longest[1]! }) }
  },
}
const splitting: Pick<Overload, 'cost' | 'estimate'> = {
  cost: twice,
  estimate: ([text, , limit]) => ({
    cost: scaled(sizeOrUnknown(text), 0.2),
    size: { min: 0, max: literalInt(limit, sizeOrUnknown(text).max) },
  }),
}
const joining: Pick<Overload, 'cost' | 'estimate'> = {
  cost: (_, result) => Math.ceil(sizeOf(result) * 0.2),
  estimate: ([parts, by], sizes) => {
    const count = sizeOrUnknown(parts)
    const between = { min: Math.max(0, count.min - 1), max: Math.max(0, count.max - 1) }
    const size = plus(times(count, itemSize(parts!, sizes)), by ? times(sizeOrUnknown(by), between) : zero)
    return { cost: traversed(size), size }
  },
}

const texts = list(string)

export const strings: Library = {
  functions: new Map<string, readonly Overload[]>([
    ['charAt', [member('string_char_at_int', [string, int], string, charAt)]],
    [
      'indexOf',
      [
        member('string_index_of_string', [string, string], int, indexOf, searching),
        member('string_index_of_string_int', [string, string, int], int, indexOf, searching),
      ],
    ],
    [
      'lastIndexOf',
      [
        member('string_last_index_of_string', [string, string], int, lastIndexOf, searching),
        member('string_last_index_of_string_int', [string, string, int], int, lastIndexOf, searching),
      ],
    ],
    ['lowerAscii', [member('string_lower_ascii', [string], string, (t: string) => t.replace(/[A-Z]+/g, c => c.toLowerCase()), rewrites)]],
    ['upperAscii', [member('string_upper_ascii', [string], string, (t: string) => t.replace(/[a-z]+/g, c => c.toUpperCase()), rewrites)]],
    [
      'replace',
      [
        member('string_replace_string_string', [string, string, string], string, replace, replacing),
        member('string_replace_string_string_int', [string, string, string, int], string, replace, replacing),
      ],
    ],
    [
      'split',
      [
        member('string_split_string', [string, string], texts, split, splitting),
        member('string_split_string_int', [string, string, int], texts, split, splitting),
      ],
    ],
    [
      'substring',
      [
        member('string_substring_int', [string, int], string, substring, rewrites),
        member('string_substring_int_int', [string, int, int], string, substring, rewrites),
      ],
    ],
    ['trim', [member('string_trim', [string], string, trim, rewrites)]],
    ['join', [member('list_join', [texts], string, join, joining), member('list_join_string', [texts, string], string, join, joining)]],
    [
      'format',
      [
        member('string_format', [string, list(dyn)], string, format, {
          cost: args => traversal(sizeOf(args[0]!)),
          estimate: onceThrough,
        }),
      ],
    ],
    [
      'strings.quote',
      [
        overload('strings_quote', [string], string, quote, {
          cost: traverses(),
          estimate: ([text]) => {
            const size = sizeOrUnknown(text)
            return { cost: traversed(size), size: { min: size.min + 2, max: Math.min(most, size.max * 2 + 2) } }
          },
        }),
      ],
    ],
  ]),
}
