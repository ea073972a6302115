/** Where a storage class allows volumes. */
import type { Node } from '../api/core/node.ts'
import type { TopologySelectorTerm } from '../api/core/topologyselectorterm.ts'

/** Whether the node's labels satisfy one of the terms; no terms allow every node, a term without labels none. */
export function matchesTopology(terms: readonly TopologySelectorTerm[] | undefined, { metadata: { labels = {} } }: Node): boolean {
  if (!terms?.length) return true
  return terms.some(
    ({ matchLabelExpressions: all = [] }) => all.length > 0 && all.every(({ key, values = [] }) => values.includes(labels[key] ?? '')),
  )
}
