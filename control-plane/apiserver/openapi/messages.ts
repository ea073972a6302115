/**
 * Messages in protobuf as gnostic describes OpenAPI documents (openapiv2/OpenAPIv2.proto, openapiv3/OpenAPIv3.proto), by their JSON
 * members.
 */
import { WireWriter } from '#shared/machinery/wire.ts'

/** How the value of a field is written, under its tag. */
export type Write = (w: WireWriter, tag: number, value: unknown) => void
type Members = { readonly [name: string]: unknown }
export interface Message {
  readonly fields: { readonly [name: string]: readonly [tag: number, write: Write] }
  /** The tag for what begins with `x-`. */
  readonly extensions?: number
}

export const string: Write = (w, tag, value) => w.string(tag, value as string)
export const boolean: Write = (w, tag, value) => w.boolean(tag, value as boolean)
export const each =
  (write: Write): Write =>
  (w, tag, values) => {
    for (const value of (values as unknown[]).toReversed()) write(w, tag, value)
  }
export const strings = each(string)

/** Within a message of one field. */
export const within =
  (inner: number, write: Write): Write =>
  (w, tag, value) => {
    const start = w.length
    write(w, inner, value)
    w.message(tag, start)
  }

/** A value of any kind is kept as YAML, of which JSON is a part. */
export const any = within(2, (w, tag, value) => w.string(tag, JSON.stringify(value)))

const named = (w: WireWriter, tag: number, name: string, value: unknown, write: Write): void => {
  const start = w.length
  write(w, 2, value)
  w.string(1, name)
  w.message(tag, start)
}
/** The members of an object as pairs of name and value. */
export const namedEach =
  (write: Write): Write =>
  (w, tag, members) => {
    for (const [name, value] of Object.entries(members as Members).toReversed()) named(w, tag, name, value, write)
  }

const fieldsOf = (w: WireWriter, m: Message, value: Members): void => {
  for (const [name, member] of Object.entries(value).toReversed()) {
    const field = m.fields[name]
    if (field) field[1](w, field[0], member)
    else if (m.extensions !== undefined && name.startsWith('x-')) named(w, m.extensions, name, member, any)
  }
}
/** A message, described when it is first written: messages contain each other. */
export const message = (describe: () => Message): Write => {
  let described: Message | undefined
  return (w, tag, value) => {
    const start = w.length
    fieldsOf(w, (described ??= describe()), value as Members)
    w.message(tag, start)
  }
}

/** The bytes of a document. */
export function encodeMessage(m: Message, document: object): Buffer {
  const w = new WireWriter()
  fieldsOf(w, m, document as Members)
  return w.finish()
}
