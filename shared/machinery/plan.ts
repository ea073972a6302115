/** Schemas made ready for hot loops: field maps and small integers in place of strings, built once for each schema on first use. */
import type { Either, Field, Schema } from './schema.ts'

/** What a value is, as a small integer to switch on. */
export const code = {
  string: 0,
  integer: 1,
  number: 2,
  boolean: 3,
  any: 4,
  list: 5,
  map: 6,
  object: 7,
  intOrString: 8,
  byte: 9,
  time: 10,
  microTime: 11,
  quantity: 12,
  duration: 13,
} as const

/** One field of an object type. */
export interface FieldPlan {
  readonly name: string
  readonly index: number
  readonly field: Field
  readonly plan: Plan
  readonly omitEmpty: boolean
}

export interface Plan {
  readonly code: number
  readonly schema: Schema
  /** Go's name of the type, as its JSON errors show it. */
  readonly goType: string
  /** For lists and maps. Of what may be an object or something else: the object. */
  readonly item: Plan
  /** What may be in the object's place. */
  readonly or: Either['or'] | undefined
  /** For objects: the last part of the type's name, `PodSpec`. */
  readonly struct: string
  readonly fields: ReadonlyMap<string, FieldPlan>
  readonly list: readonly FieldPlan[]
  /** Fields that are always written: their zero value is filled in when they are absent. */
  readonly required: readonly FieldPlan[]
}

const plans = new WeakMap<Schema, Plan>()

/** The plan of a schema, built on first use; its fields are looked at when first needed, so that types may refer to themselves. */
export function planOf(schema: Schema): Plan {
  let plan = plans.get(schema)
  if (!plan) {
    plan = new LazyPlan(schema)
    plans.set(schema, plan)
  }
  return plan
}

const formats: Record<string, number> = {
  byte: code.byte,
  'date-time': code.time,
  'micro-time': code.microTime,
  quantity: code.quantity,
  duration: code.duration,
}
const goFormats: Record<string, string> = {
  byte: '[]uint8',
  'date-time': 'v1.Time',
  'micro-time': 'v1.MicroTime',
  quantity: 'resource.Quantity',
  duration: 'v1.Duration',
}

function codeOf(schema: Schema): number {
  switch (schema.type) {
    case 'string':
      return schema.format ? formats[schema.format]! : code.string
    case 'int-or-string':
      return code.intOrString
    case 'boolean':
      return code.boolean
    default:
      return code[schema.type]
  }
}

function goTypeOf(schema: Schema): string {
  switch (schema.type) {
    case 'string':
      return schema.format ? goFormats[schema.format]! : 'string'
    case 'integer':
      return schema.format
    case 'number':
      return 'float64'
    case 'boolean':
      return 'bool'
    case 'any':
      return 'interface {}'
    case 'int-or-string':
      return 'intstr.IntOrString'
    case 'list':
      return `[]${goTypeOf(schema.items)}`
    case 'map':
      return `map[string]${goTypeOf(schema.values)}`
    case 'object':
      return schema.name.split('.').slice(-2).join('.')
  }
}

class LazyPlan implements Plan {
  readonly schema: Schema
  readonly code: number
  readonly struct: string
  readonly or: Either['or'] | undefined
  #fields: Map<string, FieldPlan> | undefined
  #list: FieldPlan[] | undefined
  #required: FieldPlan[] | undefined
  #item: Plan | undefined
  #goType: string | undefined

  constructor(schema: Schema) {
    this.schema = schema
    this.code = codeOf(schema)
    this.or = schema.type === 'any' ? schema.either?.or : undefined
    this.struct = schema.type === 'object' ? schema.name.slice(schema.name.lastIndexOf('.') + 1) : ''
  }
  get goType(): string {
    return (this.#goType ??= goTypeOf(this.schema))
  }
  get item(): Plan {
    return (this.#item ??= planOf(itemOf(this.schema)))
  }
  get list(): FieldPlan[] {
    return (this.#list ??= this.schema.type === 'object' ? planFields(this.schema.fields) : [])
  }
  get fields(): Map<string, FieldPlan> {
    return (this.#fields ??= new Map(this.list.map(f => [f.name, f])))
  }
  get required(): FieldPlan[] {
    return (this.#required ??= this.list.filter(f => f.field.always))
  }
}

function itemOf(schema: Schema): Schema {
  if (schema.type === 'list') return schema.items
  if (schema.type === 'map') return schema.values
  return schema.type === 'any' && schema.either ? schema.either.schema() : schema
}

function planFields(fields: Record<string, Field>): FieldPlan[] {
  return Object.entries(fields).map(([name, field], index) => ({
    name,
    index,
    field,
    plan: planOf(field.schema),
    omitEmpty: field.omitEmpty,
  }))
}

/** Go's zero value of a type, as JSON shows it; a struct's holds its required fields. */
export function zeroOf(plan: Plan): unknown {
  switch (plan.code) {
    case code.list:
      return []
    case code.map:
      return {}
    case code.object: {
      const out: Record<string, unknown> = {}
      for (const f of plan.required) out[f.name] = zeroOf(f.plan)
      return out
    }
    case code.integer:
    case code.number:
    case code.intOrString:
      return 0
    case code.boolean:
      return false
    case code.quantity:
    case code.duration:
      return plan.code === code.quantity ? '0' : '0s'
    case code.any:
    case code.time:
    case code.microTime:
      return null
    default:
      return ''
  }
}

/** Whether a value is the zero value that `omitempty` drops. */
export function isEmpty(value: unknown): boolean {
  if (value === '' || value === 0 || value === false || value === null || value === undefined) return true
  if (typeof value !== 'object') return false
  if (Array.isArray(value)) return value.length === 0
  for (const _ in value) return false
  return true
}
