/** JSON schemas of the API's types, for the `components.schemas` of OpenAPI v3 and the `definitions` of v2. */
import type { Field, Fields, ListSchema, ObjectSchema, Schema } from '#shared/machinery/schema.ts'

export type JsonSchema = { [key: string]: unknown }
export interface Definitions {
  /** `#/components/schemas/` or `#/definitions/`. */
  readonly prefix: string
  readonly schemas: { [name: string]: JsonSchema }
}

const named = {
  time: 'io.k8s.apimachinery.pkg.apis.meta.v1.Time',
  microTime: 'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime',
  duration: 'io.k8s.apimachinery.pkg.apis.meta.v1.Duration',
  quantity: 'io.k8s.apimachinery.pkg.api.resource.Quantity',
  intOrString: 'io.k8s.apimachinery.pkg.util.intstr.IntOrString',
}
const scalars: Readonly<Record<string, JsonSchema>> = {
  [named.time]: { type: 'string', format: 'date-time', description: 'A point in time as RFC 3339 text, with whole seconds.' },
  [named.microTime]: { type: 'string', format: 'date-time', description: 'A point in time as RFC 3339 text, with microseconds.' },
  [named.duration]: { type: 'string', description: 'A length of time such as 1m30s.' },
  [named.quantity]: {
    description:
      'An amount as a decimal number with an optional suffix: decimal (m, k, M, G, T, P, E), binary (Ki, Mi, Gi, Ti, Pi, Ei) or an exponent. 500m is one half, 1Gi is 1024 Mi.',
    oneOf: [{ type: 'string' }, { type: 'number' }],
  },
  [named.intOrString]: {
    description: 'A number, or a text such as a percentage or a port name.',
    format: 'int-or-string',
    oneOf: [{ type: 'integer' }, { type: 'string' }],
  },
}

/** Adds a type and everything that it refers to; returns the reference to it. */
export function define(into: Definitions, schema: ObjectSchema, extra: JsonSchema = {}): JsonSchema {
  const { name } = schema
  if (into.schemas[name] === undefined) {
    // The place is taken first: types may refer to themselves.
    const own: JsonSchema = (into.schemas[name] = {})
    Object.assign(own, objectSchema(into, schema), extra)
  }
  return { $ref: `${into.prefix}${name}` }
}

export const isV3 = (into: Definitions): boolean => into.prefix.includes('components')

function scalar(into: Definitions, name: string): JsonSchema {
  into.schemas[name] ??= isV3(into) ? scalars[name]! : withoutOneOf(scalars[name]!)
  return { $ref: `${into.prefix}${name}` }
}

/** OpenAPI v2 has no oneOf; upstream says string there. */
function withoutOneOf(schema: JsonSchema): JsonSchema {
  const { oneOf, ...rest } = schema
  return oneOf === undefined ? schema : { type: 'string', ...rest }
}

function objectSchema(into: Definitions, schema: ObjectSchema): JsonSchema {
  const fields = Object.entries(schema.fields as Fields)
  const required = fields.filter(([, field]) => !field.optional).map(([name]) => name)
  return {
    ...(schema.doc ? { description: schema.doc } : {}),
    type: 'object',
    ...(required.length > 0 ? { required } : {}),
    properties: Object.fromEntries(fields.map(([name, field]) => [name, fieldSchema(into, field)])),
    ...(schema.atomic ? { 'x-kubernetes-map-type': 'atomic' } : {}),
  }
}

function fieldSchema(into: Definitions, field: Field): JsonSchema {
  const type = typeSchema(into, field.schema)
  // In v3 a reference may have no siblings, so it is wrapped. Readers of v2 know nothing of allOf, and upstream gives them no defaults.
  const own = type['$ref'] === undefined || !isV3(into) ? type : { allOf: [type] }
  return {
    ...own,
    ...(field.doc ? { description: field.doc } : {}),
    ...(field.default === undefined || !isV3(into) ? {} : { default: field.default }),
    ...(field.schema.type === 'list' ? mergeExtensions(field) : {}),
    ...(field.schema.type === 'object' && field.schema.granular ? { 'x-kubernetes-map-type': 'granular' } : {}),
    ...(field.schema.type !== 'list' && field.patchStrategy ? { 'x-kubernetes-patch-strategy': field.patchStrategy } : {}),
  }
}

const mergeExtensions = (field: Field): JsonSchema => ({
  ...(field.mergeKey ? { 'x-kubernetes-patch-merge-key': field.mergeKey } : {}),
  ...(field.patchStrategy ? { 'x-kubernetes-patch-strategy': field.patchStrategy } : {}),
})

function typeSchema(into: Definitions, schema: Schema): JsonSchema {
  switch (schema.type) {
    case 'string':
      if (schema.format === 'date-time') return scalar(into, named.time)
      if (schema.format === 'micro-time') return scalar(into, named.microTime)
      if (schema.format === 'duration') return scalar(into, named.duration)
      if (schema.format === 'quantity') return scalar(into, named.quantity)
      return { type: 'string', ...(schema.format ? { format: schema.format } : {}), ...(schema.enum ? { enum: schema.enum } : {}) }
    case 'int-or-string':
      return scalar(into, named.intOrString)
    case 'integer':
      return { type: 'integer', format: schema.format }
    case 'number':
      return { type: 'number', format: 'double' }
    case 'boolean':
      return { type: 'boolean' }
    case 'any':
      // Readers of v2 would take the first type that is named for the only one.
      return schema.object ? { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } : {}
    case 'list':
      return { type: 'array', items: itemSchema(into, (schema as ListSchema).items), ...listExtensions(schema) }
    case 'map':
      return {
        type: 'object',
        additionalProperties: itemSchema(into, schema.values as Schema),
        ...(schema.atomic ? { 'x-kubernetes-map-type': 'atomic' } : {}),
      }
    case 'object':
      return define(into, schema)
  }
}

const listExtensions = ({ listType, listMapKeys }: ListSchema): JsonSchema => ({
  ...(listType ? { 'x-kubernetes-list-type': listType } : {}),
  ...(listMapKeys ? { 'x-kubernetes-list-map-keys': listMapKeys } : {}),
})

/** Items carry the default of their type, as upstream's do. */
function itemSchema(into: Definitions, schema: Schema): JsonSchema {
  const type = typeSchema(into, schema)
  if (!isV3(into)) return type
  if (type['$ref'] !== undefined) return schema.type === 'object' ? { allOf: [type], default: {} } : type
  return schema.type === 'string' && !schema.format ? { ...type, default: '' } : type
}
