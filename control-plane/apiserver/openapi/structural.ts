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
  // Readers of v2 take what is not described for forbidden: they are told nothing when anything may be there.
  if ((preserveUnknown || root['x-kubernetes-preserve-unknown-fields']) && !isV3(into)) {
    into.schemas[named.name] = { ...extra, type: 'object' }
    return
  }
  const own = preserveUnknown
    ? { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
    : isV3(into)
      ? withEmbedded(into, root)
      : plain(into, root)
  into.schemas[named.name] = { ...own, ...extra, type: 'object', properties: withTypeMeta(into, own['properties'] as object | undefined) }
}

/** What every whole object has. */
function withTypeMeta(into: Definitions, properties: object | undefined): object {
  const meta = define(into, objectMeta)
  const { apiVersion: _a, kind: _k, metadata: _m, ...rest } = (properties ?? {}) as Record<string, unknown>
  return {
    apiVersion: { type: 'string', description: 'APIVersion defines the versioned schema of this representation of an object.' },
    kind: { type: 'string', description: 'Kind is the REST resource that this object represents, in CamelCase.' },
    metadata: isV3(into) ? { allOf: [meta] } : meta,
    ...rest,
  }
}

/** The same schema, in which embedded objects have what every object has. */
function withEmbedded(into: Definitions, s: Structural): JsonSchema {
  const { properties, items, additionalProperties } = s
  const inner = properties && Object.fromEntries(Object.entries(properties).map(([name, p]) => [name, withEmbedded(into, p)]))
  const embedded = s['x-kubernetes-embedded-resource'] === true
  return {
    ...s,
    ...(inner || embedded ? { properties: embedded ? withTypeMeta(into, inner) : inner } : {}),
    ...(items ? { items: withEmbedded(into, items) } : {}),
    ...(typeof additionalProperties === 'object' ? { additionalProperties: withEmbedded(into, additionalProperties) } : {}),
  }
}

/** What OpenAPI v2 can say of it: neither alternatives nor null, and nothing about what may hold unknown fields. */
function plain(into: Definitions, s: Structural): JsonSchema {
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
  const inner = properties && Object.fromEntries(Object.entries(properties).map(([name, p]) => [name, plain(into, p)]))
  const embedded = s['x-kubernetes-embedded-resource'] === true
  return {
    ...rest,
    ...(inner || embedded ? { properties: embedded ? withTypeMeta(into, inner) : inner } : {}),
    ...(items ? { items: plain(into, items) } : {}),
    ...(typeof additionalProperties === 'object' ? { additionalProperties: plain(into, additionalProperties) } : {}),
  }
}
