/** Takes the tracking finalizer off pods that no job counts any more: theirs is gone, has ended, or they were let go. */
import type { Job } from '#shared/api/batch/job.ts'
import type { ControllerOptions } from '#shared/client/controller.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { Informer, InformerEvent } from '#shared/client/informer.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import type { ControllerContext } from '../context.ts'
import { controllerOf } from '../podcontrol/ownership.ts'
import { isFinished, isForeign } from './conditions.ts'
import { isTracked } from './pods.ts'
import { release } from './release.ts'

export function orphanedPods(ctx: ControllerContext, jobs: Informer<Job>, pods: Informer<LeanPod>): ControllerOptions {
  function isOrphan(pod: LeanPod): boolean {
    if (!isTracked(pod)) return false
    const ref = controllerOf(pod)
    if (!ref) return true
    if (ref.kind !== 'Job' || !ref.apiVersion.startsWith('batch/')) return false
    const job = jobs.get(pod.metadata.namespace ?? '', ref.name)
    // Of a job that has ended all pods are counted.
    return !job || job.metadata.uid !== ref.uid || (isFinished(job) && !isForeign(job))
  }
  /** The pods of a job that has ended or is gone; of others its controller takes care. */
  const podsOf = ({ type, object: job }: InformerEvent<Job>): string[] =>
    type === 'DELETED' || isFinished(job)
      ? pods
          .byIndex('controller', job.metadata.uid ?? '')
          .filter(isTracked)
          .map(keyOf)
      : []
  return {
    name: 'job-orphan-pods',
    client: ctx.as('job-controller'),
    workers: 2,
    sources: [source(pods, ({ type, object }) => (type !== 'DELETED' && isOrphan(object) ? [keyOf(object)] : [])), source(jobs, podsOf)],
    async reconcile(key, client) {
      const pod = pods.get(...splitKey(key))
      if (pod && isOrphan(pod)) await release(client, pod)
    },
    queue: { limitMs: 60_000 },
    log: ctx.log,
  }
}
