/**
 * Defaults of a structural schema, and nulls where null is no value, as k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting sets
 * and takes them.
 */
import { clone, setOwn } from '../jsonvalue.ts'
import { isObject, type Node } from './plan.ts'

const isNoValue = (node: Node | undefined, value: unknown): boolean => value === null && node !== undefined && node.schema.nullable !== true

/** Changes `value`, an object or list of the node. */
export function applyStructuralDefaults(node: Node, value: unknown): void {
  if (Array.isArray(value)) {
    const { item } = node
    if (!item) return
    value.forEach((inner, i) => {
      if (isNoValue(item, inner) && item.schema.default !== undefined) value[i] = clone(item.schema.default)
      applyStructuralDefaults(item, value[i])
    })
  } else if (isObject(value)) {
    if (node.defaults) {
      for (const [name, field] of node.fields) {
        if (field.schema.default === undefined) continue
        if (!Object.hasOwn(value, name) || isNoValue(field, value[name])) setOwn(value, name, clone(field.schema.default))
      }
    }
    for (const name in value) {
      const below = node.fields.get(name) ?? node.rest
      if (!below) continue
      if (isNoValue(below, value[name])) {
        if (below.schema.default === undefined) {
          delete value[name]
          continue
        }
        setOwn(value, name, clone(below.schema.default))
      }
      if (typeof value[name] === 'object') applyStructuralDefaults(below, value[name])
    }
  }
}
