/** Keeps a pod on every node that is to have one. pkg/controller/daemon */
import type { ControllerRevision } from '#shared/api/apps/controllerrevision.ts'
import type { DaemonSet } from '#shared/api/apps/daemonset.ts'
import type { Node } from '#shared/api/core/node.ts'
import { controllerRevisions, daemonSets, nodes, pods } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { semanticEqual } from '#shared/api/meta/validation.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { InformerEvent } from '#shared/client/informer.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { selectorOf, selects } from '#shared/machinery/labels.ts'
import type { NewController } from '../context.ts'
import { dropHistory, presentRevision, revisionHashLabel, sameData, templatePatch } from '../history/revisions.ts'
import { byController, claimObjects, controllerOf, managersOf } from '../podcontrol/ownership.ts'
import { createPod, deletePod, slowStart } from '../podcontrol/podcontrol.ts'
import { untilAvailable } from '../podcontrol/pods.ts'
import { dropDuplicates } from './duplicates.ts'
import { failedPods } from './failedpods.ts'
import { manage, type Changes, type Managed } from './manage.ts'
import { fitsOf, podsByNode } from './nodes.ts'
import { daemonSetStatus, sameStatus } from './status.ts'
import { newPod, templateHash } from './template.ts'
import { rollingUpdate } from './update.ts'

/** At most this many pods are created and deleted in one round. */
const burst = 250

export const daemonSetController: NewController = ctx => {
  const recorder = ctx.recorder('daemonset-controller')
  const all = ctx.informer(daemonSets)
  const podInformer = ctx.informer(pods)
  const nodeInformer = ctx.informer(nodes)
  const revisions = ctx.informer(controllerRevisions)
  podInformer.addIndex('controller', byController)
  revisions.addIndex('controller', byController)
  const failed = failedPods()

  /** The daemon set that an object matters to: its owner, before and after, or for an orphan all that select it. */
  function* setsOf(event: InformerEvent<KubeObject>): Iterable<string> {
    yield* managersOf('DaemonSet', event)
    if (event.type !== 'DELETED' && !controllerOf(event.object)) yield* selecting(event.object)
  }
  function* selecting({ metadata }: KubeObject): Iterable<string> {
    for (const ds of all.list(metadata.namespace)) if (selects(ds.spec.selector, metadata.labels)) yield keyOf(ds)
  }
  const orphanOf = ({ type, object }: InformerEvent<ControllerRevision>): Iterable<string> =>
    type !== 'DELETED' && !controllerOf(object) ? selecting(object) : []
  /** Those that want something else of a node than before. */
  function* placedOn({ type, object, previous }: InformerEvent<Node>): Iterable<string> {
    const moved = (a: Node, b: Node) => !semanticEqual(a.metadata.labels, b.metadata.labels) || !semanticEqual(a.spec.taints, b.spec.taints)
    if (type === 'MODIFIED' && previous && !moved(object, previous)) return
    for (const ds of all.list()) {
      const fits = fitsOf(ds)
      const [now, before] = [fits(object), previous && fits(previous)]
      if (type === 'DELETED' ? now.stay : !before || now.run !== before.run || now.stay !== before.stay) yield keyOf(ds)
    }
  }

  async function reconcile(key: string, client: Client): Promise<void | { requeueAfterMs: number }> {
    const [namespace, name] = splitKey(key)
    const ds = all.get(namespace, name)
    // Of one that is being deleted the revisions may be gone already.
    if (!ds || ds.metadata.deletionTimestamp) return
    if (selectorOf(ds.spec.selector)?.length === 0)
      return recorder.event(ds, 'Warning', 'SelectingAll', 'This daemon set is selecting all pods. A non-empty selector is required.')
    const mine = (o: KubeObject) => selects(ds.spec.selector, o.metadata.labels)
    const own = [ds.metadata.uid ?? '', `orphans/${namespace}`]
    const history = await claimObjects(
      client,
      daemonSets,
      ds,
      controllerRevisions,
      own.flatMap(k => revisions.byIndex('controller', k)),
      mine,
    )
    const snapshot = {
      data: templatePatch(ds.spec.template),
      name: (collisions: number | undefined) => `${name}-${templateHash(ds, collisions)}`,
      labels: (collisions: number | undefined) => ({
        ...ds.spec.template.metadata?.labels,
        [revisionHashLabel]: templateHash(ds, collisions),
      }),
    }
    const present = await presentRevision(client, daemonSets, ds, history, snapshot, ds.status?.collisionCount)
    const hash = present.revision.metadata.labels?.[revisionHashLabel] ?? present.revision.metadata.name!
    const owned = await claimObjects(
      client,
      daemonSets,
      ds,
      pods,
      own.flatMap(k => podInformer.byIndex('controller', k)),
      mine,
    )
    const claimed = await dropDuplicates(client, present.revision, history, owned)

    const now = Date.now()
    const nodeList = nodeInformer.list()
    const fits = fitsOf(ds)
    const byNode = podsByNode(claimed)
    const managed = manage(ds, nodeList, fits, byNode, hash, now)
    const { changes, waitMs } = withEnded(ds, managed)
    const update = ds.spec.updateStrategy?.type === 'RollingUpdate' && changes.create.length + changes.remove.length === 0
    const failure = await apply(client, ds, update ? rollingUpdate(ds, nodeList, fits, byNode, hash, now) : changes, hash)
    const status = daemonSetStatus(ds, nodeList, fits, byNode, hash, present.collisions, now)
    if (!sameStatus(ds.status, status)) await client.update(daemonSets, { ...ds, status }, 'status')
    if (failure) throw failure
    const used = new Set([hash, ...claimed.map(p => p.metadata.labels?.[revisionHashLabel])])
    const old = history.filter(r => !sameData(r.data, present.revision.data))
    const unused = old.filter(r => !used.has(r.metadata.labels?.[revisionHashLabel]))
    // Those in use count against the limit too.
    await dropHistory(client, unused, Math.max(0, (ds.spec.revisionHistoryLimit ?? 10) - (old.length - unused.length)))
    const waits = [waitMs, ...claimed.map(p => untilAvailable(p, ds.spec.minReadySeconds ?? 0, now))].filter(ms => ms !== undefined)
    if (waits.length) return { requeueAfterMs: Math.min(...waits) + 10 }
  }

  /** Lets go of pods that ended, of failed ones not too fast. */
  function withEnded(ds: DaemonSet, { create, remove, ended }: Managed): { changes: Changes; waitMs?: number } {
    const waits: number[] = []
    const gone = ended.filter(({ node, pod }) => {
      const [type, how, verb] =
        pod.status?.phase === 'Failed' ? (['Warning', 'failed', 'kill'] as const) : (['Normal', 'succeeded', 'delete'] as const)
      const wait = how === 'failed' ? failed.hold(`${ds.metadata.uid}/${ds.status?.observedGeneration}/${node}`) : 0
      if (wait > 0) {
        waits.push(wait)
        return false
      }
      const message = `Found ${how} daemon pod ${pod.metadata.namespace}/${pod.metadata.name} on node ${node}, will try to ${verb} it`
      recorder.event(ds, type, how === 'failed' ? 'FailedDaemonPod' : 'SucceededDaemonPod', message)
      return true
    })
    const changes = { create, remove: [...remove, ...gone.map(g => g.pod)] }
    return waits.length ? { changes, waitMs: Math.min(...waits) } : { changes }
  }

  /** Resolves with what went wrong. */
  async function apply(client: Client, ds: DaemonSet, { create, remove }: Changes, hash: string): Promise<unknown> {
    const places = create.slice(0, burst)
    const created = slowStart(places.length, () => createPod(client, recorder, ds, newPod(ds, places.shift()!, hash)))
    const results = await Promise.allSettled([
      created,
      ...remove.slice(0, burst).map((pod: LeanPod) => deletePod(client, recorder, ds, pod)),
    ])
    return results.find(r => r.status === 'rejected')?.reason as unknown
  }

  return {
    name: 'daemonset-controller',
    client: ctx.as('daemon-set-controller'),
    workers: 2,
    sources: [
      source(all, e => [keyOf(e.object)]),
      source(podInformer, setsOf),
      source(nodeInformer, placedOn),
      source(revisions, orphanOf),
    ],
    reconcile,
    log: ctx.log,
  }
}
