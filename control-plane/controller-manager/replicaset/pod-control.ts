/** Creating and deleting the pods of a replica set, with upstream's events. */
import type { ReplicaSet } from '#shared/api/apps/replicaset.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { pods, replicaSets } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import { StatusError, isStatus } from '#shared/machinery/status.ts'
import { controllerRef } from '../ownership.ts'

/** The pod that a replica set's template stands for. */
export function podOf(rs: ReplicaSet): Pod {
  const { metadata, spec } = rs.spec.template ?? {}
  const { labels, annotations, finalizers } = metadata ?? {}
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: `${rs.metadata.name}-`,
      namespace: rs.metadata.namespace,
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
      ...(finalizers ? { finalizers } : {}),
      ownerReferences: [controllerRef(replicaSets, rs)],
    },
    spec: spec ?? { containers: [] },
  } as Pod
}

/** Whether a create was refused because its namespace is going away. */
export const namespaceTerminating = (e: unknown): boolean =>
  e instanceof StatusError && (e.status.details?.causes ?? []).some(c => c.reason === 'NamespaceTerminating')

/**
 * Calls `work` `count` times in batches of 1, 2, 4, ... and stops after a batch with a failure, so that what cannot work is not tried a
 * thousand times.
 */
export async function slowStart(count: number, work: () => Promise<void>): Promise<void> {
  for (let left = count, batch = Math.min(1, count); left > 0; left -= batch, batch = Math.min(2 * batch, left)) {
    const results = await Promise.allSettled(Array.from({ length: batch }, work))
    const failed = results.find(r => r.status === 'rejected')
    if (failed) throw failed.reason
  }
}

export async function createPod(client: Client, recorder: EventRecorder, rs: ReplicaSet): Promise<void> {
  try {
    const created = await client.create(pods, rs.metadata.namespace ?? '', podOf(rs))
    recorder.event(rs, 'Normal', 'SuccessfulCreate', `Created pod: ${created.metadata.name}`)
  } catch (e) {
    // Nothing more can be made there; an event would be refused as well.
    if (namespaceTerminating(e)) return
    recorder.event(rs, 'Warning', 'FailedCreate', `Error creating: ${(e as Error).message}`)
    throw e
  }
}

export async function deletePod(client: Client, recorder: EventRecorder, rs: ReplicaSet, pod: Pod): Promise<void> {
  const { namespace = '', name = '', uid } = pod.metadata
  try {
    await client.delete(pods, namespace, name, uid ? { preconditions: { uid } } : {})
    recorder.event(rs, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`)
  } catch (e) {
    // Gone already, or another pod has the name by now.
    if (isStatus(e, 'NotFound') || isStatus(e, 'Conflict')) return
    recorder.event(rs, 'Warning', 'FailedDelete', `Error deleting: ${(e as Error).message}`)
    throw e
  }
}
