/** The dry run on one node: which pods of lower priority would have to go, as few and as unimportant ones as possible. */
import type { PodDisruptionBudget } from '#shared/api/policy/poddisruptionbudget.ts'
import type { CycleState } from '../cyclestate.ts'
import { unresolvable, type Handle, type Status } from '../framework.ts'
import type { NodeInfo } from '../nodeinfo.ts'
import type { PodInfo } from '../podinfo.ts'
import { splitByBudgets } from './budgets.ts'
import { byImportance } from './importance.ts'

export interface Victims {
  readonly node: string
  /** The most important first; at least one. */
  readonly pods: readonly PodInfo[]
  /** How many of them a budget would keep. */
  readonly violations: number
}

const noVictims = unresolvable('No preemption victims found for incoming pod')

/** `state` and `node` are clones, which are changed. A Status says why the node is of no use. */
export function selectVictims(
  handle: Pick<Handle, 'filter' | 'addPod' | 'removePod'>,
  state: CycleState,
  pod: PodInfo,
  node: NodeInfo,
  budgets: readonly PodDisruptionBudget[],
): Victims | Status {
  const remove = (p: PodInfo): void => {
    node.removePod(p.uid)
    handle.removePod(state, pod, p, node)
  }
  const add = (p: PodInfo): void => {
    node.addPod(p)
    handle.addPod(state, pod, p, node)
  }
  const lower = [...node.pods.values()].filter(p => p.priority < pod.priority)
  if (lower.length === 0) return noVictims
  lower.forEach(remove)
  const without = handle.filter(state, pod, node)
  if (without) return without

  const victims: PodInfo[] = []
  /** Puts a pod back, unless the new one does not fit beside it. */
  const mustGo = (p: PodInfo): boolean => {
    add(p)
    if (!handle.filter(state, pod, node)) return false
    remove(p)
    victims.push(p)
    return true
  }
  const { violating, others } = splitByBudgets(lower.sort(byImportance), budgets)
  const violations = violating.filter(mustGo).length
  others.forEach(mustGo)
  if (victims.length === 0) throw new Error(`expected at least one victim pod on node ${JSON.stringify(node.name)}`)
  return { node: node.name, pods: victims.sort(byImportance), violations }
}
