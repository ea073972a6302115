/** One scheduling decision: a pure function of the pod and the snapshot. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { Plugin, Rejection, Snapshot } from './framework.ts'
import type { NodeInfo } from './nodeinfo.ts'

export type Decision = { node: string } | { node?: undefined; rejections: Rejection[]; rejectedBy: Plugin[] }

/** Filters, scores, and picks the best node; `tieBreak` chooses among equals (an index below its argument). */
export function schedule(
  pod: Pod,
  snapshot: Snapshot,
  plugins: readonly Plugin[],
  tieBreak: (n: number) => number = n => Math.floor(Math.random() * n),
): Decision {
  const prepared = new Map(plugins.map(p => [p, p.prepare?.(pod, snapshot)]))
  const feasible: NodeInfo[] = []
  const rejections: Rejection[] = []
  const rejectedBy = new Set<Plugin>()
  for (const node of snapshot.nodes) {
    // As upstream: the first plugin that says no speaks for the node.
    let rejection: Rejection | undefined
    for (const plugin of plugins) {
      rejection = plugin.filter?.(pod, node, prepared.get(plugin))
      if (!rejection) continue
      rejectedBy.add(plugin)
      break
    }
    if (rejection) rejections.push(rejection)
    else feasible.push(node)
  }
  if (feasible.length === 0) return { rejections, rejectedBy: [...rejectedBy] }
  if (feasible.length === 1) return { node: feasible[0]!.name }

  const totals = feasible.map(() => 0)
  for (const plugin of plugins) {
    if (!plugin.score) continue
    const raw = feasible.map(node => plugin.score!(pod, node, prepared.get(plugin)))
    for (const [i, s] of (plugin.normalize?.(raw) ?? raw).entries()) totals[i]! += s * (plugin.weight ?? 1)
  }
  const top = Math.max(...totals)
  const best = feasible.filter((_, i) => totals[i] === top)
  return { node: best[tieBreak(best.length)]!.name }
}
