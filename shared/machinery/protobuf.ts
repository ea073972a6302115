/**
 * Reading Kubernetes' protobuf form (`application/vnd.kubernetes.protobuf`), which kubectl and other Go clients send for built-in kinds: an
 * envelope with the kind, and the object by the field numbers of its schema. The result is a plain value as JSON would give it, still to be
 * decoded by the schema.
 */
import { parseJson } from './int64.ts'
import type { Either, Field, ObjectSchema, Schema } from './schema.ts'

/** The bytes are no protobuf of the type. */
export class ProtobufError extends Error {
  override readonly name = 'ProtobufError'
}

const magic = Buffer.from([0x6b, 0x38, 0x73, 0x00])

/** Reads an enveloped object: `k8s\0`, then runtime.Unknown. Throws ProtobufError. */
export function decodeProtobuf(schema: ObjectSchema, body: Uint8Array): Record<string, unknown> {
  const { apiVersion, kind, raw } = unwrap(body)
  const object = message(shapeOf(schema), raw, {}, 0)
  return { ...(kind ? { kind } : {}), ...(apiVersion ? { apiVersion } : {}), ...object }
}

/** Reads a message without an envelope. Throws ProtobufError. */
export const decodeMessage = (schema: ObjectSchema, data: Buffer): Record<string, unknown> => message(shapeOf(schema), data, {}, 0)

/** What an envelope says about its object. Throws ProtobufError. */
export const typeOfProtobuf = (body: Uint8Array): { apiVersion: string; kind: string } => unwrap(body)

function unwrap(body: Uint8Array): { apiVersion: string; kind: string; raw: Buffer } {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  if (!bytes.subarray(0, magic.length).equals(magic))
    throw new ProtobufError('provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]')
  const found = { apiVersion: '', kind: '', raw: nothing }
  for (const f of fieldsOf(bytes.subarray(magic.length))) {
    if (f.tag === 1) {
      for (const t of fieldsOf(lengthDelimited(f))) {
        if (t.tag === 1) found.apiVersion = lengthDelimited(t).toString()
        if (t.tag === 2) found.kind = lengthDelimited(t).toString()
      }
    } else if (f.tag === 2) found.raw = lengthDelimited(f)
  }
  return found
}

interface WireField {
  tag: number
  /** 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes. */
  type: number
  varint: bigint
  bytes: Buffer
}
const nothing: Buffer = Buffer.alloc(0)

function* fieldsOf(data: Buffer): Generator<WireField> {
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = data[at++]
      if (byte === undefined) throw new ProtobufError('unexpected EOF')
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asUintN(64, value)
    }
    throw new ProtobufError('proto: integer overflow')
  }
  const take = (length: number): Buffer => {
    if (length > data.length - at) throw new ProtobufError('unexpected EOF')
    at += length
    return data.subarray(at - length, at)
  }
  while (at < data.length) {
    const key = Number(varint())
    const tag = Math.floor(key / 8)
    const type = key % 8
    if (tag === 0) throw new ProtobufError('proto: illegal tag 0')
    if (type === 0) yield { tag, type, varint: varint(), bytes: nothing }
    else if (type === 2) yield { tag, type, varint: 0n, bytes: take(Number(varint())) }
    else if (type === 1) yield { tag, type, varint: 0n, bytes: take(8) }
    else if (type === 5) yield { tag, type, varint: 0n, bytes: take(4) }
    else throw new ProtobufError(`proto: illegal wireType ${type}`)
  }
}

function lengthDelimited(f: WireField): Buffer {
  if (f.type !== 2) throw new ProtobufError(`proto: wrong wireType = ${f.type} for field ${f.tag}`)
  return f.bytes
}

/** The fields of a message by number. What Go embeds is a message of its own whose fields belong to the outer object. */
interface Shape {
  readonly own: Map<number, { name: string; field: Field }>
  readonly embedded: Map<number, Shape>
}
const newShape = (): Shape => ({ own: new Map(), embedded: new Map() })
const shapes = new WeakMap<object, Shape>()

function shapeOf(schema: ObjectSchema): Shape {
  let shape = shapes.get(schema)
  if (!shape) {
    shapes.set(schema, (shape = newShape()))
    for (const [name, field] of Object.entries(schema.fields as Record<string, Field>)) {
      if (field.tag === 0) continue
      let inner = shape
      for (const { tag } of field.inline ?? []) {
        const next = inner.embedded.get(tag) ?? newShape()
        inner.embedded.set(tag, next)
        inner = next
      }
      inner.own.set(field.tag, { name, field })
    }
  }
  return shape
}

const maxDepth = 200

function message(shape: Shape, data: Buffer, out: Record<string, unknown>, depth: number): Record<string, unknown> {
  if (depth > maxDepth) throw new ProtobufError('proto: message is nested too deeply')
  for (const f of fieldsOf(data)) {
    const inner = shape.embedded.get(f.tag)
    const known = shape.own.get(f.tag)
    if (known) assign(out, known.name, known.field.schema as Schema, f, depth)
    else if (inner) message(inner, lengthDelimited(f), out, depth + 1)
  }
  return out
}

function assign(out: Record<string, unknown>, name: string, schema: Schema, f: WireField, depth: number): void {
  if (schema.type === 'list') {
    const list = (out[name] ??= []) as unknown[]
    const items = schema.items as Schema
    if (f.type === 2 && (items.type === 'integer' || items.type === 'boolean')) {
      for (const varint of packed(f.bytes)) list.push(scalar(items, { tag: f.tag, type: 0, varint, bytes: nothing }, depth))
    } else list.push(scalar(items, f, depth))
  } else if (schema.type === 'map') {
    const map = (out[name] ??= {}) as Record<string, unknown>
    const [key, value] = entry(schema.values as Schema, lengthDelimited(f), depth)
    Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true })
  } else {
    const value = scalar(schema, f, depth)
    if (value !== undefined) out[name] = value
  }
}

function* packed(data: Buffer): Generator<bigint> {
  let value = 0n
  let shift = 0n
  for (const byte of data) {
    value |= BigInt(byte & 0x7f) << shift
    shift += 7n
    if (byte < 0x80) {
      yield BigInt.asUintN(64, value)
      value = 0n
      shift = 0n
    }
  }
}

function entry(values: Schema, data: Buffer, depth: number): [string, unknown] {
  let key = ''
  let value: unknown
  for (const f of fieldsOf(data)) {
    if (f.tag === 1) key = lengthDelimited(f).toString()
    if (f.tag === 2) value = scalar(values, f, depth)
  }
  return [key, value ?? zeroOf(values)]
}
/** The value of a map's entry that has none. */
function zeroOf(schema: Schema): unknown {
  if (schema.type === 'string') return schema.format === 'quantity' ? '0' : ''
  if (schema.type === 'list') return []
  return schema.type === 'integer' || schema.type === 'number' ? 0 : schema.type === 'boolean' ? false : {}
}

const signed = (v: bigint): number => Number(BigInt.asIntN(64, v))

function scalar(schema: Schema, f: WireField, depth: number): unknown {
  switch (schema.type) {
    case 'string':
      return text(schema.format, lengthDelimited(f))
    case 'integer':
      return schema.format === 'int32' ? Number(BigInt.asIntN(32, f.varint)) : signed(f.varint)
    case 'boolean':
      return f.varint !== 0n
    case 'number':
      return f.type === 1 ? f.bytes.readDoubleLE() : f.type === 5 ? f.bytes.readFloatLE() : signed(f.varint)
    case 'int-or-string': {
      let [kind, int, string] = [0, 0, '']
      for (const t of fieldsOf(lengthDelimited(f))) {
        if (t.tag === 1) kind = Number(t.varint)
        if (t.tag === 2) int = Number(BigInt.asIntN(32, t.varint))
        if (t.tag === 3) string = t.bytes.toString()
      }
      return kind === 0 ? int : string
    }
    case 'any': {
      if (schema.either) return eitherOf(schema.either, lengthDelimited(f), depth + 1)
      const raw = only(lengthDelimited(f)).toString()
      try {
        return raw === '' ? undefined : (parseJson(raw) as unknown)
      } catch {
        throw new ProtobufError('the raw value is not JSON')
      }
    }
    case 'list': {
      // A named list type, as the values of UserInfo.extra, is a message of its own.
      const out: unknown[] = []
      for (const t of fieldsOf(lengthDelimited(f))) if (t.tag === 1) out.push(scalar(schema.items as Schema, t, depth + 1))
      return out
    }
    case 'map':
      throw new ProtobufError('maps of maps are not supported')
    default:
      return message(shapeOf(schema as ObjectSchema), lengthDelimited(f), {}, depth + 1)
  }
}

/** The bytes of field 1. */
/** A list wins over an object, an object over a boolean, as where upstream makes JSON of them. */
function eitherOf({ schema, or }: Either, data: Buffer, depth: number): unknown {
  let object: unknown
  let other: boolean | unknown[] | undefined
  const read = (f: WireField): unknown => message(shapeOf(schema()), lengthDelimited(f), {}, depth)
  for (const f of fieldsOf(data)) {
    if (f.tag === (or === 'boolean' ? 2 : 1)) object = read(f)
    else if (f.tag === 1) other = f.varint !== 0n
    else if (f.tag === 2) other = [...((other as unknown[] | undefined) ?? []), or === 'list' ? read(f) : lengthDelimited(f).toString()]
  }
  return or === 'boolean' ? (object ?? other) : (other ?? object)
}

function only(data: Buffer): Buffer {
  let out = nothing
  for (const f of fieldsOf(data)) if (f.tag === 1) out = lengthDelimited(f)
  return out
}

function text(format: string | undefined, data: Buffer): string | undefined {
  switch (format) {
    case 'byte':
      return data.toString('base64')
    case 'quantity':
      return only(data).toString()
    case 'duration': {
      let nanoseconds = 0n
      for (const f of fieldsOf(data)) if (f.tag === 1) nanoseconds = BigInt.asIntN(64, f.varint)
      return goDuration(nanoseconds)
    }
    case 'date-time':
    case 'micro-time': {
      let [seconds, nanos] = [0, 0]
      for (const f of fieldsOf(data)) {
        if (f.tag === 1) seconds = signed(f.varint)
        if (f.tag === 2) nanos = Number(BigInt.asIntN(32, f.varint))
      }
      // Go's zero time: absent.
      if ((seconds === 0 && nanos === 0) || Math.abs(seconds) > 253402300799) return undefined
      const whole = new Date(seconds * 1000).toISOString().slice(0, 19)
      return format === 'date-time' ? `${whole}Z` : `${whole}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z`
    }
    default:
      return data.toString()
  }
}

/** `1h2m3.5s` */
function goDuration(nanoseconds: bigint): string {
  const sign = nanoseconds < 0n ? '-' : ''
  const n = nanoseconds < 0n ? -nanoseconds : nanoseconds
  const hours = n / 3_600_000_000_000n
  const minutes = (n / 60_000_000_000n) % 60n
  const seconds = Number(n % 60_000_000_000n) / 1e9
  return `${sign}${hours > 0n ? `${hours}h` : ''}${hours > 0n || minutes > 0n ? `${minutes}m` : ''}${seconds}s`
}
