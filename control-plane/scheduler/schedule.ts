/** One scheduling decision: a pure function of the pod, the snapshot and the profile. */
import { CycleState } from './cyclestate.ts'
import { newDiagnosis, type Diagnosis } from './fiterror.ts'
import { isRejected, type Plugin, type Snapshot } from './framework.ts'
import type { NodeInfo } from './nodeinfo.ts'
import type { PodInfo } from './podinfo.ts'
import { filterWithNominated, type Profile } from './profile.ts'

const minFeasibleNodesToFind = 100
const minFeasiblePercentage = 5

export interface Search {
  /** The index of the node at which the search begins, so that all nodes get their turn. */
  start: number
  /** Chooses among the best: an index below its argument. */
  tieBreak?: (n: number) => number
}

/** `looked` says how many nodes the search went over. */
export type Decision =
  | { readonly node: string; readonly state: CycleState; readonly looked: number }
  | { readonly node?: undefined; readonly state: CycleState; readonly looked: number; readonly diagnosis: Diagnosis }

/** How many nodes that fit are enough: all below 100, else 50 % less one for each 125 nodes, at least 5 % and 100 nodes. */
export function numFeasibleNodesToFind(nodes: number, percentage = 0): number {
  if (nodes < minFeasibleNodesToFind) return nodes
  const share = percentage || Math.max(minFeasiblePercentage, 50 - Math.floor(nodes / 125))
  return Math.max(minFeasibleNodesToFind, Math.floor((nodes * share) / 100))
}

/** Filters, scores, and picks the best node. Throws when a plugin fails. */
export function schedule(pod: PodInfo, snapshot: Snapshot, profile: Profile, search: Search = { start: 0 }): Decision {
  const state = new CycleState()
  const diagnosis = newDiagnosis(snapshot.nodes.length)
  const rejected = (looked: number): Decision => ({ state, looked, diagnosis })
  if (snapshot.nodes.length === 0) return rejected(0)

  const candidates = preFilter(state, pod, snapshot, profile, diagnosis)
  if (!candidates) return rejected(0)

  const nominated = pod.pod.status?.nominatedNodeName
  const nominatedNode = nominated ? snapshot.get(nominated) : undefined
  // Room was made for it there: most likely no other node would do.
  let feasible = nominatedNode ? findFeasible([nominatedNode], 0, 1, state, pod, profile, diagnosis).feasible : []
  let looked = 0
  if (feasible.length === 0) {
    const enough = profile.score.length === 0 ? 1 : numFeasibleNodesToFind(candidates.length, profile.percentageOfNodesToScore)
    ;({ feasible, looked } = findFeasible(candidates, search.start, enough, state, pod, profile, diagnosis))
  }
  const [first] = feasible
  if (!first) return rejected(looked)
  const best = feasible.length === 1 ? first : pickBest(feasible, state, pod, snapshot, profile, search.tieBreak)
  return { node: best.name, state, looked }
}

/** The nodes that Filter is asked about; undefined when the pod is rejected as a whole. */
function preFilter(
  state: CycleState,
  pod: PodInfo,
  snapshot: Snapshot,
  profile: Profile,
  diagnosis: Diagnosis,
): readonly NodeInfo[] | undefined {
  const skipped = new Set<Plugin>()
  let only: ReadonlySet<string> | undefined
  const restricting = new Set<string>()
  for (const plugin of profile.preFilter) {
    const answer = plugin.preFilter(state, pod, snapshot)
    if (answer === undefined) continue
    if ('code' in answer) {
      if (answer.code === 'Skip') {
        skipped.add(plugin)
        continue
      }
      if (!isRejected(answer)) throw new Error(`running PreFilter plugin "${plugin.name}": ${answer.reasons.join(', ')}`)
      diagnosis.absent = { ...answer, plugin: plugin.name }
      diagnosis.preFilterMessage = answer.reasons.join(', ')
      diagnosis.rejectedBy.add(plugin.name)
      return undefined
    }
    restricting.add(plugin.name)
    only = only ? new Set([...only].filter(name => answer.has(name))) : answer
    if (only.size > 0) continue
    const names = [...restricting].sort().join(', ')
    const message =
      restricting.size === 1
        ? `node(s) didn't satisfy plugin ${names}`
        : `node(s) didn't satisfy plugin(s) [${[...restricting].sort().join(' ')}] simultaneously`
    diagnosis.absent = { code: 'UnschedulableAndUnresolvable', reasons: [message] }
    diagnosis.preFilterMessage = message
    for (const name of restricting) diagnosis.rejectedBy.add(name)
    return undefined
  }
  state.filters = skipped.size === 0 ? profile.filter : profile.filter.filter(p => !skipped.has(p))
  if (!only) return snapshot.nodes
  for (const name of restricting) diagnosis.rejectedBy.add(name)
  diagnosis.absent = {
    code: 'UnschedulableAndUnresolvable',
    reasons: [`node(s) didn't satisfy plugin(s) [${[...restricting].sort().join(' ')}]`],
  }
  return [...only].map(name => snapshot.get(name)).filter(n => n !== undefined)
}

/** Asks nodes from `start` on, until `enough` fit. */
function findFeasible(
  nodes: readonly NodeInfo[],
  start: number,
  enough: number,
  state: CycleState,
  pod: PodInfo,
  profile: Profile,
  diagnosis: Diagnosis,
): { feasible: NodeInfo[]; looked: number } {
  const feasible: NodeInfo[] = []
  let looked = 0
  for (let at = nodes.length === 0 ? 0 : start % nodes.length; looked < nodes.length && feasible.length < enough; looked++) {
    const node = nodes[at]!
    if (++at === nodes.length) at = 0
    const status = filterWithNominated(profile, state, pod, node)
    if (!status) {
      feasible.push(node)
      continue
    }
    if (!isRejected(status)) throw new Error(`running "${status.plugin}" filter plugin: ${status.reasons.join(', ')}`)
    diagnosis.explicit.set(node.name, status)
    if (status.plugin) diagnosis.rejectedBy.add(status.plugin)
  }
  return { feasible, looked }
}

function pickBest(
  nodes: readonly NodeInfo[],
  state: CycleState,
  pod: PodInfo,
  snapshot: Snapshot,
  profile: Profile,
  tieBreak: (n: number) => number = n => Math.floor(Math.random() * n),
): NodeInfo {
  const totals = new Float64Array(nodes.length)
  const scores = new Float64Array(nodes.length)
  for (const { plugin, weight } of profile.score) {
    const status = plugin.preScore?.(state, pod, nodes, snapshot)
    if (status?.code === 'Skip') continue
    if (status) throw new Error(`running PreScore plugin "${plugin.name}": ${status.reasons.join(', ')}`)
    for (let i = 0; i < nodes.length; i++) scores[i] = plugin.score(state, pod, nodes[i]!)
    plugin.normalizeScore?.(state, pod, scores)
    for (let i = 0; i < nodes.length; i++) totals[i]! += scores[i]! * weight
  }
  let top = -Infinity
  let best: number[] = []
  for (let i = 0; i < nodes.length; i++) {
    const total = totals[i]!
    if (total < top) continue
    if (total > top) best = []
    top = total
    best.push(i)
  }
  return nodes[best[tieBreak(best.length)]!]!
}
