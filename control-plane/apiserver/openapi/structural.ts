/** Custom kinds in OpenAPI: the schema of their definition, with what every object has. */
import { objectMeta } from '#shared/api/meta/objectmeta.ts'
import type { ObjectSchema } from '#shared/machinery/schema.ts'
import type { JsonSchema as Structural, StructuralSchema } from '#shared/machinery/structural/schema.ts'
import { define, isV3, type Definitions, type JsonSchema } from './definitions.ts'

/** Adds the type of a custom kind under the name of `named`. */
export function defineStructural(
  into: Definitions,
  named: ObjectSchema,
  { root, preserveUnknown }: StructuralSchema,
  extra: JsonSchema,
): void {
  const own = preserveUnknown ? { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } : isV3(into) ? { ...root } : plain(root)
  const meta = define(into, objectMeta)
  const names = 'Which version of which kind this is.'
  into.schemas[named.name] = {
    ...own,
    ...extra,
    type: 'object',
    ...(own['x-kubernetes-preserve-unknown-fields'] && !isV3(into)
      ? {}
      : {
          properties: {
            apiVersion: { type: 'string', description: names },
            kind: { type: 'string', description: names },
            metadata: isV3(into) ? { allOf: [meta] } : meta,
            ...without((own as { properties?: object }).properties),
          },
        }),
  }
}

function without(properties: object | undefined): object {
  const { apiVersion: _a, kind: _k, metadata: _m, ...rest } = (properties ?? {}) as Record<string, unknown>
  return rest
}

/** What OpenAPI v2 can say of it: neither alternatives nor null, and nothing about what may hold unknown fields. */
function plain(s: Structural): JsonSchema {
  if (s['x-kubernetes-preserve-unknown-fields'] || s.nullable || s['x-kubernetes-int-or-string']) {
    const { description } = s
    return {
      ...(description ? { description } : {}),
      ...(s['x-kubernetes-preserve-unknown-fields'] ? { 'x-kubernetes-preserve-unknown-fields': true } : {}),
    }
  }
  const {
    allOf: _all,
    anyOf: _any,
    oneOf: _one,
    not: _not,
    nullable: _n,
    default: _d,
    properties,
    items,
    additionalProperties,
    ...rest
  } = s
  return {
    ...rest,
    ...(properties ? { properties: Object.fromEntries(Object.entries(properties).map(([name, p]) => [name, plain(p)])) } : {}),
    ...(items ? { items: plain(items) } : {}),
    ...(typeof additionalProperties === 'object' ? { additionalProperties: plain(additionalProperties) } : {}),
  }
}
