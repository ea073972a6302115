/** Static defaults: what a schema says about fields that are absent. Defaults that look at other fields belong to the resource. */
import { clone } from './jsonvalue.ts'
import { code, isEmpty, planOf, type FieldPlan, type Plan } from './plan.ts'
import type { ObjectSchema } from './schema.ts'

/** A type's fields that have a default, and those below which something has one. */
interface Defaulter {
  readonly own: readonly { name: string; value: unknown; shared: boolean; required: boolean }[]
  readonly below: readonly { name: string; plan: Plan }[]
}

const defaulters = new WeakMap<Plan, Defaulter>()
const reaching = new WeakMap<Plan, boolean>()

/**
 * Fills in the schema's defaults, also inside what a default made. Changes the object. A field counts as absent when it is undefined or
 * null, and a required text when it is empty: decoding has put one there. A published default that is the zero value of an optional scalar
 * says nothing (Go's `omitempty` drops it again), except `{}`, the mark of a struct that is always written.
 */
export function applyDefaults(schema: ObjectSchema, object: object): void {
  fill(planOf(schema), object as Record<string, unknown>)
}

function fill(plan: Plan, object: Record<string, unknown>): void {
  const defaulter = defaulterOf(plan)
  for (const d of defaulter.own) {
    const value = object[d.name]
    if (value === undefined || value === null || (d.required && value === '')) object[d.name] = d.shared ? d.value : clone(d.value)
  }
  for (const { name, plan: below } of defaulter.below) {
    const value = object[name]
    if (value !== undefined && value !== null) descend(below, value)
  }
}

function descend(plan: Plan, value: unknown): void {
  switch (plan.code) {
    case code.object:
      return fill(plan, value as Record<string, unknown>)
    case code.list:
      for (const item of value as unknown[]) descend(plan.item, item)
      return
    case code.map:
      for (const item of Object.values(value as object)) descend(plan.item, item)
  }
}

function defaulterOf(plan: Plan): Defaulter {
  let defaulter = defaulters.get(plan)
  if (!defaulter) {
    defaulter = {
      own: plan.list.filter(hasDefault).map(f => {
        const value = f.field.default
        return { name: f.name, value, shared: typeof value !== 'object', required: !f.field.optional }
      }),
      below: plan.list.filter(f => reaches(f.plan, new Set())).map(f => ({ name: f.name, plan: f.plan })),
    }
    defaulters.set(plan, defaulter)
  }
  return defaulter
}

function hasDefault(f: FieldPlan): boolean {
  const value = f.field.default
  if (value === undefined || value === null) return false
  if (f.plan.code === code.object || !f.field.optional || f.field.pointer === true) return true
  return !isEmpty(value)
}

/** Whether some type below has a default. */
function reaches(plan: Plan, seen: Set<Plan>): boolean {
  const known = reaching.get(plan)
  if (known !== undefined) return known
  if (seen.has(plan)) return false
  seen.add(plan)
  let result = false
  if (plan.code === code.list || plan.code === code.map) result = reaches(plan.item, seen)
  else if (plan.code === code.object) result = plan.list.some(f => hasDefault(f) || reaches(f.plan, seen))
  // A negative answer inside a cycle may be due to the cycle; only the outermost one is sure.
  if (result || seen.size === 1) reaching.set(plan, result)
  return result
}
