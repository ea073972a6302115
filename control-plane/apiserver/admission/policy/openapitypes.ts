/** Types of expressions from the OpenAPI v3 document of a group version: k8s.io/apiserver/pkg/cel/common/schemas.go. */
import { lookUp } from '#shared/machinery/jsonvalue.ts'
import type { Type } from '../../cel/cel.ts'
import { cel } from '../../cel/load.ts'
import { unescapeName } from '../../cel/schema/names.ts'

export interface OpenApiSchema {
  readonly $ref?: string
  readonly type?: string
  readonly format?: string
  readonly properties?: Readonly<Record<string, OpenApiSchema>>
  readonly additionalProperties?: OpenApiSchema | boolean
  readonly items?: OpenApiSchema
  readonly allOf?: readonly OpenApiSchema[]
  readonly 'x-kubernetes-group-version-kind'?: readonly { readonly group: string; readonly version: string; readonly kind: string }[]
  readonly 'x-kubernetes-int-or-string'?: boolean
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean
  readonly 'x-kubernetes-embedded-resource'?: boolean
}
export interface OpenApiDocument {
  readonly components?: { readonly schemas?: Readonly<Record<string, OpenApiSchema>> }
}

/** The type of a kind's objects; undefined when the document has none. Fields are looked at when expressions name them. */
export function typeOfKind(document: OpenApiDocument, group: string, version: string, kind: string): Type | undefined {
  const schemas = document.components?.schemas ?? {}
  const found = Object.values(schemas).find(s =>
    s['x-kubernetes-group-version-kind']?.some(g => g.group === group && g.version === version && g.kind === kind),
  )
  return found && typeOf(schemas, found, kind, true)
}

const formats: Readonly<Record<string, 'bytes' | 'duration' | 'timestamp'>> = {
  byte: 'bytes',
  duration: 'duration',
  date: 'timestamp',
  'date-time': 'timestamp',
}

function typeOf(schemas: Readonly<Record<string, OpenApiSchema>>, given: OpenApiSchema, name: string, root = false): Type {
  const { types } = cel()
  const schema = resolved(schemas, given)
  if (schema['x-kubernetes-int-or-string']) return types.dyn
  const below = (s: OpenApiSchema, part: string): Type => typeOf(schemas, s, `${name}.${part}`)
  switch (schema.type) {
    case 'boolean':
      return types.bool
    case 'integer':
      return types.int
    case 'number':
      return types.double
    case 'string':
      return types[lookUp(formats, schema.format ?? '') ?? 'string']
    case 'array':
      return types.list(schema.items ? below(schema.items, '@idx') : types.dyn)
    case 'object': {
      const { properties = {}, additionalProperties: rest } = schema
      if (Object.keys(properties).length === 0) {
        if (typeof rest === 'object') return types.map(types.string, below(rest, '@elem'))
        if (!root && !schema['x-kubernetes-embedded-resource']) return types.dyn
      }
      return objectType(schemas, properties, name, schema['x-kubernetes-preserve-unknown-fields'] === true)
    }
    default:
      return types.dyn
  }
}

function objectType(
  schemas: Readonly<Record<string, OpenApiSchema>>,
  properties: Readonly<Record<string, OpenApiSchema>>,
  name: string,
  preserves: boolean,
): Type {
  const { types } = cel()
  const known = new Map<string, Type | undefined>()
  return types.struct(name, field => {
    if (known.has(field)) return known.get(field)
    const property = lookUp(properties, field) ?? lookUp(properties, unescapeName(field) ?? '')
    const type = property ? typeOf(schemas, property, `${name}.${field}`) : preserves ? types.dyn : undefined
    known.set(field, type)
    return type
  })
}

/** A reference, also one that stands alone in `allOf` beside a default, is what it refers to. */
function resolved(schemas: Readonly<Record<string, OpenApiSchema>>, schema: OpenApiSchema): OpenApiSchema {
  const [only, ...more] = schema.allOf ?? []
  const ref = schema.$ref ?? (only && more.length === 0 ? only.$ref : undefined)
  const name = ref?.slice(ref.lastIndexOf('/') + 1)
  return (name === undefined ? undefined : lookUp(schemas, name)) ?? schema
}
