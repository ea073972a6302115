/** Constraints that prefer nodes: of a domain with fewer pods a node is better. */
import { stateKey, type CycleState } from '../cyclestate.ts'
import { maxNodeScore, type Snapshot } from '../framework.ts'
import type { NodeInfo } from '../nodeinfo.ts'
import { hasAllKeys, type Constraint } from './constraint.ts'

const hostname = 'kubernetes.io/hostname'

/** What the score needs of a constraint. */
export interface Preference extends Pick<Constraint, 'topologyKey' | 'maxSkew' | 'includes'> {
  /** Pods by node. */
  readonly counts: ReadonlyMap<string, number>
}
export const preferenceOf = (c: Constraint, snapshot: Snapshot): Preference => ({
  topologyKey: c.topologyKey,
  maxSkew: c.maxSkew,
  includes: c.includes,
  counts: c.on(snapshot),
})

interface Scored {
  readonly preference: Preference
  /** Pods by domain; by node where a node is a domain. */
  readonly domains: ReadonlyMap<string, number>
  /** A constraint with many domains counts more. */
  readonly weight: number
}
interface Preferences {
  readonly scored: readonly Scored[]
  readonly ignored: ReadonlySet<string>
}
const preferences = stateKey<Preferences>('PreScorePodTopologySpread')

/** `requireAll`: nodes that lack one of the labels get no points. Returns whether there is anything to score. */
export function countPreferred(
  state: CycleState,
  all: readonly Preference[],
  candidates: readonly NodeInfo[],
  snapshot: Snapshot,
  requireAll: boolean,
): boolean {
  const ignored = new Set(requireAll ? candidates.filter(n => !hasAllKeys(n.node, all)).map(n => n.name) : [])
  const scored = all.map((preference): Scored => {
    const { topologyKey, counts, includes } = preference
    if (topologyKey === hostname) return { preference, domains: counts, weight: Math.log(candidates.length - ignored.size + 2) }
    const domains = new Map<string, number>()
    let unlabelled = 0
    for (const { node, name } of candidates) {
      const domain = node.metadata.labels?.[topologyKey]
      if (ignored.has(name)) continue
      if (domain === undefined) unlabelled = 1
      else domains.set(domain, 0)
    }
    for (const [name, count] of domains.size > 0 ? counts : []) {
      const node = snapshot.get(name)?.node
      if (!node || (requireAll && !hasAllKeys(node, all)) || !includes(node)) continue
      const domain = node.metadata.labels?.[topologyKey] ?? ''
      const known = domains.get(domain)
      if (known !== undefined) domains.set(domain, known + count)
    }
    // Nodes without the label are a domain, too, as upstream.
    return { preference, domains, weight: Math.log(domains.size + unlabelled + 2) }
  })
  state.set(preferences, { scored, ignored })
  return scored.some(s => s.domains.size > 0)
}

export function scoreDomains(state: CycleState, { name, node }: NodeInfo): number {
  const { scored, ignored } = state.get(preferences)!
  if (ignored.has(name)) return Number.NaN
  let sum = 0
  for (const { preference, domains, weight } of scored) {
    const domain = node.metadata.labels?.[preference.topologyKey]
    if (domain === undefined) continue
    const count = domains.get(preference.topologyKey === hostname ? name : domain) ?? 0
    sum += count * weight + (preference.maxSkew - 1)
  }
  return Math.round(sum)
}

/** Nodes that take no part, which have NaN, get 0. */
export function normalizeDomains(scores: Float64Array): void {
  let [min, max] = [Infinity, 0]
  for (const s of scores) {
    if (s < min) min = s
    if (s > max) max = s
  }
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i]!
    scores[i] = Number.isNaN(score) ? 0 : max === 0 ? maxNodeScore : Math.trunc((maxNodeScore * (max + min - score)) / max)
  }
}
