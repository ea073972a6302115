/** `'%s is %d'.format([...])` of github.com/google/cel-go/ext/formatting.go, in the locale en_US. */
import { formatDuration, formatTimestamp } from '../gotime.ts'
import type { CelIssue } from '../source.ts'
import type { Expr } from '../ast.ts'
import { isDyn, type Kind } from '../types.ts'
import { Duration, ErrorValue, ListValue, MapValue, Timestamp, TypeValue, typeOfValue, Uint, type Value } from '../values.ts'
import { spend } from '../work.ts'
import { formatDouble } from './conversions.ts'

const defaultPrecision = 6
/** More digits than a double has are of no use; it bounds what a short format makes. */
const maxPrecision = 1000
const maxLength = 10 * 1024 * 1024

class FormatError extends Error {}

interface Clause {
  readonly letter: string
  readonly precision: number
}

/** Texts, and clauses between them. Throws FormatError. */
function parse(text: string): (string | Clause)[] {
  const parts: (string | Clause)[] = []
  let last = 0
  for (let i = text.indexOf('%'); i >= 0; i = text.indexOf('%', last)) {
    parts.push(text.slice(last, i))
    if (text[i + 1] === '%') {
      parts.push('%')
      last = i + 2
      continue
    }
    const match = /^%(?:\.(\d*))?([^]?)/u.exec(text.slice(i, i + 20))!
    const [whole, precision, letter] = match
    if (letter === '')
      throw new FormatError(
        precision === undefined
          ? 'unexpected end of string'
          : wrongClause('error while parsing precision: could not find end of precision specifier'),
      )
    if (precision === '')
      throw new FormatError(
        wrongClause('error while parsing precision: error while converting precision to integer: strconv.Atoi: parsing "": invalid syntax'),
      )
    if (!'sdfebxXo'.includes(letter!)) throw new FormatError(wrongClause(`unrecognized formatting clause "${letter}"`))
    if (Number(precision ?? 0) > maxPrecision)
      throw new FormatError(wrongClause(`error while parsing precision: ${precision} is too large`))
    parts.push({ letter: letter!, precision: precision === undefined ? defaultPrecision : Number(precision) })
    last = i + whole.length
  }
  parts.push(text.slice(last))
  return parts
}
const wrongClause = (why: string): string => `could not parse formatting clause: ${why}`

export function format(text: string, args: ListValue): Value {
  try {
    let next = 0
    let out = ''
    for (const part of parse(text)) {
      if (typeof part === 'string') out += part
      else {
        if (next >= args.size) return new ErrorValue(`index ${next} out of range`)
        const arg = args.at(next++)
        if (arg instanceof ErrorValue) return arg
        out += one(part, arg)
      }
      if (out.length > maxLength) return new ErrorValue('format: result is too long')
    }
    return out
  } catch (e) {
    if (!(e instanceof FormatError)) throw e
    return new ErrorValue(e.message)
  }
}

const wants: Readonly<Record<string, { kinds: readonly Kind[]; text: string }>> = {
  s: {
    kinds: ['list', 'map', 'int', 'uint', 'double', 'bool', 'string', 'timestamp', 'bytes', 'duration', 'type', 'null', 'struct'],
    text: 'string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps',
  },
  d: { kinds: ['int', 'uint'], text: 'decimal clause can only be used on integers' },
  f: { kinds: ['double', 'string'], text: 'fixed-point clause can only be used on doubles' },
  e: { kinds: ['double', 'string'], text: 'scientific clause can only be used on doubles' },
  b: { kinds: ['int', 'uint', 'bool'], text: 'only integers and bools can be formatted as binary' },
  x: { kinds: ['int', 'uint', 'string', 'bytes'], text: 'only integers, byte buffers, and strings can be formatted as hex' },
  o: { kinds: ['int', 'uint'], text: 'octal clause can only be used on integers' },
}
const wantedBy = (letter: string): { kinds: readonly Kind[]; text: string } => wants[letter.toLowerCase()]!
const notFor = (letter: string, type: string): FormatError =>
  new FormatError(`error during formatting: ${wantedBy(letter).text}, was given ${type}`)

function one({ letter, precision }: Clause, v: Value): string {
  const { kind, name } = typeOfValue(v)
  if (!wantedBy(letter).kinds.includes(kind)) throw notFor(letter, name)
  switch (letter) {
    case 's':
      return plain(v)
    case 'f':
    case 'e': {
      const number = typeof v === 'string' ? special.get(v) : (v as number)
      if (number === undefined) throw notFor(letter, name)
      return letter === 'f' ? fixed(number, precision) : scientific(number, precision)
    }
    case 'b':
      return typeof v === 'boolean' ? (v ? '1' : '0') : integer(v).toString(2)
    case 'o':
      return integer(v).toString(8)
    case 'd':
      return String(integer(v))
    default: {
      const hex = typeof v === 'string' || v instanceof Uint8Array ? Buffer.from(v as string).toString('hex') : integer(v).toString(16)
      return letter === 'X' ? hex.toUpperCase() : hex
    }
  }
}

const special: ReadonlyMap<string, number> = new Map([
  ['NaN', NaN],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
])
const integer = (v: Value): bigint => (v instanceof Uint ? v.value : (v as bigint))

function fixed(v: number, precision: number): string {
  if (Number.isNaN(v)) return 'NaN'
  if (!Number.isFinite(v)) return v > 0 ? '∞' : '-∞'
  const text = decimal(Math.abs(v), precision)
  const [whole, fraction] = text.split('.') as [string, string?]
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',')
  return `${v < 0 || Object.is(v, -0) ? '-' : ''}${grouped}${fraction === undefined ? '' : `.${fraction}`}`
}
/** Digits after the point, of what lies halfway the even ones, as Go has it. */
function decimal(v: number, precision: number): string {
  if (v >= 1e21) return `${BigInt(v)}${precision === 0 ? '' : `.${'0'.repeat(precision)}`}`
  const halves = v * 2 ** (precision + 1)
  if (precision <= 20 && Number.isSafeInteger(halves)) {
    const [whole, unit] = [BigInt(halves) * 10n ** BigInt(precision), 2n ** BigInt(precision + 1)]
    const down = whole / unit
    if ((whole % unit) * 2n === unit && down % 2n === 0n) {
      const digits = String(down).padStart(precision + 1, '0')
      return precision === 0 ? digits : `${digits.slice(0, -precision)}.${digits.slice(-precision)}`
    }
  }
  return precision <= 100 ? v.toFixed(precision) : v.toFixed(100) + '0'.repeat(precision - 100)
}

const superscript = '⁰¹²³⁴⁵⁶⁷⁸⁹'
function scientific(v: number, precision: number): string {
  if (Number.isNaN(v)) return 'NaN'
  if (!Number.isFinite(v)) return v > 0 ? '∞' : '-∞'
  const [digits, exponent] = v.toExponential(Math.min(100, precision)).split('e') as [string, string]
  const power = [...exponent.replace(/[+-]/, '').padStart(2, '0')].map(d => superscript[Number(d)]).join('')
  return `${digits}×10${exponent.startsWith('-') ? '⁻' : ''}${power}`
}

function plain(v: Value): string {
  if (v === null) return 'null'
  if (typeof v === 'number') return formatDouble(v)
  if (v instanceof Timestamp) return formatTimestamp(v)
  if (v instanceof Duration) return formatDuration(v)
  if (v instanceof Uint8Array) return new TextDecoder().decode(v)
  if (v instanceof TypeValue) return v.type.name
  if (v instanceof Uint) return String(v.value)
  return v instanceof ListValue || v instanceof MapValue ? nested(v, 0) : String(v)
}

/** Within lists and maps values stand as literals. */
function nested(v: Value, depth: number): string {
  spend(1)
  if (depth > 200) throw new FormatError('error during formatting: nested too deeply')
  if (typeof v === 'string') return JSON.stringify(v)
  if (v instanceof Uint8Array) return `b${JSON.stringify(new TextDecoder().decode(v))}`
  if (typeof v === 'number')
    return Number.isFinite(v)
      ? decimal(Math.abs(v), defaultPrecision).replace(/^/, v < 0 ? '-' : '')
      : JSON.stringify(String(v).replace('Infinity', 'Inf').replace(/^Inf/, '+Inf'))
  if (v instanceof Timestamp) return `timestamp(${JSON.stringify(formatTimestamp(v))})`
  if (v instanceof Duration) return `duration(${JSON.stringify(formatDuration(v))})`
  if (v instanceof ErrorValue) throw new FormatError(`error during formatting: ${v.message}`)
  if (v instanceof ListValue) {
    const items: string[] = []
    for (const item of v) {
      spend(items.length > 0 ? items.at(-1)!.length / 10 : 0)
      items.push(nested(item, depth + 1))
    }
    return `[${items.join(', ')}]`
  }
  if (v instanceof MapValue) {
    const entries: [string, string][] = []
    for (const key of v.keys()) {
      if (typeof key !== 'string' && typeof key !== 'boolean' && typeof key !== 'bigint' && !(key instanceof Uint))
        throw new FormatError(`error during formatting: no formatting function for map key of type ${typeOfValue(key).name}`)
      const value = nested(v.get(key)!, depth + 1)
      spend(value.length / 10)
      entries.push([nested(key, depth + 1), value])
    }
    entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    return `{${entries.map(([k, value]) => `${k}:${value}`).join(', ')}}`
  }
  const { kind, name } = typeOfValue(v)
  if (!wants['s']!.kinds.includes(kind)) throw new FormatError(`error during formatting: no formatting function for ${name}`)
  return plain(v)
}

/** What is wrong with the literal format of a call whose arguments are a literal list. */
export function checkFormat(call: Expr, text: Expr, args: Expr, errors: CelIssue[]): void {
  if (text.kind !== 'literal' || typeof text.value !== 'string' || args.kind !== 'list') return
  try {
    let next = 0
    for (const part of parse(text.value)) {
      if (typeof part === 'string') continue
      const arg = args.items[next]?.value
      if (!arg) break
      next++
      const bad = unfit(part.letter, arg)
      if (bad) errors.push({ at: bad.at, message: notFor(part.letter, bad.type!.name).message })
      if (bad) return
    }
    if (args.items.length > next)
      errors.push({ at: call.at, message: `too many arguments supplied to string.format (expected ${next}, got ${args.items.length})` })
  } catch (e) {
    if (!(e instanceof FormatError)) throw e
    errors.push({ at: call.at, message: e.message })
  }
}

function unfit(letter: string, arg: Expr): Expr | undefined {
  const type = arg.type!
  if (!isDyn(type) && !wantedBy(letter).kinds.includes(type.kind)) return arg
  if (letter !== 's') return undefined
  const inner = arg.kind === 'list' ? arg.items.map(i => i.value) : arg.kind === 'map' ? arg.entries.flatMap(x => [x.key, x.value]) : []
  for (const e of inner) {
    const bad = unfit(letter, e)
    if (bad) return bad
  }
  return undefined
}
