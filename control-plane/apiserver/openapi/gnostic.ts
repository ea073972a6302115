/**
 * OpenAPI v2 in the protobuf form of gnostic (openapiv2/OpenAPIv2.proto), which is what kubectl asks for: older ones for everything, newer
 * ones when a kind is not in OpenAPI v3. Only the messages and fields that our documents have.
 */
import { WireWriter } from '#shared/machinery/wire.ts'

/** How the value of a field is written, under its tag. */
type Write = (w: WireWriter, tag: number, value: unknown) => void
type Members = { readonly [name: string]: unknown }
interface Message {
  readonly fields: { readonly [name: string]: readonly [tag: number, write: Write] }
  /** The tag for what begins with `x-`. */
  readonly extensions?: number
}

const string: Write = (w, tag, value) => w.string(tag, value as string)
const boolean: Write = (w, tag, value) => w.boolean(tag, value as boolean)
const each =
  (write: Write): Write =>
  (w, tag, values) => {
    for (const value of (values as unknown[]).toReversed()) write(w, tag, value)
  }
const strings = each(string)

/** Within a message of one field. */
const within =
  (inner: number, write: Write): Write =>
  (w, tag, value) => {
    const start = w.length
    write(w, inner, value)
    w.message(tag, start)
  }

/** A value of any kind is kept as YAML, of which JSON is a part. */
const any = within(2, (w, tag, value) => w.string(tag, JSON.stringify(value)))

const named = (w: WireWriter, tag: number, name: string, value: unknown, write: Write): void => {
  const start = w.length
  write(w, 2, value)
  w.string(1, name)
  w.message(tag, start)
}
/** The members of an object as pairs of name and value. */
const namedEach =
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
const message = (describe: () => Message): Write => {
  let described: Message | undefined
  return (w, tag, value) => {
    const start = w.length
    fieldsOf(w, (described ??= describe()), value as Members)
    w.message(tag, start)
  }
}

const schema: Write = message(() => ({
  fields: {
    $ref: [1, string],
    format: [2, string],
    description: [4, string],
    default: [5, any],
    required: [19, strings],
    enum: [20, each(any)],
    additionalProperties: [21, within(1, schema)],
    type: [22, within(1, string)],
    items: [23, within(1, schema)],
    allOf: [24, each(schema)],
    properties: [25, within(1, namedEach(schema))],
  },
  extensions: 31,
}))

const parameterFields = { required: [1, boolean], in: [2, string], description: [3, string], name: [4, string] } as const
const bodyParameter = message(() => ({
  fields: { description: [1, string], name: [2, string], in: [3, string], required: [4, boolean], schema: [5, schema] },
}))
const queryParameter = message(() => ({ fields: { ...parameterFields, type: [6, string], uniqueItems: [20, boolean] } }))
const pathParameter = message(() => ({ fields: { ...parameterFields, type: [5, string], uniqueItems: [19, boolean] } }))
const parameters: { readonly [place: string]: Write } = {
  body: within(1, bodyParameter),
  query: within(2, within(3, queryParameter)),
  path: within(2, within(4, pathParameter)),
}
const parameter = within(1, (w, tag, value) => parameters[(value as { in: string }).in]?.(w, tag, value))

const response = message(() => ({ fields: { description: [1, string], schema: [2, within(1, schema)] } }))
const operation = message(() => ({
  fields: {
    description: [3, string],
    operationId: [5, string],
    produces: [6, strings],
    consumes: [7, strings],
    parameters: [8, each(parameter)],
    responses: [9, namedResponses],
    schemes: [10, strings],
  },
  extensions: 13,
}))
const namedResponses = within(1, namedEach(within(1, response)))
const pathItem = message(() => ({
  fields: { get: [2, operation], put: [3, operation], post: [4, operation], delete: [5, operation], patch: [8, operation] },
}))
const info = message(() => ({ fields: { title: [1, string], version: [2, string] } }))
const document: Message = {
  fields: {
    swagger: [1, string],
    info: [2, info],
    paths: [8, within(2, namedEach(pathItem))],
    definitions: [9, within(1, namedEach(schema))],
  },
}

/** The bytes of an OpenAPI v2 document. */
export function encodeGnostic(openApiV2: object): Buffer {
  const w = new WireWriter()
  fieldsOf(w, document, openApiV2 as Members)
  return w.finish()
}

/** How clients ask for it; the first is malformed (`@` may not be in a media type) and what kubectl sends. */
const asked = new Set([
  'application/com.github.proto-openapi.spec.v2@v1.0+protobuf',
  'application/com.github.proto-openapi.spec.v2.v1.0+protobuf',
])
export const gnosticContentType = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'

/** Whether an Accept header names the protobuf form before JSON. */
export function wantsGnostic(accept: string | undefined): boolean {
  for (const clause of accept?.split(',') ?? []) {
    const type = clause.split(';')[0]!.trim().toLowerCase()
    if (asked.has(type)) return true
    if (type === 'application/json' || type === 'application/*' || type === '*/*') return false
  }
  return false
}
