/** Takes out what a structural schema does not know, as k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning does. */
import { isObject, isTypeMeta, type Node } from './plan.ts'

/** Upstream names no more than so many. */
const maxUnknown = 100

/** Changes `value`; adds the paths of what was unknown to `unknown`. */
export function prune(node: Node | undefined, value: unknown, path: string, unknown: string[]): void {
  if (Array.isArray(value)) {
    // Without a schema of the items there is nothing that they may hold; what is preserved stays.
    if (node?.item === undefined && node?.preserve) return
    value.forEach((item, i) => {
      if (typeof item === 'object') prune(node?.item, item, `${path}[${i}]`, unknown)
    })
  } else if (isObject(value)) {
    const at = (name: string): string => (path === '' ? name : `${path}.${name}`)
    for (const name in value) {
      if (node?.embedded && isTypeMeta(name)) continue
      const below = node?.fields.get(name) ?? node?.rest
      if (below) {
        if (typeof value[name] === 'object') prune(below, value[name], at(name), unknown)
      } else if (!node?.preserve) {
        if (unknown.length < maxUnknown) unknown.push(at(name))
        delete value[name]
      }
    }
  }
}
