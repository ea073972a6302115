/**
 * OpenAPI v2 in the protobuf form of gnostic (openapiv2/OpenAPIv2.proto), which is what kubectl asks for: older ones for everything, newer
 * ones when a kind is not in OpenAPI v3. Only the messages and fields that our documents have.
 */
import { any, boolean, each, encodeMessage, message, namedEach, string, strings, within, type Message, type Write } from './messages.ts'

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
  return encodeMessage(document, openApiV2)
}
