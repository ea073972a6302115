/** How server-side apply sees an object of a structural schema. What is preserved without being described is one value for each name. */
import { objectMeta } from '../../api/meta/objectmeta.ts'
import { shapeOf, type Shape } from '../managedfields/shape.ts'
import { planOf } from '../plan.ts'
import { any, str } from '../schema.ts'
import type { Node } from './plan.ts'

const leaf = shapeOf(planOf(any()))

/** The fields that a schema names, and for all other names the shape of its additional properties. */
class Fields extends Map<string, Shape> {
  readonly #rest: Shape | undefined
  constructor(own: Iterable<readonly [string, Shape]>, rest: Shape | undefined) {
    super(own)
    this.#rest = rest
  }
  override get(name: string): Shape | undefined {
    return super.get(name) ?? this.#rest
  }
}

export function shapeOfNode(node: Node): Shape {
  const { schema } = node
  const item = node.item ? shapeOfNode(node.item) : leaf
  const shape = { item, fields: new Map<string, Shape>(), keys: [] }
  if (schema.type === 'array') {
    const listType = schema['x-kubernetes-list-type']
    if (listType === 'set') return { ...shape, kind: 'set' }
    if (listType !== 'map') return leaf
    const keys = [...node.listKeys].sort().map(name => ({ name, default: node.item?.fields.get(name)?.schema.default }))
    return { ...shape, kind: 'keyed', keys }
  }
  if (schema.type !== 'object' && !node.embedded) return leaf
  if (schema['x-kubernetes-map-type'] === 'atomic') return leaf
  const rest = node.rest && shapeOfNode(node.rest)
  if (rest && node.fields.size === 0 && !node.embedded) return { ...shape, kind: 'map', item: rest }
  const own = [...node.fields].map(([name, field]) => [name, shapeOfNode(field)] as const)
  const meta = node.embedded
    ? ([
        ['kind', text],
        ['apiVersion', text],
        ['metadata', shapeOf(planOf(objectMeta))],
      ] as const)
    : []
  return { ...shape, kind: 'struct', fields: new Fields([...own, ...meta], rest) }
}
const text = shapeOf(planOf(str()))
