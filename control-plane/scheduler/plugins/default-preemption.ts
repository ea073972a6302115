/**
 * PostFilter: where pods of lower priority can make room, evicts as few and as unimportant ones as possible and nominates the pod to their
 * node. https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/#preemption
 */
import { podDisruptionBudgets, pods } from '#shared/api/kinds.ts'
import { Action } from '../clusterevent.ts'
import type { DefaultPreemptionArgs } from '../config/pluginargs.ts'
import type { CycleState } from '../cyclestate.ts'
import { preemptByExtenders } from '../extender.ts'
import { histogram } from '../fiterror.ts'
import {
  failure,
  unresolvable,
  unschedulable,
  type Handle,
  type NodeStatuses,
  type PluginFactory,
  type PostFilterResult,
  type Status,
} from '../framework.ts'
import type { PodInfo } from '../podinfo.ts'
import { Evictions, preempted } from '../preemption/evict.ts'
import { pickBest } from '../preemption/pick.ts'
import { selectVictims, type Victims } from '../preemption/victims.ts'

const notHelpful = unresolvable('Preemption is not helpful for scheduling')
const underWay = unresolvable('waiting for the preemption for this pod to be finished')
const never = unschedulable('preemption: not eligible due to preemptionPolicy=Never.')
const noCandidate = unschedulable('preemption: no candidate node for preemption')
const terminating = unschedulable('preemption: not eligible due to a terminating pod on the nominated node.')

const goesByPreemption = ({ terminating, pod }: PodInfo): boolean =>
  terminating && !!pod.status?.conditions?.some(c => c.type === preempted.type && c.status === 'True' && c.reason === preempted.reason)

export const defaultPreemption =
  (args: DefaultPreemptionArgs): PluginFactory =>
  handle => {
    const evictions = new Evictions(handle)
    const budgets = handle.informer(podDisruptionBudgets)

    /** Why the pod must not preempt others now. */
    function ineligible({ uid, pod, priority }: PodInfo, statuses: NodeStatuses): Status | undefined {
      if (pod.spec.preemptionPolicy === 'Never') return never
      const nominated = handle.nominator.nodeOf(uid)
      const node = nominated === undefined ? undefined : handle.snapshot().get(nominated)
      if (!node || (statuses.explicit.get(node.name) ?? statuses.absent).code === 'UnschedulableAndUnresolvable') return undefined
      for (const p of node.pods.values()) if (p.priority < priority && goesByPreemption(p)) return terminating
      return undefined
    }

    return {
      name: 'DefaultPreemption',
      // Whom it holds back others have rejected, and they know what helps; this only says that nothing else does.
      events: [{ kind: pods, action: Action.Delete, hint: () => false }],
      preEnqueue: pod => (evictions.isRunning(pod.metadata.uid ?? '') ? underWay : undefined),
      postFilter(state, pod, statuses) {
        const status = ineligible(pod, statuses)
        if (status) {
          handle.metrics.preemption(0)
          return { status }
        }
        const { candidates, verdicts } = dryRuns(handle, args, state, pod, statuses, () => budgets.list())
        if (candidates.length === 0) {
          handle.metrics.preemption(0)
          const all = handle.snapshot().nodes.length
          const reasons = histogram({ explicit: verdicts, absent: notHelpful }, all)
          return { nominatedNode: '', status: unschedulable(`preemption: 0/${all} nodes are available: ${reasons}.`) }
        }
        const go = (those: readonly Victims[]): PostFilterResult => {
          const best = those.length === 0 ? undefined : pickBest(those)
          handle.metrics.preemption(best?.pods.length ?? 0)
          if (!best) return { status: noCandidate }
          evictions.start(pod, best)
          return { nominatedNode: best.node, status: undefined }
        }
        if (!handle.extenders.some(e => e.preempts && e.cares(pod.pod))) return go(candidates)
        const podsOf = (node: string) => handle.snapshot().get(node)?.pods
        return preemptByExtenders(handle.extenders, pod, candidates, podsOf).then(go, (e: Error) => ({
          status: failure(`preemption: ${e.message}`),
        }))
      },
    }
  }

/** From a random node on, until there are enough candidates, one of which breaks no budget. */
function dryRuns(
  handle: Handle,
  { minCandidateNodesPercentage = 10, minCandidateNodesAbsolute = 100 }: DefaultPreemptionArgs,
  state: CycleState,
  pod: PodInfo,
  { explicit, absent }: NodeStatuses,
  budgetsNow: () => Parameters<typeof selectVictims>[4],
): { candidates: Victims[]; verdicts: Map<string, Status> } {
  const candidates: Victims[] = []
  const verdicts = new Map<string, Status>()
  const { nodes } = handle.snapshot()
  const worth = nodes.filter(n => (explicit.get(n.name) ?? absent).code === 'Unschedulable')
  if (worth.length === 0) return { candidates, verdicts }
  const budgets = budgetsNow()
  const enough = Math.max(minCandidateNodesAbsolute, Math.floor((worth.length * minCandidateNodesPercentage) / 100))
  const from = Math.floor(Math.random() * worth.length)
  let keepsBudgets = false
  for (let i = 0; i < worth.length && !(keepsBudgets && candidates.length >= enough); i++) {
    const node = worth[(from + i) % worth.length]!
    const found = selectVictims(handle, state.clone(), pod, node.clone(), budgets)
    if ('code' in found) verdicts.set(node.name, found)
    else {
      candidates.push(found)
      keepsBudgets ||= found.violations === 0
    }
  }
  return { candidates, verdicts }
}
