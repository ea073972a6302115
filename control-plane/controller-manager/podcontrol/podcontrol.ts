/** Creating and deleting the pods of an owner, with upstream's events: k8s.io/kubernetes/pkg/controller's RealPodControl. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { PodTemplateSpec } from '#shared/api/core/podtemplate.ts'
import { pods } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import { isNamespaceTerminating, isStatus } from '#shared/machinery/status.ts'
import { controllerRef } from './ownership.ts'

/** The pod that a template stands for, owned by `owner`; its name is generated. */
export function podFromTemplate<T extends KubeObject>(kind: Kind<T>, owner: T, template: PodTemplateSpec | undefined): Pod {
  const { labels, annotations, finalizers } = template?.metadata ?? {}
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: `${owner.metadata.name}-`,
      namespace: owner.metadata.namespace,
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
      ...(finalizers ? { finalizers } : {}),
      ownerReferences: [controllerRef(kind, owner)],
    },
    spec: template?.spec ?? { containers: [] },
  } as Pod
}

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

/** Creates `pod` for its owner. */
export async function createPod(client: Client, recorder: EventRecorder, owner: KubeObject, pod: Pod): Promise<void> {
  try {
    const created = await client.create(pods, owner.metadata.namespace ?? '', pod)
    recorder.event(owner, 'Normal', 'SuccessfulCreate', `Created pod: ${created.metadata.name}`)
  } catch (e) {
    // Nothing more can be made there; an event would be refused as well.
    if (isNamespaceTerminating(e)) return
    recorder.event(owner, 'Warning', 'FailedCreate', `Error creating: ${(e as Error).message}`)
    throw e
  }
}

/** Deletes a pod of `owner`. */
export async function deletePod(client: Client, recorder: EventRecorder, owner: KubeObject, pod: Pick<Pod, 'metadata'>): Promise<void> {
  const { namespace = '', name = '', uid } = pod.metadata
  try {
    await client.delete(pods, namespace, name, uid ? { preconditions: { uid } } : {})
    recorder.event(owner, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`)
  } catch (e) {
    // Gone already, or another pod has the name by now.
    if (isStatus(e, 'NotFound') || isStatus(e, 'Conflict')) return
    recorder.event(owner, 'Warning', 'FailedDelete', `Error deleting: ${(e as Error).message}`)
    throw e
  }
}
