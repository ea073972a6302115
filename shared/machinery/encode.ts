/** Writing objects as upstream's Go types would: optional fields that are empty are left out, required ones are always there. */
import { code, isEmpty, planOf, zeroOf, type Plan } from './plan.ts'
import type { ObjectSchema } from './schema.ts'

/**
 * Brings an object into the form in which it is stored and sent: empty optional fields dropped (see FieldOptions.pointer), required ones
 * filled in. Changes the object and returns it. What the schema does not know is left alone.
 */
export function normalize<T extends object>(schema: ObjectSchema, object: T): T {
  prune(planOf(schema), object as Record<string, unknown>)
  return object
}

/**
 * The JSON text of an object in normal form; kind, apiVersion and metadata come first. Does not change the object's fields beyond
 * `normalize`.
 */
export function encode(schema: ObjectSchema, object: object): string {
  const { kind, apiVersion, metadata, ...rest } = normalize(schema, object) as Record<string, unknown>
  return JSON.stringify({ kind, apiVersion, metadata, ...rest })
}

function prune(plan: Plan, object: Record<string, unknown>): void {
  const fields = plan.fields
  for (const name in object) {
    const value = object[name]
    const field = fields.get(name)
    if (field === undefined) continue
    if (value === undefined || value === null || (field.omitEmpty && isEmpty(value))) {
      // A required time is written as null.
      if (value !== null || field.field.optional) delete object[name]
      continue
    }
    if (typeof value === 'object') descend(field.plan, value)
  }
  for (const field of plan.required) if (object[field.name] === undefined) object[field.name] = zeroOf(field.plan)
}

const isDeep = (plan: Plan): boolean => (plan.code >= code.list && plan.code <= code.object) || plan.or !== undefined

function descend(plan: Plan, value: object): void {
  switch (plan.code) {
    case code.object:
      return prune(plan, value as Record<string, unknown>)
    case code.list:
      if (isDeep(plan.item)) for (const item of value as (object | null)[]) if (item) descend(plan.item, item)
      return
    case code.any:
      if (plan.or === undefined) return
      if (!Array.isArray(value)) return prune(plan.item, value as Record<string, unknown>)
      for (const item of value as unknown[]) if (item && typeof item === 'object') descend(plan.item, item)
      return
    case code.map:
      if (isDeep(plan.item))
        for (const item of Object.values(value)) if (item && typeof item === 'object') descend(plan.item, item as object)
  }
}
