/**
 * Writing Kubernetes' protobuf form, byte for byte as upstream's generated code does: fields in the order of their numbers, what Go holds
 * by value even when it is zero, what it holds by pointer only when it is there, map keys sorted, lists unpacked.
 */
import type { Either, Field, ObjectSchema, Schema } from './schema.ts'
import { WireWriter } from './wire.ts'

/** Writes a value that is there as a field. */
type Put = (w: WireWriter, tag: number, value: unknown) => void
interface Part {
  readonly tag: number
  /** Writes the field of an object that it is part of, or nothing. */
  readonly put: (w: WireWriter, object: Members) => void
}
type Members = { readonly [name: string]: unknown }

/** The message of an object by the field numbers of its schema, without the envelope. The object is in the form that `normalize` gives. */
export function encodeMessage(schema: ObjectSchema, object: object): Buffer {
  try {
    fields(schema)(writer, object as Members)
    return writer.take()
  } catch (e) {
    writer.take()
    throw e
  }
}
// Encoding never waits, so one is enough.
const writer = new WireWriter()

const magic = Buffer.from([0x6b, 0x38, 0x73, 0x00])

/** What comes before a message of that many bytes in its envelope, `k8s\0` and runtime.Unknown, and what comes after. */
export function envelope(apiVersion: string, kind: string, length: number): { head: Buffer; tail: Buffer } {
  writer.message(2, writer.length - length)
  const start = writer.length
  writer.string(2, kind)
  writer.string(1, apiVersion)
  writer.message(1, start)
  writer.raw(magic)
  return { head: writer.take(), tail }
}
/** contentEncoding and contentType, empty. */
const tail = Buffer.from([0x1a, 0x00, 0x22, 0x00])

/** A message in its envelope. */
export function enveloped(apiVersion: string, kind: string, message: Uint8Array): Buffer {
  const { head, tail } = envelope(apiVersion, kind, message.length)
  return Buffer.concat([head, message, tail])
}

/** The key and length in front of a message that is field `tag` of another. */
export function messageHead(tag: number, length: number): Buffer {
  writer.message(tag, writer.length - length)
  return writer.take()
}

const compiled = new WeakMap<object, (w: WireWriter, object: Members) => void>()

/** The writer of a type's fields, built once. */
function fields(schema: ObjectSchema): (w: WireWriter, object: Members) => void {
  let write = compiled.get(schema)
  if (!write) {
    const all = Object.entries(schema.fields as Record<string, Field>).filter(([, field]) => field.tag !== 0)
    compiled.set(schema, (write = writerOf(all, 0)))
  }
  return write
}

/** The writer of those fields of a type that are embedded `depth` messages deep or deeper. */
function writerOf(all: readonly (readonly [string, Field])[], depth: number): (w: WireWriter, object: Members) => void {
  const own: Part[] = []
  const embedded = new Map<number, (readonly [string, Field])[]>()
  for (const [name, field] of all) {
    const message = field.inline?.[depth]
    if (!message) own.push({ tag: field.tag, put: fieldPut(name, field) })
    else if (embedded.get(message.tag)?.push([name, field]) === undefined) embedded.set(message.tag, [[name, field]])
  }
  // What Go embeds is always there, also when nothing of it is.
  for (const [tag, parts] of embedded) {
    const inner = writerOf(parts, depth + 1)
    own.push({ tag, put: (w, object) => nested(w, tag, () => inner(w, object)) })
  }
  return inReverse(own)
}

function inReverse(parts: Part[]): (w: WireWriter, object: Members) => void {
  parts.sort((a, b) => b.tag - a.tag)
  return (w, object) => {
    for (const part of parts) part.put(w, object)
  }
}

function nested(w: WireWriter, tag: number, write: () => void): void {
  const start = w.length
  write()
  w.message(tag, start)
}

function fieldPut(name: string, field: Field): Part['put'] {
  const put = putOf(field.schema as Schema)
  const { tag } = field
  const zero = zeroOf(field)
  return (w, object) => {
    const value = object[name] ?? zero
    if (value !== undefined) put(w, tag, value)
  }
}

/** What is written for an absent field that Go holds by value; undefined for pointers, lists, maps and bytes. See FieldOptions.pointer. */
function zeroOf(field: Field): unknown {
  if (field.pointer === true) return undefined
  const schema = field.schema as Schema
  switch (schema.type) {
    case 'string':
      if (schema.format === 'byte') return undefined
      if (schema.format === 'quantity') return field.optional && field.default === undefined ? undefined : '0'
      return ''
    case 'int-or-string':
      return 0
    case 'integer':
    case 'number':
    case 'boolean':
      if (field.optional && !field.omitEmpty) return undefined
      return schema.type === 'boolean' ? false : 0
    case 'object':
      return field.optional && field.default === undefined ? undefined : nothing
    default:
      return undefined
  }
}
const nothing: Members = {}

function putOf(schema: Schema): Put {
  switch (schema.type) {
    case 'string':
      return stringPuts[schema.format ?? ''] ?? text
    case 'integer':
      return (w, tag, value) => w.integer(tag, value as number)
    case 'number':
      return (w, tag, value) => w.double(tag, value as number)
    case 'boolean':
      return (w, tag, value) => w.boolean(tag, value === true)
    case 'int-or-string':
      return intOrString
    case 'any':
      if (schema.either) return eitherPut(schema.either)
      return (w, tag, value) => nested(w, tag, () => w.string(1, JSON.stringify(value)))
    case 'list': {
      const item = itemPut(schema.items as Schema)
      return (w, tag, value) => {
        const list = value as readonly unknown[]
        for (let i = list.length - 1; i >= 0; i--) item(w, tag, list[i])
      }
    }
    case 'map': {
      const item = itemPut(schema.values as Schema)
      return (w, tag, value) => {
        const map = value as Members
        for (const key of Object.keys(map).sort().reverse()) {
          nested(w, tag, () => {
            item(w, 2, map[key])
            w.string(1, key)
          })
        }
      }
    }
    case 'object': {
      // Types may contain themselves.
      let write: ((w: WireWriter, object: Members) => void) | undefined
      return (w, tag, value) => {
        const start = w.length
        ;(write ??= fields(schema as ObjectSchema))(w, value as Members)
        w.message(tag, start)
      }
    }
  }
}

/** Lists in lists and maps are messages of their own: UserInfo.extra. */
function itemPut(schema: Schema): Put {
  const put = putOf(schema)
  return schema.type === 'list' ? (w, tag, value) => nested(w, tag, () => put(w, 1, value)) : put
}

/** What upstream holds of an object, or of what is in its place. */
function eitherPut({ schema, or }: Either): Put {
  const put: Put = (w, tag, value) => nested(w, tag, () => fields(schema())(w, value as Members))
  if (or === 'boolean') {
    return (w, tag, value) =>
      nested(w, tag, () => {
        if (typeof value === 'object') put(w, 2, value)
        w.boolean(1, value !== false)
      })
  }
  const item = or === 'list' ? put : text
  return (w, tag, value) =>
    nested(w, tag, () => {
      if (Array.isArray(value)) for (const one of value.toReversed()) item(w, 2, one)
      else put(w, 1, value)
    })
}

const text: Put = (w, tag, value) => w.string(tag, value as string)

const stringPuts: { readonly [format: string]: Put } = {
  byte: (w, tag, value) => w.bytes(tag, Buffer.from(value as string, 'base64')),
  quantity: (w, tag, value) => nested(w, tag, () => w.string(1, value as string)),
  duration: (w, tag, value) => nested(w, tag, () => w.integer(1, nanoseconds(value as string))),
  'date-time': (w, tag, value) => nested(w, tag, () => timestamp(w, value as string, false)),
  'micro-time': (w, tag, value) => nested(w, tag, () => timestamp(w, value as string, true)),
}

const intOrString: Put = (w, tag, value) =>
  nested(w, tag, () => {
    const isText = typeof value === 'string'
    w.string(3, isText ? value : '')
    w.integer(2, isText ? 0 : (value as number))
    w.integer(1, isText ? 1 : 0)
  })

/** Go's zero time is an empty message; a metav1.Time has whole seconds. */
function timestamp(w: WireWriter, value: string, fraction: boolean): void {
  const seconds = Math.floor(Date.parse(value) / 1000)
  if (Number.isNaN(seconds)) return
  const micros = fraction ? Number((/\.(\d{1,6})/.exec(value)?.[1] ?? '').padEnd(6, '0')) : 0
  w.integer(2, micros * 1000)
  w.integer(1, seconds)
}

const units: { readonly [unit: string]: number } = { h: 3.6e12, m: 6e10, s: 1e9, ms: 1e6, us: 1e3, µs: 1e3, ns: 1 }

/** Of Go's text for a duration, `1h2m3.5s`. */
function nanoseconds(duration: string): number {
  let total = 0
  for (const [, amount, unit] of duration.matchAll(/([\d.]+)(h|ms|us|\u00b5s|ns|m|s)/g)) total += Number(amount) * units[unit!]!
  return Math.round(duration.startsWith('-') ? -total : total)
}
