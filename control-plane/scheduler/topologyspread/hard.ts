/** Constraints that forbid nodes: how many pods each domain has, and what a dry run changes in it. */
import type { CycleState } from '../cyclestate.ts'
import { stateKey } from '../cyclestate.ts'
import { unresolvable, unschedulable, type Snapshot, type Status } from '../framework.ts'
import type { NodeInfo } from '../nodeinfo.ts'
import type { PodInfo } from '../podinfo.ts'
import { hasAllKeys, type Constraint } from './constraint.ts'

const missingLabel = unresolvable("node(s) didn't match pod topology spread constraints (missing required label)")
const tooSkewed = unschedulable("node(s) didn't match pod topology spread constraints")

class Spread {
  readonly constraints: readonly Constraint[]
  /** Pods by domain, of each constraint. */
  readonly domains: readonly Map<string, number>[]
  readonly #least: (number | undefined)[] = []

  constructor(constraints: readonly Constraint[], domains: readonly Map<string, number>[]) {
    this.constraints = constraints
    this.domains = domains
  }
  clone(): Spread {
    return new Spread(
      this.constraints,
      this.domains.map(d => new Map(d)),
    )
  }
  /** The number of pods in the emptiest domain; 0 when there are fewer domains than there should be. */
  least(i: number): number {
    const domains = this.domains[i]!
    if (domains.size < this.constraints[i]!.minDomains) return 0
    return (this.#least[i] ??= Math.min(...domains.values()))
  }
  change(pod: PodInfo, { node }: NodeInfo, by: number): void {
    if (!hasAllKeys(node, this.constraints)) return
    this.constraints.forEach(({ counts, topologyKey, includes }, i) => {
      if (!counts(pod) || !includes(node)) return
      const domain = node.metadata.labels![topologyKey]!
      this.domains[i]!.set(domain, (this.domains[i]!.get(domain) ?? 0) + by)
      this.#least[i] = undefined
    })
  }
}
const spread = stateKey<Spread>('PreFilterPodTopologySpread')

/** Counts; `constraints` has at least one. */
export function countDomains(state: CycleState, constraints: readonly Constraint[], snapshot: Snapshot): void {
  const counts = constraints.map(c => c.on(snapshot))
  const domains = constraints.map(() => new Map<string, number>())
  for (const { node, name } of snapshot.nodes) {
    if (!hasAllKeys(node, constraints)) continue
    constraints.forEach(({ topologyKey, includes }, i) => {
      if (!includes(node)) return
      const domain = node.metadata.labels![topologyKey]!
      domains[i]!.set(domain, (domains[i]!.get(domain) ?? 0) + (counts[i]!.get(name) ?? 0))
    })
  }
  state.set(spread, new Spread(constraints, domains))
}

export const changeDomains = (state: CycleState, pod: PodInfo, node: NodeInfo, by: 1 | -1): void => state.get(spread)?.change(pod, node, by)

export function fitsDomains(state: CycleState, { node }: NodeInfo): Status | undefined {
  const known = state.get(spread)
  if (!known) return undefined
  for (const [i, { topologyKey, maxSkew, countsItself }] of known.constraints.entries()) {
    const domain = node.metadata.labels?.[topologyKey]
    if (domain === undefined) return missingLabel
    const there = (known.domains[i]!.get(domain) ?? 0) + Number(countsItself)
    if (there - known.least(i) > maxSkew) return tooSkewed
  }
  return undefined
}
