/** How server-side apply sees a type: where values end, and by what the items of a list are told apart. */
import { code, type Plan } from '../plan.ts'

/** How the values of a type merge. */
export interface Shape {
  readonly kind: 'leaf' | 'struct' | 'map' | 'keyed' | 'set'
  /** A map whose values may be of any type in its place, too, each one value then. */
  readonly free?: true
  /** Of the items of a list or map. */
  readonly item: Shape
  /** Of the fields of a struct. */
  readonly fields: ReadonlyMap<string, Shape>
  /** The keys of a keyed list, sorted. */
  readonly keys: readonly { name: string; default: unknown }[]
}

/** Of what no schema describes: objects merge by their names, however deep, all else is one value (schemaconv's __untyped_deduced_). */
export const deduced: Shape = {
  kind: 'map',
  free: true,
  get item() {
    return deduced
  },
  fields: new Map(),
  keys: [],
}

/** Whether what is there is one value for server-side apply. */
export const isOneValue = (shape: Shape, value: unknown): boolean =>
  shape.kind === 'leaf' || (shape.free === true && (typeof value !== 'object' || value === null || Array.isArray(value)))

const shapes = new WeakMap<Plan, Shape>()

/** The shape of a type. */
export function shapeOf(plan: Plan): Shape {
  let shape = shapes.get(plan)
  if (!shape) shapes.set(plan, (shape = new LazyShape(plan)))
  return shape
}

function kindOf({ schema, item }: Plan): Shape['kind'] {
  switch (schema.type) {
    case 'object':
      return schema.atomic && !schema.granular ? 'leaf' : 'struct'
    case 'map':
      return schema.atomic ? 'leaf' : 'map'
    case 'list':
      if (schema.listType === 'set') return 'set'
      return schema.listType === 'map' && item.code === code.object ? 'keyed' : 'leaf'
    default:
      return 'leaf'
  }
}

class LazyShape implements Shape {
  readonly kind: Shape['kind']
  readonly keys: readonly { name: string; default: unknown }[]
  readonly #plan: Plan
  #fields: Map<string, Shape> | undefined
  #item: Shape | undefined

  constructor(plan: Plan) {
    this.#plan = plan
    this.kind = kindOf(plan)
    const keys: readonly string[] = this.kind === 'keyed' && plan.schema.type === 'list' ? (plan.schema.listMapKeys ?? []) : []
    this.keys = [...keys].sort().map(name => ({ name, default: plan.item.fields.get(name)?.field.default }))
  }
  get fields(): Map<string, Shape> {
    return (this.#fields ??= new Map(this.#plan.list.map(f => [f.name, shapeOf(f.plan)])))
  }
  get item(): Shape {
    return (this.#item ??= shapeOf(this.#plan.item))
  }
}

// Custom kinds bring names of their own: not more than so many are kept.
const maxElements = 10_000
const elements = new Map<string, string>()
/** The path element of a field of a struct, `f:name`; made once for each name that schemas have. */
export function fieldElement(shape: Shape, name: string): string {
  const known = elements.get(name)
  if (known !== undefined) return known
  const element = `f:${name}`
  if (elements.size < maxElements && shape.kind === 'struct' && shape.fields.has(name)) elements.set(name, element)
  return element
}

/** The path element of an item of a keyed list, `k:{"name":"c"}`. A key that is absent and has no default is left out. */
export function keyElement(shape: Shape, item: unknown): string {
  const object = (item ?? {}) as Record<string, unknown>
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
