/** What an update leaves as it was is not judged anew: k8s.io/apiserver/pkg/cel/common/equality.go. */
import { equal } from '../managedfields/compare.ts'
import type { JsonSchema } from './schema.ts'

/** A part of an object and what it was. */
export interface Correlation {
  readonly schema: JsonSchema | undefined
  readonly now: unknown
  readonly old: unknown
}

/** Whether the part, or of a part that was not there before the nearest one around it that was, is what it was. */
export const ratchets = ({ schema, now, old }: Correlation): boolean => same(schema, now, old)

type Values = Readonly<Record<string, unknown>>
const isObject = (value: unknown): value is Values => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Items of lists of type map are compared by their keys, in any order; what no schema describes counts as changed. */
function same(schema: JsonSchema | undefined, now: unknown, old: unknown): boolean {
  if (old === undefined || old === null || now === undefined || now === null) return now === old
  if (Array.isArray(now) && Array.isArray(old)) {
    if (now.length !== old.length) return false
    if (schema?.['x-kubernetes-list-type'] !== 'map') return equal(now, old)
    const before = new Map(old.map(item => [keyOfItem(schema, item), item as unknown]))
    return now.every(item => same(schema.items, item, before.get(keyOfItem(schema, item))))
  }
  if (isObject(now) && isObject(old)) {
    const names = Object.keys(now)
    if (names.length !== Object.keys(old).length) return false
    const { properties, additionalProperties: rest } = schema ?? {}
    return names.every(name => {
      const inner = properties && Object.hasOwn(properties, name) ? properties[name] : typeof rest === 'object' ? rest : undefined
      return inner !== undefined && Object.hasOwn(old, name) && same(inner, now[name], old[name])
    })
  }
  return equal(now, old)
}

/** What tells an item of a list of type map from others. */
export function keyOfItem(schema: JsonSchema, item: unknown): string {
  const keys = schema['x-kubernetes-list-map-keys'] ?? []
  const properties = schema.items?.properties
  return JSON.stringify(keys.map(k => (isObject(item) ? item[k] : undefined) ?? properties?.[k]?.default ?? null))
}
