/** Keeps pods that have a name and storage of their own: never two of one name. pkg/controller/statefulset */
import type { StatefulSet } from '#shared/api/apps/statefulset.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { controllerRevisions, persistentVolumeClaims, pods, statefulSets } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { InformerEvent } from '#shared/client/informer.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { selects } from '#shared/machinery/labels.ts'
import { isAlreadyExists, isConflict, isNamespaceTerminating, isNotFound } from '#shared/machinery/status.ts'
import type { NewController } from '../context.ts'
import { dropHistory, presentRevision } from '../history/revisions.ts'
import { byController, claimObjects, controllerOf, managersOf } from '../podcontrol/ownership.ts'
import { slowStart } from '../podcontrol/podcontrol.ts'
import { untilAvailable } from '../podcontrol/pods.ts'
import { claimNames, isStale, newClaims, ownersOf } from './claims.ts'
import { decide, revisionOf, type Step } from './decide.ts'
import { identityLabels, ordinalOf } from './identity.ts'
import { statefulSetMetrics } from './metrics.ts'
import { sameStatus, statefulSetStatus } from './status.ts'
import { newPod, snapshotOf } from './template.ts'

export const statefulSetController: NewController = ctx => {
  const recorder = ctx.recorder('statefulset-controller')
  const all = ctx.informer(statefulSets)
  const podInformer = ctx.informer(pods)
  const claims = ctx.informer(persistentVolumeClaims)
  const revisionInformer = ctx.informer(controllerRevisions)
  podInformer.addIndex('controller', byController)
  revisionInformer.addIndex('controller', byController)
  statefulSetMetrics(ctx.metrics, () => all.list())

  /** A pod matters to its owner, and to those that want its name. */
  function* setsOf(event: InformerEvent<LeanPod>): Iterable<string> {
    yield* managersOf('StatefulSet', event)
    const { namespace, name } = event.object.metadata
    if (event.type !== 'DELETED' && controllerOf(event.object)) return
    for (const set of all.list(namespace)) if (ordinalOf(set, name) !== undefined) yield keyOf(set)
  }
  function* adopters({ type, object }: InformerEvent<KubeObject>): Iterable<string> {
    if (type === 'DELETED' || controllerOf(object)) return
    for (const set of all.list(object.metadata.namespace)) if (selects(set.spec.selector, object.metadata.labels)) yield keyOf(set)
  }
  /** A pod may wait for a claim of its name to be gone. */
  function* waiting({ type, object }: InformerEvent<PersistentVolumeClaim>): Iterable<string> {
    if (type !== 'DELETED') return
    const [, , ordinal] = /^(.*)-(\d+)$/.exec(object.metadata.name ?? '') ?? []
    for (const set of ordinal ? all.list(object.metadata.namespace) : [])
      if (claimNames(set, Number(ordinal)).includes(object.metadata.name ?? '')) yield keyOf(set)
  }

  async function reconcile(key: string, client: Client): Promise<void | { requeueAfterMs: number }> {
    const [namespace, name] = splitKey(key)
    const set = all.get(namespace, name)
    if (!set) return
    if (set.metadata.deletionTimestamp) return countLast(client, set)
    const own = [set.metadata.uid ?? '', `orphans/${namespace}`]
    const mine = (o: KubeObject) => selects(set.spec.selector, o.metadata.labels)
    const named = (pod: LeanPod) => mine(pod) && ordinalOf(set, pod.metadata.name) !== undefined
    const history = await claimObjects(
      client,
      statefulSets,
      set,
      controllerRevisions,
      own.flatMap(k => revisionInformer.byIndex('controller', k)),
      mine,
    )
    const claimed = await claimObjects(
      client,
      statefulSets,
      set,
      pods,
      own.flatMap(k => podInformer.byIndex('controller', k)),
      named,
    )
    const { revision: update, collisions } = await presentRevision(
      client,
      statefulSets,
      set,
      history,
      snapshotOf(set),
      set.status?.collisionCount,
    )
    const current = history.find(r => r.metadata.name === set.status?.currentRevision) ?? update
    const revisions = { current: current.metadata.name ?? '', update: update.metadata.name ?? '' }

    const now = Date.now()
    let failure: unknown
    try {
      await keepClaims(client, set, claimed)
      const steps = decide(set, claimed, revisions, now)
      await take(client, set, steps, step => newPod(set, step.ordinal, step.revision === 'current' ? current : update))
    } catch (e) {
      failure = e
    }
    const status = statefulSetStatus(set, claimed, revisions, collisions, now)
    if (!sameStatus(set.status, status)) await client.update(statefulSets, { ...set, status }, 'status')
    if (failure) throw failure
    const limit = set.spec.revisionHistoryLimit ?? 10
    const used = new Set([revisions.current, revisions.update, ...claimed.map(revisionOf)])
    if (limit >= 0)
      await dropHistory(
        client,
        history.filter(r => !used.has(r.metadata.name ?? '')),
        limit,
      )
    const waits = claimed.map(p => untilAvailable(p, set.spec.minReadySeconds ?? 0, now)).filter(ms => ms !== undefined)
    if (waits.length) return { requeueAfterMs: Math.min(...waits) + 10 }
  }

  /** Of a set that is being deleted nothing is done, but its status tells what is left. */
  async function countLast(client: Client, set: StatefulSet): Promise<void> {
    const { currentRevision: current = '', updateRevision: update = '', collisionCount } = set.status ?? {}
    const left = podInformer.byIndex('controller', set.metadata.uid ?? '')
    const status = statefulSetStatus(set, left, { current, update }, collisionCount, Date.now())
    if (sameStatus(set.status, status)) return
    await client.update(statefulSets, { ...set, status }, 'status').catch((e: unknown) => {
      if (!isNotFound(e)) throw e
    })
  }

  /** Claims of pods that wait for them are made, and all have the owners that the policy says. */
  async function keepClaims(client: Client, set: StatefulSet, own: readonly LeanPod[]): Promise<void> {
    if (!set.spec.volumeClaimTemplates?.length) return
    const namespace = set.metadata.namespace ?? ''
    for (const pod of own) {
      const ordinal = ordinalOf(set, pod.metadata.name)!
      if (pod.status?.phase === 'Pending' && !pod.metadata.deletionTimestamp) await makeClaims(client, set, ordinal, pod.metadata.name!)
      for (const claim of claimNames(set, ordinal).map(n => claims.get(namespace, n))) {
        const ownerReferences = claim && ownersOf(claim, set, pod, ordinal)
        if (claim && ownerReferences)
          await client.update(persistentVolumeClaims, { ...claim, metadata: { ...claim.metadata, ownerReferences } })
      }
    }
  }

  async function makeClaims(client: Client, set: StatefulSet, ordinal: number, pod: string): Promise<void> {
    for (const claim of newClaims(set, ordinal)) {
      const name = claim.metadata.name ?? ''
      const present = claims.get(set.metadata.namespace ?? '', name)
      if (present?.metadata.deletionTimestamp) throw new Error(`pvc ${name} is being deleted`)
      if (present) continue
      const what = `create Claim ${name} Pod ${pod} in StatefulSet ${set.metadata.name}`
      try {
        await client.create(persistentVolumeClaims, set.metadata.namespace ?? '', claim)
        recorder.event(set, 'Normal', 'SuccessfulCreate', `${what} success`)
      } catch (e) {
        if (!isAlreadyExists(e)) recorder.event(set, 'Warning', 'FailedCreate', `${what} failed error: ${(e as Error).message}`)
        throw new Error(`failed to create PVC ${name}: ${(e as Error).message}`, { cause: e })
      }
    }
  }

  type Create = Extract<Step, { do: 'create' }>
  async function take(
    client: Client,
    set: StatefulSet,
    steps: readonly Step[],
    podFor: (step: Create) => ReturnType<typeof newPod>,
  ): Promise<void> {
    const namespace = set.metadata.namespace ?? ''
    // A claim that goes with its former pod is waited for.
    const fresh = (s: Create) =>
      claimNames(set, s.ordinal).every(n => !claims.get(namespace, n) || !isStale(claims.get(namespace, n)!, set, s.ordinal))
    const creates = steps.filter(s => s.do === 'create').filter(fresh)
    const made = slowStart(creates.length, () => create(creates.shift()!))
    const others = steps.map(async step => {
      if (step.do === 'delete') await remove(client, set, step.pod)
      if (step.do === 'label') await relabel(client, set, step.pod, step.ordinal)
    })
    const failed = (await Promise.allSettled([made, ...others])).find(r => r.status === 'rejected')
    if (failed) throw failed.reason

    async function create(step: Create): Promise<void> {
      const pod = podFor(step)
      await told(set, 'create', pod.metadata.name ?? '', async () => {
        await makeClaims(client, set, step.ordinal, pod.metadata.name ?? '')
        await client.create(pods, namespace, pod)
      })
    }
  }

  const remove = (client: Client, set: StatefulSet, { metadata: { namespace = '', name = '', uid } }: LeanPod): Promise<void> =>
    told(set, 'delete', name, async () => {
      try {
        await client.delete(pods, namespace, name, uid ? { preconditions: { uid } } : {})
      } catch (e) {
        // Gone already, or another pod has the name by now.
        if (!isNotFound(e) && !isConflict(e)) throw e
      }
    })
  const relabel = (
    client: Client,
    set: StatefulSet,
    { metadata: { namespace = '', name = '', uid } }: LeanPod,
    ordinal: number,
  ): Promise<void> =>
    told(set, 'update', name, () =>
      client.patch(pods, namespace, name, 'strategic', { metadata: { uid, labels: identityLabels(set, ordinal) } }),
    )

  /** Does it and records an event of how it went. */
  async function told(set: StatefulSet, verb: 'create' | 'delete' | 'update', pod: string, work: () => Promise<unknown>): Promise<void> {
    const what = `${verb} Pod ${pod} in StatefulSet ${set.metadata.name}`
    const reason = { create: 'Create', delete: 'Delete', update: 'Update' }[verb]
    try {
      await work()
      recorder.event(set, 'Normal', `Successful${reason}`, `${what} successful`)
    } catch (e) {
      // Nothing more can be made there; and a name that is taken is waited for.
      if (isNamespaceTerminating(e)) return
      if (!isAlreadyExists(e)) recorder.event(set, 'Warning', `Failed${reason}`, `${what} failed error: ${(e as Error).message}`)
      throw e
    }
  }

  return {
    name: 'statefulset-controller',
    client: ctx.as('statefulset-controller'),
    workers: 5,
    sources: [
      source(all, e => [keyOf(e.object)]),
      source(podInformer, setsOf),
      source(revisionInformer, adopters),
      source(claims, waiting),
    ],
    reconcile,
    log: ctx.log,
  }
}
