/** Deletes jobs some time after they have ended, as their ttlSecondsAfterFinished says. pkg/controller/ttlafterfinished */
import { jobs } from '#shared/api/kinds.ts'
import type { Job } from '#shared/api/batch/job.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import { exponential } from '#shared/component/counts.ts'
import { isStatus } from '#shared/machinery/status.ts'
import type { NewController } from './context.ts'
import { isFinished } from './job/conditions.ts'

/** When the job is to go, in ms; undefined for one that stays or has not ended. */
export function expiresAt(job: Job): number | undefined {
  const { ttlSecondsAfterFinished: ttl } = job.spec
  if (ttl === undefined || job.metadata.deletionTimestamp || !isFinished(job)) return undefined
  const end = job.status?.conditions?.find(c => (c.type === 'Complete' || c.type === 'Failed') && c.status === 'True')
  return end?.lastTransitionTime ? Date.parse(end.lastTransitionTime) + ttl * 1000 : undefined
}

export const ttlAfterFinishedController: NewController = ctx => {
  const informer = ctx.informer(jobs)
  const took = ctx.metrics.histogram(
    'ttl_after_finished_controller_job_deletion_duration_seconds',
    '[ALPHA] The time it took to delete the job since it became eligible for deletion',
    exponential(0.1, 2, 14),
  )
  return {
    name: 'ttl-after-finished-controller',
    client: ctx.as('ttl-after-finished-controller'),
    sources: [source(informer, e => (expiresAt(e.object) === undefined ? [] : [keyOf(e.object)]))],
    async reconcile(key, client) {
      const [namespace, name] = splitKey(key)
      const job = informer.get(namespace, name)
      const due = job && expiresAt(job)
      if (!job || due === undefined) return
      if (due > Date.now()) return { requeueAfterMs: due - Date.now() + 10 }
      try {
        // The cache may be behind: the job could have a longer life by now.
        const fresh = await client.get(jobs, namespace, name)
        const { uid, resourceVersion } = fresh.metadata
        if (uid !== job.metadata.uid || (expiresAt(fresh) ?? Infinity) > Date.now()) return
        const preconditions = { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) }
        await client.delete(jobs, namespace, name, { propagationPolicy: 'Foreground', preconditions })
        took.observe((Date.now() - due) / 1000)
      } catch (e) {
        if (!isStatus(e, 'NotFound')) throw e
      }
    },
    log: ctx.log,
  }
}
