/** Letting go of a job's pods. */
import { pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { isStatus } from '#shared/machinery/status.ts'
import { isTracked, trackingFinalizer } from './pods.ts'

/** Takes the finalizer off; a pod that is gone has none. */
export async function release(client: Client, pod: LeanPod): Promise<void> {
  if (!isTracked(pod)) return
  const { namespace = '', name = '', uid } = pod.metadata
  const patch = { metadata: { uid, '$deleteFromPrimitiveList/finalizers': [trackingFinalizer] } }
  try {
    await client.patch(pods, namespace, name, 'strategic', patch)
  } catch (e) {
    // Gone, or another pod has the name by now.
    if (!isStatus(e, 'NotFound') && !isStatus(e, 'Conflict') && !isStatus(e, 'Invalid')) throw e
  }
}
