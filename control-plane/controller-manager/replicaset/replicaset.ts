/** Keeps as many pods as a replica set wants. pkg/controller/replicaset */
import type { ReplicaSet } from '#shared/api/apps/replicaset.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { pods, replicaSets } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { InformerEvent } from '#shared/client/informer.ts'
import type { ControllerContext, NewController } from '../context.ts'
import { byController, claimObjects, controllerOf } from '../podcontrol/ownership.ts'
import { hasEnded, isActive, isTerminating, untilAvailable } from '../podcontrol/pods.ts'
import { selects } from '#shared/machinery/labels.ts'
import { podsToDelete } from './deletion-order.ts'
import { createPod, deletePod, podFromTemplate, slowStart } from '../podcontrol/podcontrol.ts'
import { replicaSetStatus, sameStatus } from './status.ts'

/** At most this many pods are created or deleted in one round. */
const burst = 500

export const replicaSetController: NewController = (ctx: ControllerContext) => {
  const recorder = ctx.recorder('replicaset-controller')
  const sets = ctx.informer(replicaSets)
  const podInformer = ctx.informer(pods)
  sets.addIndex('controller', byController)
  podInformer.addIndex('controller', byController)

  /** The replica sets that an event of a pod matters to: its owner's, before and after, or for an orphan all that select it. */
  function* setsOf(event: InformerEvent<LeanPod>): Iterable<string> {
    const owners = new Set<string>()
    for (const pod of event.previous ? [event.object, event.previous] : [event.object]) {
      const ref = controllerOf(pod)
      if (ref?.kind === 'ReplicaSet') owners.add(`${pod.metadata.namespace}/${ref.name}`)
    }
    yield* owners
    if (event.type === 'DELETED' || controllerOf(event.object)) return
    for (const rs of sets.list(event.object.metadata.namespace))
      if (selects(rs.spec.selector, event.object.metadata.labels)) yield keyOf(rs)
  }

  async function reconcile(key: string, client: Client): Promise<void | { requeueAfterMs: number }> {
    const [namespace, name] = splitKey(key)
    const rs = sets.get(namespace, name)
    if (!rs) return
    const own = (pod: LeanPod) => selects(rs.spec.selector, pod.metadata.labels)
    const all = [...podInformer.byIndex('controller', rs.metadata.uid ?? ''), ...podInformer.byIndex('controller', `orphans/${namespace}`)]
    const active = await claimObjects(client, replicaSets, rs, pods, all.filter(isActive), own)
    const terminating = all.filter(p => isTerminating(p) && !hasEnded(p) && controllerOf(p)?.uid === rs.metadata.uid && own(p))
    let failure: unknown
    const missing = (rs.spec.replicas ?? 1) - active.length
    if (!rs.metadata.deletionTimestamp) {
      try {
        if (missing > 0)
          await slowStart(Math.min(missing, burst), () =>
            createPod(client, recorder, rs, podFromTemplate(replicaSets, rs, rs.spec.template)),
          )
        else if (missing < 0) {
          const doomed = podsToDelete(active, related(rs), Math.min(-missing, burst), Date.now())
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
    const status = replicaSetStatus(rs, active, terminating, failed, now)
    if (!sameStatus(rs.status, status)) await client.update(replicaSets, { ...rs, status } as ReplicaSet, 'status')
    if (failure) throw failure
    const waits = active.map(p => untilAvailable(p, rs.spec.minReadySeconds ?? 0, now)).filter(w => w !== undefined)
    if (waits.length) return { requeueAfterMs: Math.min(...waits) + 10 }
  }

  /** Active pods of this replica set and of those with the same owner (old and new of one deployment share nodes). */
  function related(rs: ReplicaSet): LeanPod[] {
    const owner = controllerOf(rs)?.uid
    const siblings = owner ? sets.byIndex('controller', owner) : [rs]
    return siblings.flatMap(s => podInformer.byIndex('controller', s.metadata.uid ?? '')).filter(isActive)
  }

  return {
    name: 'replicaset-controller',
    client: ctx.client,
    workers: 5,
    sources: [source(sets, e => [keyOf(e.object)]), source(podInformer, setsOf)],
    reconcile,
    log: ctx.log,
  }
}
