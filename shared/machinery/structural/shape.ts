/** How server-side apply sees an object of a structural schema (kube-openapi/pkg/schemaconv). */
import { objectMeta } from '../../api/meta/objectmeta.ts'
import { deduced, shapeOf, type Shape } from '../managedfields/shape.ts'
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

/** `preserved` is whether something around it preserves unknown fields. */
export function shapeOfNode(node: Node, preserved = false): Shape {
  const { schema } = node
  const preserves = preserved || node.preserve
  const item = node.item ? shapeOfNode(node.item, preserves) : leaf
  const shape = { item, fields: new Map<string, Shape>(), keys: [] }
  if (schema.type === 'array') {
    const listType = schema['x-kubernetes-list-type']
    if (listType === 'set') return { ...shape, kind: 'set' }
    if (listType !== 'map') return leaf
    const keys = [...node.listKeys].sort().map(name => ({ name, default: node.item?.fields.get(name)?.schema.default }))
    return { ...shape, kind: 'keyed', keys }
  }
  if (schema['x-kubernetes-map-type'] === 'atomic') return leaf
  if (!schema.type && !node.intOrString && !node.embedded && node.fields.size === 0 && !node.rest) return deduced
  if (schema.type !== 'object' && !node.embedded) return leaf
  const describesAll = schema.additionalProperties !== undefined || (!preserves && node.fields.size > 0)
  const rest = node.rest ? shapeOfNode(node.rest, preserves) : describesAll ? undefined : deduced
  if (rest && node.fields.size === 0 && !node.embedded) return { ...shape, kind: 'map', item: rest }
  const own = [...node.fields].map(([name, field]) => [name, shapeOfNode(field, preserves)] as const)
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
