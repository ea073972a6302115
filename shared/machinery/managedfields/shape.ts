/** How server-side apply sees a type: where values end, and by what the items of a list are told apart. */
import { code, type FieldPlan, type Plan } from '../plan.ts'
import type { Field } from '../schema.ts'

/** A value in its place: its type, and what the field that holds it says about merging. */
export interface Shape {
  readonly kind: 'leaf' | 'struct' | 'map' | 'keyed' | 'set'
  readonly plan: Plan
  /** Of the items of a list or map. */
  readonly item: Shape
  /** Of the fields of a struct. */
  readonly fields: ReadonlyMap<string, Shape>
  /** The keys of a keyed list, sorted. */
  readonly keys: readonly { name: string; default: unknown }[]
}

const shapes = new WeakMap<Plan, Shape>()
const fieldShapes = new WeakMap<FieldPlan, Shape>()

/** The shape of a type by itself: its lists are atomic, as only fields carry list types. */
export function shapeOf(plan: Plan): Shape {
  let shape = shapes.get(plan)
  if (!shape) shapes.set(plan, (shape = new LazyShape(plan, undefined)))
  return shape
}

function shapeOfField(f: FieldPlan): Shape {
  const { listType, mapType, structType } = f.field
  if (listType === undefined && mapType === undefined && structType === undefined) return shapeOf(f.plan)
  let shape = fieldShapes.get(f)
  if (!shape) fieldShapes.set(f, (shape = new LazyShape(f.plan, f.field)))
  return shape
}

function kindOf(plan: Plan, field: Field | undefined): Shape['kind'] {
  switch (plan.code) {
    case code.object:
      return (plan.schema.type === 'object' && plan.schema.atomic) || field?.structType === 'atomic' ? 'leaf' : 'struct'
    case code.map:
      return field?.mapType === 'atomic' ? 'leaf' : 'map'
    case code.list:
      if (field?.listType === 'set') return 'set'
      return field?.listType === 'map' && plan.item.code === code.object ? 'keyed' : 'leaf'
    default:
      return 'leaf'
  }
}

class LazyShape implements Shape {
  readonly kind: Shape['kind']
  readonly plan: Plan
  readonly keys: readonly { name: string; default: unknown }[]
  #fields: Map<string, Shape> | undefined
  #item: Shape | undefined

  constructor(plan: Plan, field: Field | undefined) {
    this.plan = plan
    this.kind = kindOf(plan, field)
    this.keys =
      this.kind === 'keyed'
        ? [...(field?.listMapKeys ?? [])].sort().map(name => ({ name, default: plan.item.fields.get(name)?.field.default }))
        : []
  }
  get fields(): Map<string, Shape> {
    return (this.#fields ??= new Map(this.plan.list.map(f => [f.name, shapeOfField(f)])))
  }
  get item(): Shape {
    return (this.#item ??= shapeOf(this.plan.item))
  }
}

const elements = new Map<string, string>()
/** The path element of a field of a struct, `f:name`; made once for each name that schemas have. */
export function fieldElement(shape: Shape, name: string): string {
  const known = elements.get(name)
  if (known !== undefined) return known
  const element = `f:${name}`
  if (shape.kind === 'struct' && shape.fields.has(name)) elements.set(name, element)
  return element
}

/** The path element of an item of a keyed list, `k:{"name":"c"}`. A key that is absent and has no default is left out. */
export function keyElement(shape: Shape, item: unknown): string {
  const object = item as Record<string, unknown>
  let out = ''
  for (const key of shape.keys) {
    const value = object[key.name] ?? key.default
    if (value === undefined) continue
    out += `${out === '' ? '' : ','}"${key.name}":${JSON.stringify(value)}`
  }
  return `k:{${out}}`
}

/** The path element of an item of a set, `v:"x"`. */
export const valueElement = (item: unknown): string => `v:${JSON.stringify(item)}`

/** The path element of an item of a list of this shape. */
export const itemElement = (shape: Shape, item: unknown): string => (shape.kind === 'set' ? valueElement(item) : keyElement(shape, item))
