/** Keeps as many pods as an object with a number of replicas wants. pkg/controller/replicaset, which replication controllers use too. */
import type { LeanPod } from '#shared/client/leanpod.ts'
import { pods } from '#shared/api/kinds.ts'
import type { LabelSelector } from '#shared/api/meta/labelselector.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { Informer, InformerEvent } from '#shared/client/informer.ts'
import { exponential } from '#shared/component/counts.ts'
import type { ControllerContext, NewController } from '../context.ts'
import { byController, claimObjects, controllerOf, managersOf } from '../podcontrol/ownership.ts'
import { hasEnded, isActive, isReady, isTerminating, untilAvailable } from '../podcontrol/pods.ts'
import { selects } from '#shared/machinery/labels.ts'
import { podsToDelete } from '../podcontrol/deletion-order.ts'
import { createPod, deletePod, podFromTemplate, slowStart } from '../podcontrol/podcontrol.ts'
import { replicasStatus, sameStatus, type Replicated } from './status.ts'

/** At most this many pods are created or deleted in one round. */
const burst = 500

/** How many times as old as the youngest ready pod each ready one is that goes; `now` in ms. */
export function ageRatios(pods: readonly LeanPod[], doomed: readonly LeanPod[], now: number): number[] {
  const age = ({ metadata }: LeanPod): number => now - Date.parse(metadata.creationTimestamp ?? '')
  const youngest = Math.max(1, Math.min(...pods.filter(isReady).map(age)))
  return doomed.filter(isReady).map(pod => Math.trunc(age(pod) / youngest))
}

/**
 * The controller of a kind with replicas. `name`: its own and that of its service account. `countsTerminating`: its status tells how many
 * pods are on their way out.
 */
export function keepReplicas<T extends Replicated>(
  ctx: ControllerContext,
  kind: Kind<T>,
  name: string,
  selectorOf: (owner: T) => LabelSelector | undefined,
  countsTerminating: boolean,
): ReturnType<NewController> {
  const recorder = ctx.recorder(name)
  // Pods alone are kept lean.
  const sets = ctx.informer(kind) as unknown as Informer<T>
  const podInformer = ctx.informer(pods)
  sets.addIndex('controller', byController)
  podInformer.addIndex('controller', byController)

  const ages = ctx.metrics.histogram(
    'replicaset_controller_sorting_deletion_age_ratio',
    "[ALPHA] The ratio of chosen deleted pod's ages to the current youngest pod's age (at the time). Should be <2.",
    exponential(0.25, 2, 6),
  )

  /** The owners that an event of a pod matters to: its owner's, before and after, or for an orphan all that select it. */
  function* setsOf(event: InformerEvent<LeanPod>): Iterable<string> {
    yield* managersOf(kind.kind, event)
    if (event.type === 'DELETED' || controllerOf(event.object)) return
    for (const rs of sets.list(event.object.metadata.namespace)) if (selects(selectorOf(rs), event.object.metadata.labels)) yield keyOf(rs)
  }

  async function reconcile(key: string, client: Client): Promise<void | { requeueAfterMs: number }> {
    const [namespace, owner] = splitKey(key)
    const rs = sets.get(namespace, owner)
    if (!rs) return
    const own = (pod: LeanPod) => selects(selectorOf(rs), pod.metadata.labels)
    const all = [...podInformer.byIndex('controller', rs.metadata.uid ?? ''), ...podInformer.byIndex('controller', `orphans/${namespace}`)]
    const active = await claimObjects(client, kind, rs, pods, all.filter(isActive), own)
    const terminating = all.filter(p => isTerminating(p) && !hasEnded(p) && controllerOf(p)?.uid === rs.metadata.uid && own(p))
    let failure: unknown
    const missing = (rs.spec.replicas ?? 1) - active.length
    if (!rs.metadata.deletionTimestamp) {
      try {
        if (missing > 0)
          await slowStart(Math.min(missing, burst), () => createPod(client, recorder, rs, podFromTemplate(kind, rs, rs.spec.template)))
        else if (missing < 0) {
          const doomed = podsToDelete(active, related(rs), Math.min(-missing, burst), Date.now())
          if (doomed.length < active.length) for (const ratio of ageRatios(active, doomed, Date.now())) ages.observe(ratio)
          const results = await Promise.allSettled(doomed.map(pod => deletePod(client, recorder, rs, pod)))
          for (const r of results) if (r.status === 'rejected') throw r.reason
        }
      } catch (e) {
        failure = e
      }
    }
    const now = Date.now()
    const failed = failure
      ? { reason: missing > 0 ? ('FailedCreate' as const) : ('FailedDelete' as const), message: (failure as Error).message }
      : undefined
    const status = replicasStatus(rs, active, countsTerminating ? terminating : undefined, failed, now)
    if (!sameStatus(rs.status, status)) await client.update(kind, { ...rs, status }, 'status')
    if (failure) throw failure
    const waits = active.map(p => untilAvailable(p, rs.spec.minReadySeconds ?? 0, now)).filter(w => w !== undefined)
    if (waits.length) return { requeueAfterMs: Math.min(...waits) + 10 }
  }

  /** Active pods of this owner and of those with the same owner (old and new of one deployment share nodes). */
  function related(rs: T): LeanPod[] {
    const owner = controllerOf(rs)?.uid
    const siblings = owner ? sets.byIndex('controller', owner) : [rs]
    return siblings.flatMap(s => podInformer.byIndex('controller', s.metadata.uid ?? '')).filter(isActive)
  }

  return {
    name,
    client: ctx.as(name),
    workers: 5,
    sources: [source(sets, e => [keyOf(e.object)]), source(podInformer, setsOf)],
    reconcile,
    log: ctx.log,
  }
}
