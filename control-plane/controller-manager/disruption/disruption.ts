/**
 * Says how many pods each PodDisruptionBudget lets go now, which evictions take from, and takes back the mark of pods that were to be
 * disrupted and were not. pkg/controller/disruption
 */
import type { LeanPod } from '#shared/client/leanpod.ts'
import { deployments, podDisruptionBudgets, pods, replicaSets, replicationControllers, statefulSets } from '#shared/api/kinds.ts'
import { withCondition } from '#shared/api/policy/disruptionallowed.ts'
import type { PodDisruptionBudget } from '#shared/api/policy/poddisruptionbudget.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { InformerEvent } from '#shared/client/informer.ts'
import { matchesLabels, selectorOf, type Selector } from '#shared/machinery/labels.ts'
import { isConflict } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { ControllerContext, NewController } from '../context.ts'
import { hasEnded, isTerminating, podCondition } from '../podcontrol/pods.ts'
import { expectedPods, scaleOf } from './expected.ts'
import { selectorText } from './selectortext.ts'
import { budgetStatus, disruptedPods, sameStatus } from './status.ts'

/** A pod that was marked as one to be disrupted is deleted this soon, or not at all. */
const stalePodMs = 2 * 60_000

/** Selects the budget's pods: none when there is no selector or it is invalid, all when it is empty. */
function selectorOfBudget({ spec }: PodDisruptionBudget): Selector | undefined {
  try {
    return selectorOf(spec.selector)
  } catch {
    return undefined
  }
}
const guards = (budget: PodDisruptionBudget, pod: LeanPod): boolean => {
  const selector = selectorOfBudget(budget)
  return selector !== undefined && matchesLabels(selector, pod.metadata.labels)
}

export const disruptionController: NewController = (ctx: ControllerContext) => {
  const recorder = ctx.recorder('controllermanager')
  const served = ctx.served()
  const budgets = ctx.informer(podDisruptionBudgets)
  const podInformer = ctx.informer(pods)
  const owners = {
    ReplicaSet: ctx.informer(replicaSets),
    Deployment: ctx.informer(deployments),
    StatefulSet: ctx.informer(statefulSets),
    ReplicationController: ctx.informer(replicationControllers),
  }

  function* budgetsOf({ object, previous }: InformerEvent<LeanPod>): Iterable<string> {
    for (const budget of budgets.list(object.metadata.namespace))
      if (guards(budget, object) || (previous && guards(budget, previous))) yield keyOf(budget)
  }
  /** What a workload wants is part of what is expected of its pods. */
  const budgetsIn = ({ object }: { object: { metadata: { namespace?: string | undefined } } }): string[] =>
    budgets.list(object.metadata.namespace).map(keyOf)

  async function reconcile(key: string, client: Client): Promise<void | { requeueAfterMs: number }> {
    const [namespace, name] = splitKey(key)
    const budget = budgets.get(namespace, name)
    if (!budget) return
    try {
      return await sync(client, budget)
    } catch (e) {
      if (isConflict(e)) throw e
      ctx.log.warn({ key, err: (e as Error).message }, 'a disruption budget allows nothing: what it guards is not known')
      const status = budget.status ?? { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 }
      const conditions = withCondition(status, 'False', 'SyncFailed', (e as Error).message)
      const failed = { ...status, disruptionsAllowed: 0, conditions }
      if (!sameStatus(status, failed)) await client.update(podDisruptionBudgets, { ...budget, status: failed }, 'status')
    }
  }

  async function sync(client: Client, budget: PodDisruptionBudget): Promise<void | { requeueAfterMs: number }> {
    const guarded = podInformer.list(budget.metadata.namespace).filter(pod => guards(budget, pod))
    if (guarded.length === 0) recorder.event(budget, 'Normal', 'NoPods', 'No matching pods found')
    const now = Date.now()
    let expected
    try {
      expected = await expectedPods(budget, guarded, pod => scaleOf(client, served, owners, pod))
    } catch (e) {
      const message = `Failed to calculate the number of expected pods: ${(e as Error).message}`
      recorder.event(budget, 'Warning', 'CalculateExpectedPodCountFailed', message)
      throw e
    }
    if (expected.unmanaged.length > 0) {
      const message = `Pods selected by this PodDisruptionBudget (selector: ${selectorText(budget.spec.selector)}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`
      recorder.event(budget, 'Warning', 'UnmanagedPods', message)
    }
    const { disrupted, late, recheckMs } = disruptedPods(budget, guarded, now)
    for (const pod of late)
      recorder.event(pod, 'Warning', 'NotDeleted', `Pod was expected by PDB ${keyOf(budget)} to be deleted but it wasn't`)
    const status = budgetStatus(budget, guarded, expected, disrupted)
    if (!sameStatus(budget.status, status)) await client.update(podDisruptionBudgets, { ...budget, status }, 'status')
    return recheckMs === undefined ? undefined : { requeueAfterMs: recheckMs }
  }

  /** How long until the mark of a pod counts as left over; undefined when there is none that could be. */
  function untilStale(pod: LeanPod): number | undefined {
    const mark = podCondition(pod, 'DisruptionTarget')
    // The kubelet's own may take as long as the pod does.
    if (mark?.status !== 'True' || mark.reason === 'TerminationByKubelet' || isTerminating(pod) || hasEnded(pod)) return undefined
    return Math.max(0, Date.parse(mark.lastTransitionTime ?? '1970-01-01T00:00:00Z') + stalePodMs - Date.now())
  }

  async function unmark(key: string, client: Client): Promise<void | { requeueAfterMs: number }> {
    const [namespace, name] = splitKey(key)
    const pod = podInformer.get(namespace, name)
    const left = pod && untilStale(pod)
    if (left === undefined) return
    if (left > 0) return { requeueAfterMs: left }
    const condition = { type: 'DisruptionTarget', status: 'False', lastTransitionTime: formatTime(), reason: null, message: null }
    const patch = { metadata: { uid: pod!.metadata.uid }, status: { conditions: [condition] } }
    await client.patch(pods, namespace, name, 'strategic', patch, 'status')
  }

  return [
    {
      name: 'disruption-controller',
      client: ctx.as('disruption-controller'),
      sources: [
        source(budgets, e => [keyOf(e.object)]),
        source(podInformer, budgetsOf),
        source(owners.ReplicaSet, budgetsIn),
        source(owners.Deployment, budgetsIn),
        source(owners.StatefulSet, budgetsIn),
        source(owners.ReplicationController, budgetsIn),
      ],
      reconcile,
      log: ctx.log,
    },
    {
      name: 'stale-pod-disruption-controller',
      client: ctx.as('disruption-controller'),
      workers: 1,
      sources: [source(podInformer, e => (e.type !== 'DELETED' && untilStale(e.object) !== undefined ? [keyOf(e.object)] : []))],
      reconcile: unmark,
      log: ctx.log,
    },
  ]
}
