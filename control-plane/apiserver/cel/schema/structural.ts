/** The types of structural schemas: k8s.io/apiserver/pkg/cel/common/schemas.go. */
import { normalBase64 } from '#shared/machinery/scalar.ts'
import type { JsonSchema } from '#shared/machinery/structural/schema.ts'
import { parseDuration, parseTimestamp } from '../gotime.ts'
import * as types from '../types.ts'
import { ErrorValue, type Value } from '../values.ts'
import type { Declared } from './declared.ts'
import { escapeName, fieldKeys } from './names.ts'
import { MapList, SchemaList, SchemaMap, SchemaObject, SetList, type Adapt } from './values.ts'

/** Upstream judges by it whatever its server takes. */
const maxRequestBytes = 3 * 1024 * 1024
const maxTextBytes = maxRequestBytes - 2
const maxTimeBytes = 32

/**
 * `name` is that of the type, which the types of fields have before their own. `root`: a whole resource. Undefined for what has no type.
 */
export function declare(schema: JsonSchema, name: string, root: boolean): Declared | undefined {
  const declared = declareValue(root ? withMeta(schema) : schema, name)
  if (!declared) return undefined
  const { adapt } = declared
  const { nullable } = schema
  return {
    ...declared,
    adapt: raw =>
      raw === null || raw === undefined
        ? nullable
          ? null
          : new ErrorValue('invalid data, got null for schema with nullable=false')
        : adapt(raw),
  }
}

const text: JsonSchema = { type: 'string' }
/** Of a resource these can be looked at, whatever its schema says. */
function withMeta(schema: JsonSchema): JsonSchema {
  const { kind, apiVersion, metadata } = schema.properties ?? {}
  const { name, generateName } = metadata?.properties ?? {}
  if (kind?.type === 'string' && apiVersion?.type === 'string' && name?.type === 'string' && generateName?.type === 'string') return schema
  const meta: JsonSchema = { type: 'object', properties: { name: text, generateName: text } }
  return { ...schema, properties: { ...schema.properties, kind: text, apiVersion: text, metadata: meta } }
}

const wrong = (message: string): ErrorValue => new ErrorValue(`invalid data, ${message}`)
const bounded = (n: number): number => Math.max(0, n)
const isEmbedded = (s: JsonSchema): boolean => s['x-kubernetes-embedded-resource'] === true

function declareValue(schema: JsonSchema, name: string): Declared | undefined {
  if (schema['x-kubernetes-int-or-string']) {
    const maxElements = schema.maxLength === undefined ? maxTextBytes : bounded(schema.maxLength) * 4
    return { type: types.dyn, maxElements, minSize: 1, adapt: intOrString }
  }
  switch (schema.type) {
    case 'array':
      return schema.items && declareList(schema, schema.items, name)
    case 'object': {
      const { additionalProperties: rest } = schema
      return typeof rest === 'object' && Object.keys(schema.properties ?? {}).length === 0
        ? declareMap(schema, rest, name)
        : declareObject(schema, name)
    }
    case 'string':
      return declareText(schema)
    case 'boolean':
      return { type: types.bool, maxElements: 0, minSize: 4, adapt: raw => (typeof raw === 'boolean' ? raw : wrong('expected bool')) }
    case 'number':
      return { type: types.double, maxElements: 0, minSize: 1, adapt: float }
    case 'integer':
      return { type: types.int, maxElements: 0, minSize: 1, adapt: integer }
    default:
      return undefined
  }
}

const isInteger = (raw: unknown): raw is number | bigint => typeof raw === 'bigint' || Number.isInteger(raw)
const integer: Adapt = raw => (isInteger(raw) ? BigInt(raw) : wrong('expected int'))
const float: Adapt = raw => (typeof raw === 'number' || typeof raw === 'bigint' ? Number(raw) : wrong('expected float'))
const intOrString: Adapt = raw =>
  typeof raw === 'string' ? raw : isInteger(raw) ? BigInt(raw) : wrong('expected XIntOrString value to be either a string or integer')

function declareList(schema: JsonSchema, items: JsonSchema, name: string): Declared | undefined {
  const element = declare(items, `${name}.@idx`, isEmbedded(items))
  if (!element) return undefined
  const maxElements = schema.maxItems === undefined ? Math.floor((maxRequestBytes - 2) / (element.minSize + 1)) : bounded(schema.maxItems)
  const keys = schema['x-kubernetes-list-map-keys'] ?? []
  const { adapt } = element
  const make =
    schema['x-kubernetes-list-type'] === 'map'
      ? (raw: readonly unknown[]) => new MapList(new SchemaList(raw, adapt), keys)
      : schema['x-kubernetes-list-type'] === 'set'
        ? (raw: readonly unknown[]) => new SetList(new SchemaList(raw, adapt))
        : (raw: readonly unknown[]) => new SchemaList(raw, adapt)
  return {
    type: types.list(element.type),
    maxElements,
    minSize: 2,
    element,
    adapt: raw => (Array.isArray(raw) ? make(raw) : wrong('expected an array for the provided schema with type=array')),
  }
}

const isObject = (raw: unknown): raw is Record<string, unknown> => typeof raw === 'object' && raw !== null && !Array.isArray(raw)
const notMap = wrong('expected a map for the provided schema with type=object')
const keyDeclared: Declared = { type: types.string, maxElements: 0, minSize: 2, adapt: raw => String(raw) }

function declareMap(schema: JsonSchema, rest: JsonSchema, name: string): Declared | undefined {
  const element = declare(rest, `${name}.@elem`, isEmbedded(rest))
  if (!element) return undefined
  const maxElements =
    schema.maxProperties === undefined ? Math.floor((maxRequestBytes - 2) / (element.minSize + 6)) : bounded(schema.maxProperties)
  return {
    type: types.map(types.string, element.type),
    maxElements,
    minSize: 2,
    key: keyDeclared,
    element,
    adapt: raw => (isObject(raw) ? new SchemaMap(raw, element.adapt) : notMap),
  }
}

function declareObject(schema: JsonSchema, name: string): Declared {
  const fields = new Map<string, Declared>()
  const adapters = new Map<string, Adapt>()
  let minSize = 2
  for (const [property, inner] of Object.entries(schema.properties ?? {})) {
    const declared = declare(inner, `${name}.${escapeName(property) ?? property}`, isEmbedded(inner))
    if (!declared) continue
    for (const key of fieldKeys(property)) fields.set(key, declared)
    adapters.set(property, declared.adapt)
    if (schema.required?.includes(property) && inner.default === undefined) minSize += Buffer.byteLength(property) + declared.minSize + 4
  }
  return {
    type: types.struct(name, field => fields.get(field)?.type),
    maxElements: 0,
    minSize,
    fields,
    adapt: raw => (isObject(raw) ? new SchemaObject(raw, adapters) : notMap),
  }
}

function declareText(schema: JsonSchema): Declared {
  const parsed = (type: types.Type, minSize: number, maxElements: number, parse: (raw: string) => Value): Declared => ({
    type,
    maxElements,
    minSize,
    adapt: raw => (typeof raw === 'string' ? parse(raw) : wrong('expected string')),
  })
  switch (schema.format) {
    case 'byte':
      return parsed(types.bytes, 2, schema.maxLength === undefined ? maxTextBytes : bounded(schema.maxLength), raw =>
        normalBase64(raw) === undefined
          ? new ErrorValue(`Invalid byte formatted string ${raw}`)
          : new Uint8Array(Buffer.from(raw, 'base64')),
      )
    case 'duration':
      return parsed(types.duration, 3, maxTimeBytes, raw => parseDuration(raw) ?? new ErrorValue(`Invalid duration ${raw}`))
    case 'date':
      return parsed(
        types.timestamp,
        12,
        12,
        raw => parseTimestamp(`${raw}T00:00:00Z`) ?? new ErrorValue(`Invalid date formatted string ${raw}`),
      )
    case 'date-time':
      return parsed(
        types.timestamp,
        21,
        maxTimeBytes,
        raw => parseTimestamp(raw) ?? new ErrorValue(`Invalid date-time formatted string ${raw}`),
      )
    default:
  }
  const longest = Math.max(0, ...(schema.enum ?? []).map(e => (typeof e === 'string' ? Buffer.byteLength(e) : 0)))
  const maxElements = schema.maxLength !== undefined ? bounded(schema.maxLength) * 4 : schema.enum?.length ? longest : maxTextBytes
  return parsed(types.string, 2, maxElements, raw => raw)
}
