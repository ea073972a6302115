/**
 * OpenAPI v3 in the protobuf form of gnostic (openapiv3/OpenAPIv3.proto). Only the messages and fields that documents of API servers have.
 */
import { any, boolean, each, encodeMessage, message, namedEach, string, strings, within, type Message, type Write } from './messages.ts'

const double: Write = (w, tag, value) => w.double(tag, value as number)
const integer: Write = (w, tag, value) => w.integer(tag, value as number)

const reference = message(() => ({ fields: { $ref: [1, string], summary: [2, string], description: [3, string] } }))
/** One of two: what it is, or a reference to it. */
const orReference =
  (write: Write): Write =>
  (w, tag, value) =>
    '$ref' in (value as object) ? within(2, reference)(w, tag, value) : within(1, write)(w, tag, value)

/** Of objects and lists gnostic's form does not say more than that there is a default. */
const defaultValue: Write = (w, tag, value) => {
  const start = w.length
  if (typeof value === 'number') w.double(1, value)
  else if (typeof value === 'boolean') w.boolean(2, value)
  else if (typeof value === 'string') w.string(3, value)
  w.message(tag, start)
}
const schemaOrBoolean: Write = (w, tag, value) =>
  typeof value === 'boolean' ? within(2, boolean)(w, tag, value) : within(1, schemaOrReference)(w, tag, value)

const schema: Write = message(() => ({
  fields: {
    nullable: [1, boolean],
    externalDocs: [6, externalDocs],
    example: [7, any],
    title: [9, string],
    multipleOf: [10, double],
    maximum: [11, double],
    exclusiveMaximum: [12, boolean],
    minimum: [13, double],
    exclusiveMinimum: [14, boolean],
    maxLength: [15, integer],
    minLength: [16, integer],
    pattern: [17, string],
    maxItems: [18, integer],
    minItems: [19, integer],
    uniqueItems: [20, boolean],
    maxProperties: [21, integer],
    minProperties: [22, integer],
    required: [23, strings],
    enum: [24, each(any)],
    type: [25, string],
    allOf: [26, each(schemaOrReference)],
    oneOf: [27, each(schemaOrReference)],
    anyOf: [28, each(schemaOrReference)],
    not: [29, schema],
    items: [30, within(1, schemaOrReference)],
    properties: [31, within(1, namedEach(schemaOrReference))],
    additionalProperties: [32, schemaOrBoolean],
    default: [33, defaultValue],
    description: [34, string],
    format: [35, string],
  },
  extensions: 36,
}))
const schemaOrReference = orReference(schema)
const externalDocs = message(() => ({ fields: { description: [1, string], url: [2, string] }, extensions: 3 }))

const content = within(1, namedEach(message(() => ({ fields: { schema: [1, schemaOrReference] }, extensions: 5 }))))
const parameter = message(() => ({
  fields: {
    name: [1, string],
    in: [2, string],
    description: [3, string],
    required: [4, boolean],
    schema: [10, schemaOrReference],
    content: [13, content],
  },
  extensions: 14,
}))
const parameters = each(orReference(parameter))
const body = message(() => ({ fields: { description: [1, string], content: [2, content], required: [3, boolean] }, extensions: 4 }))
const response = orReference(message(() => ({ fields: { description: [1, string], content: [3, content] }, extensions: 5 })))
const responses: Write = (w, tag, value) => {
  const { default: otherwise, ...byCode } = value as { default?: object }
  const start = w.length
  namedEach(response)(w, 2, byCode)
  if (otherwise) response(w, 1, otherwise)
  w.message(tag, start)
}
const operation = message(() => ({
  fields: {
    tags: [1, strings],
    summary: [2, string],
    description: [3, string],
    operationId: [5, string],
    parameters: [6, parameters],
    requestBody: [7, orReference(body)],
    responses: [8, responses],
    deprecated: [10, boolean],
  },
  extensions: 13,
}))
const pathItem = message(() => ({
  fields: {
    summary: [2, string],
    description: [3, string],
    get: [4, operation],
    put: [5, operation],
    post: [6, operation],
    delete: [7, operation],
    options: [8, operation],
    head: [9, operation],
    patch: [10, operation],
    parameters: [13, parameters],
  },
  extensions: 14,
}))
const info = message(() => ({ fields: { title: [1, string], description: [2, string], version: [6, string] }, extensions: 7 }))
const components = message(() => ({ fields: { schemas: [1, within(1, namedEach(schemaOrReference))] }, extensions: 10 }))
const document: Message = {
  fields: { openapi: [1, string], info: [2, info], paths: [4, within(1, namedEach(pathItem))], components: [5, components] },
  extensions: 9,
}

/** The bytes of an OpenAPI v3 document. */
export const encodeGnosticV3 = (openApiV3: object): Buffer => encodeMessage(document, openApiV3)
