/**
 * One scheduling decision: a pure function of the pod, the snapshot and the profile; with extenders, which are asked over HTTP, of what
 * they answer, too.
 */
import { signatureOf } from './batch.ts'
import { CycleState } from './cyclestate.ts'
import { filterByExtenders, scoreByExtenders, type Extender } from './extender.ts'
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
  /**
   * Which decision of the scheduler this is: equal pods that come one after the other have their nodes from one search. Absent: none have.
   */
  cycle?: number
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
  const cycle = begin(pod, snapshot, profile)
  const candidates = candidatesOf(cycle)
  if (!candidates) return rejected(cycle, 0)
  const nominated = onNominated(cycle)
  if (nominated[0]) return { node: nominated[0].name, state: cycle.state, looked: 0 }
  const signature = search.cycle === undefined ? undefined : signatureOf(pod, profile.signers)
  if (search.cycle !== undefined) {
    const hinted = byHint(cycle, signature, search.cycle)
    if (hinted) return { node: hinted.name, state: cycle.state, looked: 1 }
  }
  const enough = profile.score.length === 0 ? 1 : numFeasibleNodesToFind(candidates.length, profile.percentageOfNodesToScore)
  const { feasible, looked } = findFeasible(cycle, candidates, search.start, enough)
  const [first] = feasible
  if (!first) return rejected(cycle, looked)
  const totals = feasible.length === 1 ? new Float64Array(1) : totalsOf(cycle, feasible)
  const best = feasible.length === 1 ? first : pickBest(feasible, totals, search.tieBreak)
  if (search.cycle !== undefined) profile.batch.decided(signature, search.cycle, best.name, () => bestLast(feasible, totals, best))
  return { node: best.name, state: cycle.state, looked }
}

/** The node that an equal pod's search says is next, if the pod fits there. */
function byHint(cycle: Cycle, signature: string | undefined, count: number): NodeInfo | undefined {
  const { profile, state, pod, snapshot } = cycle
  const fits = (name: string): boolean => {
    const node = snapshot.get(name)
    // One that is gone is no better known than one that has room.
    return !node || filterWithNominated(profile, state, pod, node) === undefined
  }
  const hint = profile.batch.hint(signature, count, fits)
  const node = hint === undefined ? undefined : snapshot.get(hint)
  const [hinted] = node ? findFeasible(cycle, [node], 0, 1).feasible : []
  if (hinted) profile.batch.decided(signature, count, hinted.name)
  return hinted
}

/** Names of the nodes but one, by their scores; equal ones in any order. */
function bestLast(nodes: readonly NodeInfo[], totals: Float64Array, but: NodeInfo): string[] {
  const order = nodes.map((node, i) => ({ node, total: totals[i]!, turn: Math.random() })).filter(n => n.node !== but)
  return order.sort((a, b) => a.total - b.total || a.turn - b.turn).map(n => n.node.name)
}

/** The same with extenders, which may turn down nodes that fit, and score those that are left. Rejects when one fails that must not. */
export async function scheduleWithExtenders(
  pod: PodInfo,
  snapshot: Snapshot,
  profile: Profile,
  extenders: readonly Extender[],
  search: Search = { start: 0 },
): Promise<Decision> {
  const cycle = begin(pod, snapshot, profile)
  const pass = (nodes: NodeInfo[]): Promise<NodeInfo[]> => filterByExtenders(extenders, pod.pod, nodes, cycle.diagnosis)
  const candidates = candidatesOf(cycle)
  if (!candidates) return rejected(cycle, 0)
  let feasible = await pass(onNominated(cycle))
  let looked = 0
  if (feasible.length === 0) {
    const enough = numFeasibleNodesToFind(candidates.length, profile.percentageOfNodesToScore)
    const found = findFeasible(cycle, candidates, search.start, enough)
    looked = found.looked
    feasible = await pass(found.feasible)
  }
  const [first] = feasible
  if (!first) return rejected(cycle, looked)
  if (feasible.length === 1) return { node: first.name, state: cycle.state, looked }
  const totals = totalsOf(cycle, feasible)
  await scoreByExtenders(extenders, pod.pod, feasible, totals)
  return { node: pickBest(feasible, totals, search.tieBreak).name, state: cycle.state, looked }
}

interface Cycle {
  readonly pod: PodInfo
  readonly snapshot: Snapshot
  readonly profile: Profile
  readonly state: CycleState
  readonly diagnosis: Diagnosis
}
const begin = (pod: PodInfo, snapshot: Snapshot, profile: Profile): Cycle => ({
  pod,
  snapshot,
  profile,
  state: new CycleState(),
  diagnosis: newDiagnosis(snapshot.nodes.length),
})
const rejected = ({ state, diagnosis }: Cycle, looked: number): Decision => ({ state, looked, diagnosis })
function candidatesOf({ state, pod, snapshot, profile, diagnosis }: Cycle): readonly NodeInfo[] | undefined {
  if (snapshot.nodes.length === 0) return undefined
  const began = performance.now()
  const candidates = preFilter(state, pod, snapshot, profile, diagnosis)
  profile.ended('PreFilter', candidates ? 'Success' : diagnosis.absent.code, performance.now() - began)
  return candidates
}

/** The node that room was made on, if the pod fits there: most likely no other node would do. */
function onNominated(cycle: Cycle): NodeInfo[] {
  const nominated = cycle.pod.pod.status?.nominatedNodeName
  const node = nominated ? cycle.snapshot.get(nominated) : undefined
  return node ? findFeasible(cycle, [node], 0, 1).feasible : []
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
  { state, pod, profile, diagnosis }: Cycle,
  nodes: readonly NodeInfo[],
  start: number,
  enough: number,
): { feasible: NodeInfo[]; looked: number } {
  const feasible: NodeInfo[] = []
  let looked = 0
  const began = performance.now()
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
  profile.ended('Filter', 'Success', performance.now() - began)
  return { feasible, looked }
}

/** The weighted sum of all scores of each node. */
function totalsOf({ state, pod, snapshot, profile }: Cycle, nodes: readonly NodeInfo[]): Float64Array {
  const totals = new Float64Array(nodes.length)
  const scores = new Float64Array(nodes.length)
  const began = performance.now()
  let preparing = 0
  for (const { plugin, weight } of profile.score) {
    const since = performance.now()
    const status = plugin.preScore?.(state, pod, nodes, snapshot)
    preparing += performance.now() - since
    if (status?.code === 'Skip') continue
    if (status) throw new Error(`running PreScore plugin "${plugin.name}": ${status.reasons.join(', ')}`)
    for (let i = 0; i < nodes.length; i++) scores[i] = plugin.score(state, pod, nodes[i]!)
    plugin.normalizeScore?.(state, pod, scores)
    for (let i = 0; i < nodes.length; i++) totals[i]! += scores[i]! * weight
  }
  profile.ended('PreScore', 'Success', preparing)
  profile.ended('Score', 'Success', performance.now() - began - preparing)
  return totals
}

function pickBest(
  nodes: readonly NodeInfo[],
  totals: Float64Array,
  tieBreak: (n: number) => number = n => Math.floor(Math.random() * n),
): NodeInfo {
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
