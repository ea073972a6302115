/** Rolls deployments out over replica sets. pkg/controller/deployment */
import type { Deployment } from '#shared/api/apps/deployment.ts'
import type { ReplicaSet } from '#shared/api/apps/replicaset.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { deployments, pods, replicaSets } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { InformerEvent } from '#shared/client/informer.ts'
import { isStatus } from '#shared/machinery/status.ts'
import type { ControllerContext, NewController } from '../context.ts'
import { byController, claimObjects, controllerOf } from '../podcontrol/ownership.ts'
import { hasEnded } from '../podcontrol/pods.ts'
import { selectorOf, selects } from '#shared/machinery/labels.ts'
import { desiredReplicas, revision, sameAnnotations, sizeAnnotations } from './annotations.ts'
import { syncRevisions, type Revisions } from './revision.ts'
import { maxSurge, scaleAll, scaleNew, scaleOld, sizeOf, wanted, type Scaling } from './rolling.ts'
import { computeStatus, conditionOf, hasDeadline, isComplete, rolloutStatus, sameStatus, untilDeadline, withCondition } from './status.ts'

export const deploymentController: NewController = (ctx: ControllerContext) => {
  const recorder = ctx.recorder('deployment-controller')
  const all = ctx.informer(deployments)
  const sets = ctx.informer(replicaSets)
  const podInformer = ctx.informer(pods)
  sets.addIndex('controller', byController)
  podInformer.addIndex('controller', byController)

  function* ownersOf(event: InformerEvent<ReplicaSet>): Iterable<string> {
    for (const rs of event.previous ? [event.object, event.previous] : [event.object]) {
      const ref = controllerOf(rs)
      if (ref?.kind === 'Deployment') yield `${rs.metadata.namespace}/${ref.name}`
    }
    if (event.type === 'DELETED' || controllerOf(event.object)) return
    for (const d of all.list(event.object.metadata.namespace)) if (selects(d.spec.selector, event.object.metadata.labels)) yield keyOf(d)
  }
  /** Recreate waits for the old pods to end. */
  function* waitersFor(event: InformerEvent<LeanPod>): Iterable<string> {
    if (event.type !== 'DELETED' && !hasEnded(event.object)) return
    const ref = controllerOf(event.object)
    const namespace = event.object.metadata.namespace ?? ''
    const owner = ref?.kind === 'ReplicaSet' ? controllerOf(sets.get(namespace, ref.name) ?? event.object) : undefined
    const d = owner?.kind === 'Deployment' ? all.get(namespace, owner.name) : undefined
    if (d?.spec.strategy?.type === 'Recreate') yield keyOf(d)
  }

  async function reconcile(key: string, client: Client): Promise<void | { requeueAfterMs: number }> {
    const [namespace, name] = splitKey(key)
    let d = all.get(namespace, name)
    if (!d) return
    if (selectorOf(d.spec.selector)?.length === 0) {
      recorder.event(d, 'Warning', 'SelectingAll', 'This deployment is selecting all pods. A non-empty selector is required.')
      const observedGeneration = d.metadata.generation
      if ((d.status?.observedGeneration ?? 0) < (observedGeneration ?? 0))
        await client.update(deployments, { ...d, status: { ...d.status, observedGeneration } }, 'status')
      return
    }
    const { selector } = d.spec
    const candidates = [...sets.byIndex('controller', d.metadata.uid ?? ''), ...sets.byIndex('controller', `orphans/${namespace}`)]
    const own = await claimObjects(client, deployments, d, replicaSets, candidates, rs => selects(selector, rs.metadata.labels))
    if (d.metadata.deletionTimestamp) return status(client, await syncRevisions(client, recorder, d, own, false), false)
    d = await pauseCondition(client, d)
    // While paused, and after the deployment was scaled, sizes change in proportion and no new version starts.
    if (d.spec.paused || own.some(rs => sizeOf(rs) > 0 && (desiredReplicas(rs) ?? wanted(d!)) !== wanted(d!))) {
      const revisions = await syncRevisions(client, recorder, d, own, false)
      for (const scaling of scaleAll(revisions.d, revisions.newRS, revisions.old, desiredReplicas))
        await scale(client, revisions.d, scaling)
      if (d.spec.paused) await dropHistory(client, revisions)
      return status(client, revisions, false)
    }
    return d.spec.strategy?.type === 'Recreate' ? recreate(client, d, own) : roll(client, d, own)
  }

  async function roll(client: Client, deployment: Deployment, own: ReplicaSet[]) {
    const revisions = await syncRevisions(client, recorder, deployment, own, true)
    const { d, old } = revisions
    const newRS = revisions.newRS!
    const up = scaleNew(d, newRS, old)
    if (up) await scale(client, d, up)
    else {
      const down = scaleOld(d, newRS, old)
      for (const scaling of down) await scale(client, d, scaling)
      if (down.length === 0 && isComplete(d, d.status)) await dropHistory(client, revisions)
    }
    return status(client, revisions, true)
  }

  async function recreate(client: Client, deployment: Deployment, own: ReplicaSet[]) {
    let revisions = await syncRevisions(client, recorder, deployment, own, false)
    const active = revisions.old.filter(rs => sizeOf(rs) > 0)
    for (const rs of active) await scale(client, revisions.d, { rs, replicas: 0 })
    const running = (rs: ReplicaSet) => podInformer.byIndex('controller', rs.metadata.uid ?? '').some(p => !hasEnded(p))
    if (active.length || revisions.old.some(running)) return status(client, revisions, true)
    if (!revisions.newRS) revisions = await syncRevisions(client, recorder, revisions.d, own, true)
    await scale(client, revisions.d, { rs: revisions.newRS!, replicas: wanted(revisions.d) })
    if (isComplete(revisions.d, revisions.d.status)) await dropHistory(client, revisions)
    return status(client, revisions, true)
  }

  async function scale(client: Client, d: Deployment, { rs, replicas }: Scaling): Promise<void> {
    const annotations = { ...rs.metadata.annotations, ...sizeAnnotations(wanted(d), wanted(d) + maxSurge(d)) }
    const before = sizeOf(rs)
    if (before === replicas && sameAnnotations(rs.metadata.annotations, annotations)) return
    await client.update(replicaSets, { ...rs, metadata: { ...rs.metadata, annotations }, spec: { ...rs.spec, replicas } })
    const direction = replicas > before ? 'up' : 'down'
    if (before !== replicas)
      recorder.event(d, 'Normal', 'ScalingReplicaSet', `Scaled ${direction} replica set ${rs.metadata.name} from ${before} to ${replicas}`)
  }

  /** Deletes the oldest replica sets that are empty, beyond the history limit. */
  async function dropHistory(client: Client, { d, old }: Revisions): Promise<void> {
    const limit = d.spec.revisionHistoryLimit
    if (limit === undefined || limit === 2 ** 31 - 1) return
    const kept = old.filter(rs => !rs.metadata.deletionTimestamp).sort((a, b) => Number(revision(a) - revision(b)))
    for (const rs of kept.slice(0, Math.max(0, kept.length - limit))) {
      const busy =
        (rs.status?.replicas ?? 0) !== 0 || sizeOf(rs) !== 0 || (rs.metadata.generation ?? 0) > (rs.status?.observedGeneration ?? 0)
      if (busy) continue
      await client.delete(replicaSets, rs.metadata.namespace ?? '', rs.metadata.name ?? '').catch((e: unknown) => {
        if (!isStatus(e, 'NotFound')) throw e
      })
    }
  }

  async function status(client: Client, { d, newRS, old }: Revisions, rollout: boolean): Promise<void | { requeueAfterMs: number }> {
    const now = Date.now()
    const sets = newRS ? [...old, newRS] : old
    const next = rollout ? rolloutStatus(d, sets, newRS, now) : computeStatus(d, sets, newRS, now)
    if (!sameStatus(d.status, next)) await client.update(deployments, { ...d, status: next }, 'status')
    const wait = untilDeadline(d, next, now)
    if (wait !== undefined && rollout) return { requeueAfterMs: wait }
  }

  /** A paused deployment makes no progress, and is not to be blamed for it. */
  async function pauseCondition(client: Client, d: Deployment): Promise<Deployment> {
    const reason = conditionOf(d.status, 'Progressing')?.reason
    if (!hasDeadline(d) || reason === 'ProgressDeadlineExceeded' || Boolean(d.spec.paused) === (reason === 'DeploymentPaused')) return d
    const next = d.spec.paused
      ? withCondition(d.status ?? {}, 'Progressing', 'Unknown', 'DeploymentPaused', 'Deployment is paused', Date.now())
      : withCondition(d.status ?? {}, 'Progressing', 'Unknown', 'DeploymentResumed', 'Deployment is resumed', Date.now())
    return client.update(deployments, { ...d, status: next }, 'status')
  }

  return {
    name: 'deployment-controller',
    client: ctx.as('deployment-controller'),
    workers: 5,
    sources: [source(all, e => [keyOf(e.object)]), source(sets, ownersOf), source(podInformer, waitersFor)],
    reconcile,
    log: ctx.log,
  }
}
