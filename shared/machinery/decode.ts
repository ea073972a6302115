/**
 * Decoding of request bodies by schema, in one pass over the text: what Kubernetes does with sigs.k8s.io/json. An own scanner rather than
 * JSON.parse, because unknown and duplicate fields must be told, and numbers checked in the form in which they were sent. The result is in
 * normal form: `null` and Go's `omitempty` zero values are gone, required fields are there, times, quantities and bytes are written as
 * upstream writes them.
 */
import { numberOf } from './int64.ts'
import { maxDepth, setOwn } from './jsonvalue.ts'
import { code, planOf, zeroOf, isEmpty, type FieldPlan, type Plan } from './plan.ts'
import { normalQuantity, quantityFormatError } from './quantity.ts'
import { isDuration, normalBase64, normalMicroTime, normalTime, plainQuantity } from './scalar.ts'
import type { Infer, ObjectSchema } from './schema.ts'

/** What is wrong with a body as a whole (a 400); the message is Go's. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError'
}

export interface Decoded<T> {
  object: T
  /** Paths of fields that the schema does not have, `spec.containers[0].foo`; at most 100. */
  unknown: string[]
  /** Paths of fields that came twice; the last one counted. */
  duplicate: string[]
}

export interface DecodeOptions {
  /**
   * The body is a part of an object, as in server-side apply: required fields are not filled in, and zero values stay, as they were set on
   * purpose.
   */
  partial?: boolean
}

/** Upstream stops listing after this many. */
const maxStrictErrors = 100
/** The largest double below 2^63: what larger int64 values are rounded down to, so that they stay int64 when printed. */
const maxInt64 = 9223372036854774784

/**
 * Decodes a JSON body. Bytes that are no UTF-8 become U+FFFD, as in Go. Throws DecodeError on bad syntax and wrong types.
 */
export function decode<S extends ObjectSchema>(schema: S, body: Uint8Array | string, options: DecodeOptions = {}): Decoded<Infer<S>> {
  const bytes = typeof body === 'string' ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const text = typeof body === 'string' ? body : bytes.toString()
  const scanner = new Scanner(text, bytes, options.partial === true)
  const object = scanner.document(planOf(schema))
  return { object: object as Infer<S>, unknown: scanner.unknown, duplicate: scanner.duplicate }
}

/** Any JSON value as it is, with the paths of keys that came twice. Throws DecodeError on bad syntax. */
export function decodeAny(body: Uint8Array | string): { value: unknown; duplicate: string[] } {
  const bytes = typeof body === 'string' ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const scanner = new Scanner(typeof body === 'string' ? body : bytes.toString(), bytes, false)
  scanner.notesAny = true
  const value = scanner.any(0)
  scanner.end()
  return { value, duplicate: scanner.duplicate }
}

/**
 * An object of any fields, of which only `metadata` has a type: that of a custom kind, in one pass. Throws DecodeError on bad syntax and
 * wrong types, whichever comes first.
 */
export function decodeCustom(metadata: ObjectSchema, body: Uint8Array | string, options: DecodeOptions): Decoded<Record<string, unknown>> {
  const bytes = typeof body === 'string' ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const scanner = new Scanner(typeof body === 'string' ? body : bytes.toString(), bytes, options.partial === true)
  scanner.notesAny = true
  if (scanner.peek() !== 0x7b) throw new DecodeError('json: no object')
  const object = scanner.anyObject(0, planOf(metadata))
  scanner.end()
  return { object, unknown: scanner.unknown, duplicate: scanner.duplicate }
}

/** The same for a value that is already parsed, such as the result of a patch. */
export const decodeValue = <S extends ObjectSchema>(schema: S, value: unknown, options: DecodeOptions = {}): Decoded<Infer<S>> =>
  decode(schema, JSON.stringify(value) ?? 'null', options)

const quote = 0x22
const backslash = 0x5c

/** V8 copies shorter parts of a string; a longer one it leaves in the whole. */
const leastSlice = 13

class Scanner {
  readonly text: string
  /** The same, when each character is one byte. */
  readonly bytes: Buffer | undefined
  pos = 0
  readonly unknown: string[] = []
  readonly duplicate: string[] = []
  /** Where we are: field names, map keys and list indices from the top. */
  readonly path: (string | number)[] = []
  /** Names of the structs that hold the field at each depth, for error messages. */
  struct = ''

  readonly partial: boolean
  /** Whether keys that come twice are told in values of any kind too. */
  notesAny = false
  /** Whether nothing is told. */
  quiet = false

  constructor(text: string, bytes: Buffer, partial: boolean) {
    this.text = text
    this.bytes = bytes.length === text.length ? bytes : undefined
    this.partial = partial
  }

  document(plan: Plan): unknown {
    const c = this.peek()
    // `null` is an empty object, as Go leaves the struct as it is.
    const value = c === 0x6e ? (this.literal('null'), zeroOf(plan)) : this.value(plan, 0)
    this.end()
    const { kind, apiVersion, metadata, ...rest } = value as Record<string, unknown>
    const head: Record<string, unknown> = {}
    if (kind !== undefined) head['kind'] = kind
    if (apiVersion !== undefined) head['apiVersion'] = apiVersion
    if (metadata !== undefined) head['metadata'] = metadata
    return Object.assign(head, rest)
  }

  /** Nothing but space is left. */
  end(): void {
    this.skip()
    if (this.pos < this.text.length) this.bad('after top-level value')
  }

  /** A value that is not null, of the planned type, in normal form; undefined when it counts as absent. */
  value(plan: Plan, depth: number): unknown {
    const c = this.peek()
    switch (plan.code) {
      case code.object:
        if (c !== 0x7b) this.wrong(plan, depth)
        return this.object(plan, depth)
      case code.string:
        if (c !== quote) this.wrong(plan, depth)
        return this.string()
      case code.list:
        if (c !== 0x5b) this.wrong(plan, depth)
        return this.list(plan, depth)
      case code.map:
        if (c !== 0x7b) this.wrong(plan, depth)
        return this.map(plan, depth)
      case code.boolean:
        if (c === 0x74) return (this.literal('true'), true)
        if (c === 0x66) return (this.literal('false'), false)
        return this.wrong(plan, depth)
      case code.integer:
        if (!isNumberStart(c)) this.wrong(plan, depth)
        return this.integer(plan, depth)
      case code.number:
        if (!isNumberStart(c)) this.wrong(plan, depth)
        return Number(this.number())
      case code.intOrString:
        if (c === quote) return this.string()
        if (!isNumberStart(c)) throw new DecodeError(`json: cannot unmarshal ${this.kindOf(c)} into Go value of type int32`)
        return this.integer(plan, depth)
      case code.quantity:
        if (c !== quote && !isNumberStart(c)) throw new DecodeError(quantityFormatError)
        return this.quantity(c === quote ? this.string().trim() : this.number())
      case code.byte: {
        if (c !== quote) this.wrong(plan, depth)
        return normalBase64(this.string()) ?? this.fail('illegal base64 data at input byte 0')
      }
      case code.time:
      case code.microTime: {
        if (c !== quote) throw new DecodeError(`json: cannot unmarshal ${this.kindOf(c)} into Go value of type string`)
        const text = this.string()
        const layout = plan.code === code.time ? '2006-01-02T15:04:05Z07:00' : '2006-01-02T15:04:05.000000Z07:00'
        const time = plan.code === code.time ? normalTime(text) : normalMicroTime(text)
        return (
          time ??
          this.fail(`parsing time ${JSON.stringify(text)} as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(text)} as "2006"`)
        )
      }
      case code.duration: {
        if (c !== quote) throw new DecodeError(`json: cannot unmarshal ${this.kindOf(c)} into Go value of type string`)
        const text = this.string()
        return isDuration(text) ? text : this.fail(`time: invalid duration ${JSON.stringify(text)}`)
      }
      default:
        return plan.or === undefined ? this.any(depth) : this.either(plan, depth)
    }
  }

  /** Upstream decodes such a value on its own, where nobody asks what is not known; what it can not be counts as absent. */
  either(plan: Plan, depth: number): unknown {
    const c = this.peek()
    const { quiet } = this
    this.quiet = true
    let value: unknown
    if (c === 0x7b) value = this.object(plan.item, depth)
    else if (c === 0x5b && plan.or === 'list') value = this.items(plan.item, depth)
    else {
      value = this.any(depth)
      if (plan.or === 'boolean' && typeof value !== 'boolean') this.fail('boolean or JSON schema expected')
      if (plan.or === 'list') value = undefined
    }
    this.quiet = quiet
    return value
  }

  object(plan: Plan, depth: number): unknown {
    if (depth > maxDepth) this.bad('exceeded max depth')
    const outer = this.struct
    this.struct = plan.struct
    const { text } = this
    const fields = plan.fields
    const out: Record<string, unknown> = {}
    // Which fields came already: two words of bits, and a set for what lies beyond.
    let seenLow = 0
    let seenHigh = 0
    let seenMore: Set<string> | undefined
    this.pos++
    if (this.peek() === 0x7d) this.pos++
    else {
      for (;;) {
        if (this.peek() !== quote) this.bad('looking for beginning of object key string')
        const key = this.string()
        if (this.peek() !== 0x3a) this.bad('after object key')
        this.pos++
        this.path[depth] = key
        const field = fields.get(key)
        if (field === undefined) {
          if (seenMore?.has(key)) this.note(this.duplicate, depth)
          else this.note(this.unknown, depth)
          ;(seenMore ??= new Set()).add(key)
          this.any(depth + 1)
        } else {
          const index = field.index
          if (index < 31) {
            if (seenLow & (1 << index)) this.note(this.duplicate, depth)
            seenLow |= 1 << index
          } else if (index < 62) {
            if (seenHigh & (1 << (index - 31))) this.note(this.duplicate, depth)
            seenHigh |= 1 << (index - 31)
          } else {
            if (seenMore?.has(key)) this.note(this.duplicate, depth)
            ;(seenMore ??= new Set()).add(key)
          }
          this.field(out, field, depth)
        }
        const c = this.peek()
        this.pos++
        if (c === 0x2c) continue
        if (c === 0x7d) break
        this.pos--
        this.bad('after object key:value pair')
      }
    }
    if (!this.partial) for (const field of plan.required) if (out[field.name] === undefined) out[field.name] = zeroOf(field.plan)
    this.struct = outer
    return out
  }

  field(out: Record<string, unknown>, field: FieldPlan, depth: number): void {
    if (this.peek() === 0x6e) {
      this.literal('null')
      // Into an `any` it is a value, elsewhere it unsets.
      delete out[field.name]
      return
    }
    const value = this.value(field.plan, depth + 1)
    if (value === undefined || (field.omitEmpty && !this.partial && isEmpty(value))) delete out[field.name]
    else out[field.name] = value
  }

  list(plan: Plan, depth: number): unknown[] {
    if (depth > maxDepth) this.bad('exceeded max depth')
    return this.items(plan.item, depth)
  }

  items(item: Plan, depth: number): unknown[] {
    const out: unknown[] = []
    this.pos++
    if (this.peek() === 0x5d) {
      this.pos++
      return out
    }
    for (;;) {
      this.path[depth] = out.length
      if (this.peek() === 0x6e) {
        this.literal('null')
        out.push(zeroOf(item))
      } else out.push(this.value(item, depth + 1))
      const c = this.peek()
      this.pos++
      if (c === 0x2c) continue
      if (c === 0x5d) return out
      this.pos--
      this.bad('after array element')
    }
  }

  map(plan: Plan, depth: number): unknown {
    if (depth > maxDepth) this.bad('exceeded max depth')
    const item = plan.item
    const out: Record<string, unknown> = {}
    this.pos++
    if (this.peek() === 0x7d) {
      this.pos++
      return out
    }
    for (;;) {
      if (this.peek() !== quote) this.bad('looking for beginning of object key string')
      const key = this.string()
      if (this.peek() !== 0x3a) this.bad('after object key')
      this.pos++
      this.path[depth] = key
      if (Object.hasOwn(out, key)) this.note(this.duplicate, depth)
      let value: unknown
      if (this.peek() === 0x6e) {
        this.literal('null')
        value = zeroOf(item)
      } else value = this.value(item, depth + 1)
      setOwn(out, key, value)
      const c = this.peek()
      this.pos++
      if (c === 0x2c) continue
      if (c === 0x7d) return out
      this.pos--
      this.bad('after object key:value pair')
    }
  }

  /** Any JSON value as it is. Duplicates in it are not told: upstream keeps such values as raw bytes. */
  any(depth: number): unknown {
    const c = this.peek()
    if (c === quote) return this.string()
    if (c === 0x7b || c === 0x5b) {
      if (depth > maxDepth) this.bad('exceeded max depth')
      return c === 0x7b ? this.anyObject(depth) : this.anyList(depth)
    }
    if (c === 0x74) return (this.literal('true'), true)
    if (c === 0x66) return (this.literal('false'), false)
    if (c === 0x6e) return (this.literal('null'), null)
    if (isNumberStart(c)) return this.anyNumber()
    return this.bad('looking for beginning of value')
  }

  anyNumber(): number | bigint {
    const text = this.number()
    const value = Number(text)
    if (Number.isSafeInteger(value)) return value
    if (value === Infinity || value === -Infinity) this.fail(`json: cannot unmarshal number ${text} into Go value of type float64`)
    return numberOf(text)
  }

  /** The field `metadata` has a type when it is given one. */
  anyObject(depth: number, metadata?: Plan): Record<string, unknown> {
    const out: Record<string, unknown> = {}
    this.pos++
    if (this.peek() === 0x7d) {
      this.pos++
      return out
    }
    for (;;) {
      if (this.peek() !== quote) this.bad('looking for beginning of object key string')
      const key = this.string()
      if (this.peek() !== 0x3a) this.bad('after object key')
      this.pos++
      if (this.notesAny) {
        this.path[depth] = key
        if (Object.hasOwn(out, key)) this.note(this.duplicate, depth)
      }
      setOwn(out, key, metadata !== undefined && key === 'metadata' ? this.value(metadata, depth + 1) : this.any(depth + 1))
      const c = this.peek()
      this.pos++
      if (c === 0x2c) continue
      if (c === 0x7d) return out
      this.pos--
      this.bad('after object key:value pair')
    }
  }

  anyList(depth: number): unknown {
    const out: unknown[] = []
    this.pos++
    if (this.peek() === 0x5d) {
      this.pos++
      return out
    }
    for (;;) {
      if (this.notesAny) this.path[depth] = out.length
      out.push(this.any(depth + 1))
      const c = this.peek()
      this.pos++
      if (c === 0x2c) continue
      if (c === 0x5d) return out
      this.pos--
      this.bad('after array element')
    }
  }

  /** The string at `pos`. */
  string(): string {
    const { text } = this
    const start = this.pos + 1
    let i = start
    let escaped = false
    for (;;) {
      const c = text.charCodeAt(i)
      if (c === quote) break
      if (c === backslash) {
        escaped = true
        i += 2
        continue
      }
      // NaN at the end of the text fails this comparison too.
      if (!(c >= 0x20)) {
        this.pos = i
        this.bad('in string literal')
      }
      i++
    }
    this.pos = i + 1
    if (escaped) return this.unescape(text.slice(start - 1, i + 1))
    // A slice would keep the whole text, and JSON.stringify takes a slow way for an object that holds one.
    return this.bytes !== undefined && i - start >= leastSlice ? this.bytes.toString('utf8', start, i) : text.slice(start, i)
  }

  unescape(quoted: string): string {
    try {
      // Lone surrogates become U+FFFD, as in Go.
      return (JSON.parse(quoted) as string).toWellFormed()
    } catch {
      return this.fail('invalid character in string escape code')
    }
  }

  /** The text of the number at `pos`, by JSON's grammar. */
  number(): string {
    const { text } = this
    const start = this.pos
    let i = start
    if (text.charCodeAt(i) === 0x2d) i++
    if (text.charCodeAt(i) === 0x30) i++
    else i = this.digits(i, 'in numeric literal')
    if (text.charCodeAt(i) === 0x2e) i = this.digits(i + 1, 'after decimal point in numeric literal')
    const e = text.charCodeAt(i)
    if (e === 0x65 || e === 0x45) {
      const sign = text.charCodeAt(i + 1)
      i = this.digits(sign === 0x2b || sign === 0x2d ? i + 2 : i + 1, 'in exponent of numeric literal')
    }
    this.pos = i
    return text.slice(start, i)
  }

  digits(from: number, where: string): number {
    let i = from
    for (let c = this.text.charCodeAt(i); c >= 0x30 && c <= 0x39; c = this.text.charCodeAt(i)) i++
    if (i === from) {
      this.pos = i
      this.bad(where)
    }
    return i
  }

  integer(plan: Plan, depth: number): number {
    const text = this.number()
    const value = Number(text)
    const wide = plan.schema.type === 'integer' && plan.schema.format === 'int64'
    const fits = wide ? inInt64(text, value) : value >= -2147483648 && value <= 2147483647
    if (!fits || !/^-?\d+$/.test(text)) this.mismatch(`number ${text}`, plan, depth)
    if (wide) return Math.max(-maxInt64, Math.min(maxInt64, value))
    // -0 is 0.
    return value + 0
  }

  quantity(text: string): string {
    return plainQuantity.test(text) ? text : (normalQuantity(text) ?? this.fail(quantityFormatError))
  }

  literal(word: string): void {
    for (let i = 0; i < word.length; i++) {
      if (this.text.charCodeAt(this.pos) !== word.charCodeAt(i)) this.bad(`in literal ${word} (expecting '${word[i]}')`)
      this.pos++
    }
  }

  skip(): void {
    const { text } = this
    for (;;) {
      const c = text.charCodeAt(this.pos)
      if (c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09) this.pos++
      else return
    }
  }

  /** The next character that is no white space, without taking it. NaN at the end. */
  peek(): number {
    const c = this.text.charCodeAt(this.pos)
    if (c > 0x20) return c
    this.skip()
    return this.text.charCodeAt(this.pos)
  }

  /** The path to the current field, `spec.containers[0].foo`. */
  pathText(depth: number): string {
    let out = ''
    for (let i = 0; i <= depth; i++) {
      const step = this.path[i]!
      out += typeof step === 'number' ? `[${step}]` : out === '' ? step : `.${step}`
    }
    return out
  }

  note(list: string[], depth: number): void {
    if (this.quiet || this.unknown.length + this.duplicate.length >= maxStrictErrors) return
    const path = this.pathText(depth)
    if (!list.includes(path)) list.push(path)
  }

  /** Wrong type at `pos`: Go's message with the field's path, or a syntax error if no value starts here. */
  wrong(plan: Plan, depth: number): never {
    const c = this.peek()
    const kind = this.kindOf(c)
    if (kind === '') return this.bad('looking for beginning of value')
    return this.mismatch(kind, plan, depth)
  }

  mismatch(kind: string, plan: Plan, depth: number): never {
    const field = this.path
      .slice(0, depth)
      .filter(step => typeof step === 'string')
      .join('.')
    const into = this.struct === '' || field === '' ? 'value' : `struct field ${this.struct}.${field}`
    throw new DecodeError(`json: cannot unmarshal ${kind} into Go ${into} of type ${plan.goType}`)
  }

  kindOf(c: number): string {
    if (c === quote) return 'string'
    if (c === 0x7b) return 'object'
    if (c === 0x5b) return 'array'
    if (c === 0x74 || c === 0x66) return 'bool'
    if (c === 0x6e) return 'null'
    return isNumberStart(c) ? 'number' : ''
  }

  /** A syntax error at `pos`. */
  bad(where: string): never {
    this.skipInvisible()
    const point = this.text.codePointAt(this.pos)
    if (point === undefined) throw new DecodeError('unexpected end of JSON input')
    throw new DecodeError(`invalid character ${quoteCharacter(point)} ${where}`)
  }

  skipInvisible(): void {
    if (this.pos > this.text.length) this.pos = this.text.length
  }

  fail(message: string): never {
    throw new DecodeError(message)
  }
}

/** Go's rendering of a character in a syntax error. */
function quoteCharacter(point: number): string {
  if (point === 0x27) return `'\\''`
  if (point === quote) return `'"'`
  const text = String.fromCodePoint(point)
  return `'${point < 0x20 || point === backslash ? JSON.stringify(text).slice(1, -1) : text}'`
}

const isNumberStart = (c: number): boolean => (c >= 0x30 && c <= 0x39) || c === 0x2d

function inInt64(text: string, value: number): boolean {
  if (Number.isSafeInteger(value)) return true
  if (!/^-?\d{1,19}$/.test(text)) return false
  const exact = BigInt(text)
  return exact >= -9223372036854775808n && exact <= 9223372036854775807n
}

/** Sets an own property whatever its name: a plain assignment to `__proto__` would change the prototype. */
