/** Runs jobs: makes their pods until enough have succeeded, and counts exactly. pkg/controller/job */
import { jobs, pods } from '#shared/api/kinds.ts'
import type { Job, JobStatus } from '#shared/api/batch/job.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { InformerEvent } from '#shared/client/informer.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { selects } from '#shared/machinery/labels.ts'
import type { NewController } from '../context.ts'
import { byController, claimObjects, controllerOf, managersOf } from '../podcontrol/ownership.ts'
import { createPod, deletePod, slowStart } from '../podcontrol/podcontrol.ts'
import { isReady } from '../podcontrol/pods.ts'
import { isFinished, isForeign, withCondition, type JobCondition } from './conditions.ts'
import { allCounted, count, settle } from './counting.ts'
import { observe, type Observed } from './observe.ts'
import { ruling } from './failurepolicy.ts'
import { jobMetrics, type JobMetrics } from './metrics.ts'
import { orphanedPods } from './orphans.ts'
import { plan } from './plan.ts'
import { isTracked, trackingFinalizer } from './pods.ts'
import { release } from './release.ts'
import { sameStatus, withNumbers, withSuspension } from './status.ts'
import { newPod } from './template.ts'
import { completed, finalCondition, isComplete, untilDeadline, verdict } from './verdict.ts'

/** What a round came to, for those who count rounds. */
interface Round {
  action: Parameters<JobMetrics['synced']>[1]
}
/** What a round did to the job's pods. */
interface Moved {
  created: number
  deleted: readonly LeanPod[]
  failure?: unknown
}

export const jobController: NewController = ctx => {
  const recorder = ctx.recorder('job-controller')
  const all = ctx.informer(jobs)
  const podInformer = ctx.informer(pods)
  podInformer.addIndex('controller', byController)
  const metrics = jobMetrics(ctx.metrics)

  /** The job that a pod matters to: its owner, before and after, or for an orphan all that select it. */
  function* jobsOf(event: InformerEvent<LeanPod>): Iterable<string> {
    const { type, object } = event
    metrics.seen(event.previous, object)
    yield* managersOf('Job', event)
    if (type === 'DELETED' || controllerOf(object)) return
    for (const job of all.list(object.metadata.namespace)) if (selects(job.spec.selector, object.metadata.labels)) yield keyOf(job)
  }

  function jobsNews({ type, object }: InformerEvent<Job>): string[] {
    if (type === 'ADDED' && isForeign(object)) metrics.foreign(object.spec.managedBy ?? '')
    return [keyOf(object)]
  }

  async function reconcile(key: string, client: Client): Promise<void | { requeueAfterMs: number }> {
    const job = all.get(...splitKey(key))
    if (!job || isForeign(job) || isFinished(job)) return
    const began = performance.now()
    const round: Round = { action: 'reconciling' }
    let failed = true
    try {
      const result = await sync(job, round, client)
      failed = false
      return result
    } finally {
      metrics.synced(job, round.action, failed, (performance.now() - began) / 1000)
    }
  }

  async function sync(job: Job, round: Round, client: Client): Promise<void | { requeueAfterMs: number }> {
    const namespace = job.metadata.namespace ?? ''
    const candidates = [
      ...podInformer.byIndex('controller', job.metadata.uid ?? ''),
      ...podInformer.byIndex('controller', `orphans/${namespace}`),
    ]
    const mine = (pod: LeanPod) => selects(job.spec.selector, pod.metadata.labels)
    const own = await claimObjects(client, jobs, job, pods, candidates, mine, [trackingFinalizer])
    const now = Date.now()
    const seen = observe(job, own)
    let interim = verdict(job, seen, now)
    const ended = interim !== undefined
    const next = ended || job.metadata.deletionTimestamp ? undefined : plan(job, seen, now)
    const moved = ended
      ? await remove(client, job, seen.active, false)
      : next
        ? await act(client, job, seen, next)
        : { created: 0, deleted: [] }
    if (next) {
      round.action = moved.created > 0 ? 'pods_created' : moved.deleted.length > 0 ? 'pods_deleted' : 'tracking'
      if (next.remove.length === 0) metrics.created(job, seen.terminating, moved.created, moved.failure !== undefined)
    }
    // A job has not ended before the deletion of all of its pods was accepted.
    if (ended && moved.failure) interim = undefined
    const active = seen.active.length + moved.created - moved.deleted.length
    const numbers = {
      active,
      ready: seen.ready - moved.deleted.filter(isReady).length,
      terminating: seen.terminating + moved.deleted.length,
    }
    let status = withNumbers(job, numbers, now)
    if (!ended && isComplete(job, seen, active)) interim = completed(now)
    else if (next) {
      const suspension = withSuspension(job, status, now)
      status = suspension.status
      if (suspension.changed) recorder.event(job, 'Normal', suspension.changed, `Job ${suspension.changed.toLowerCase()}`)
    }
    await track(client, job, seen, status, interim, now)
    if (moved.failure) throw moved.failure
    const waits = [interim ? undefined : next?.waitMs, interim ? undefined : untilDeadline({ ...job, status }, Date.now())].filter(
      ms => ms !== undefined,
    )
    if (waits.length) return { requeueAfterMs: Math.max(0, Math.min(...waits)) + 10 }
  }

  async function act(client: Client, job: Job, seen: Observed, { remove: doomed, create }: ReturnType<typeof plan>): Promise<Moved> {
    if (doomed.length > 0) return remove(client, job, doomed, true)
    const left = [...create]
    let created = 0
    try {
      await slowStart(create.length, async () => {
        const index = left.shift()
        await createPod(client, recorder, job, newPod(job, index, index === undefined ? undefined : seen.indexes?.toReplace.get(index)))
        created++
      })
      return { created, deleted: [] }
    } catch (failure) {
      return { created, deleted: [], failure }
    }
  }

  /** Deletes pods; `uncounted`: whatever becomes of them does not count. */
  async function remove(client: Client, job: Job, doomed: readonly LeanPod[], uncounted: boolean): Promise<Moved> {
    const results = await Promise.allSettled(
      doomed.map(async pod => {
        if (uncounted) await release(client, pod)
        await deletePod(client, recorder, job, pod)
      }),
    )
    const failed = results.find(r => r.status === 'rejected')
    const deleted = doomed.filter((_, i) => results[i]!.status === 'fulfilled')
    return { created: 0, deleted, ...(failed ? { failure: failed.reason as unknown } : {}) }
  }

  /** Counts what ended and writes the status; ends the job when `interim` is there and nothing is left to count or to wait for. */
  async function track(
    client: Client,
    job: Job,
    seen: Observed,
    numbers: JobStatus,
    interim: JobCondition | undefined,
    now: number,
  ): Promise<void> {
    const counting = count(job, seen, numbers, interim)
    let status = counting.status
    if (interim) status = { ...status, conditions: [...withCondition(status.conditions ?? [], interim)] }
    const write = async (current: Job): Promise<Job> => {
      if (sameStatus(current.status, status)) return current
      const written = await client.update(jobs, { ...current, status }, 'status')
      metrics.wrote(current, status)
      return written
    }
    let current = await write(job)
    const results = await Promise.allSettled(counting.release.map(pod => release(client, pod)))
    for (const [i, pod] of counting.release.entries()) {
      const action = results[i]!.status === 'fulfilled' && pod.status?.phase === 'Failed' ? ruling(job, pod).action : undefined
      if (action) metrics.handled(action)
    }
    const released = new Set(counting.release.filter((_, i) => results[i]!.status === 'fulfilled'))
    status = settle(status, new Set(seen.pods.filter(p => isTracked(p) && !released.has(p)).map(p => p.metadata.uid ?? '')))
    const ends = interim && counting.all && allCounted(status) && (status.terminating ?? 0) === 0
    const final = ends ? finalCondition(interim, now) : undefined
    if (final) {
      status = { ...status, conditions: [...withCondition(status.conditions ?? [], final)] }
      if (final.type === 'Complete') status.completionTime = final.lastTransitionTime!
    }
    current = await write(current)
    if (final) metrics.ended(current, final)
    if (final) tell(current, final)
    const failed = results.find(r => r.status === 'rejected')
    if (failed) throw failed.reason
  }

  function tell(job: Job, { type, reason = '', message = '' }: JobCondition): void {
    if (type === 'Failed') return recorder.event(job, 'Warning', reason, message)
    if (job.spec.completions !== undefined && (job.status?.succeeded ?? 0) > job.spec.completions)
      recorder.event(job, 'Warning', 'TooManySucceededPods', 'Too many succeeded pods running after completion count reached')
    recorder.event(job, 'Normal', 'Completed', 'Job completed')
  }

  return [
    {
      name: 'job-controller',
      client: ctx.as('job-controller'),
      workers: 5,
      sources: [source(all, jobsNews), source(podInformer, jobsOf)],
      reconcile,
      queue: { limitMs: 60_000 },
      log: ctx.log,
    },
    orphanedPods(ctx, all, podInformer),
  ]
}
