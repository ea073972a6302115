/** Structural schemas made ready for the walks over objects. */
import { lazyPattern } from '../re2.ts'
import type { JsonSchema, StructuralSchema } from './schema.ts'

export interface Node {
  readonly schema: JsonSchema
  readonly fields: ReadonlyMap<string, Node>
  /** `additionalProperties`; `nothing` for `true`, below which upstream prunes everything. */
  readonly rest: Node | undefined
  readonly item: Node | undefined
  readonly preserve: boolean
  /** An object with kind, apiVersion and metadata of its own; the root is one. */
  readonly embedded: boolean
  /** Whether there is an embedded object here or below. */
  readonly embeds: boolean
  readonly intOrString: boolean
  readonly listKeys: readonly string[]
  /** Whether there is a default here or below, so that others need not be walked. */
  readonly defaults: boolean
  /** Whether there is a list of type set or map here or below. */
  readonly lists: boolean
  readonly matches: ((text: string) => boolean) | undefined
  readonly allOf: readonly Node[]
  readonly anyOf: readonly Node[]
  readonly oneOf: readonly Node[]
  readonly not: Node | undefined
}

const nothing: JsonSchema = {}

export const planOfStructural = (schema: StructuralSchema): Node => nodeOf(schema.root, schema.preserveUnknown === true, true)

function nodeOf(s: JsonSchema, preserveAll: boolean, root = false): Node {
  const below = (inner: JsonSchema): Node => nodeOf(inner, preserveAll)
  const fields = new Map(Object.entries(s.properties ?? {}).map(([name, inner]) => [name, below(inner)]))
  const { additionalProperties } = s
  const rest = typeof additionalProperties === 'object' ? below(additionalProperties) : additionalProperties ? below(nothing) : undefined
  const item = s.items && below(s.items)
  const inner = [...fields.values(), rest, item]
  const listType = s['x-kubernetes-list-type']
  return {
    schema: s,
    fields,
    rest,
    item,
    preserve: preserveAll || s['x-kubernetes-preserve-unknown-fields'] === true,
    embedded: root || s['x-kubernetes-embedded-resource'] === true,
    embeds: s['x-kubernetes-embedded-resource'] === true || inner.some(n => n?.embeds === true),
    intOrString: s['x-kubernetes-int-or-string'] === true,
    listKeys: s['x-kubernetes-list-map-keys'] ?? [],
    defaults: s.default !== undefined || inner.some(n => n?.defaults === true),
    lists: listType === 'set' || listType === 'map' || inner.some(n => n?.lists === true),
    matches: s.pattern === undefined ? undefined : lazyPattern(s.pattern),
    allOf: (s.allOf ?? []).map(below),
    anyOf: (s.anyOf ?? []).map(below),
    oneOf: (s.oneOf ?? []).map(below),
    not: s.not && below(s.not),
  }
}

export type Values = Record<string, unknown>
export const isObject = (value: unknown): value is Values => typeof value === 'object' && value !== null && !Array.isArray(value)

/** What an embedded object has whether its schema says so or not. */
export const isTypeMeta = (name: string): boolean => name === 'kind' || name === 'apiVersion' || name === 'metadata'
