/** That a volume is attached to this node, as its VolumeAttachment says. */
import { volumeAttachments } from '#shared/api/kinds.ts'
import type { VolumeAttachment } from '#shared/api/storage/volumeattachment.ts'
import type { Client } from '#shared/client/client.ts'
import { attachmentName } from '#shared/csi/names.ts'
import { Code } from '#shared/grpc/rpc.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { NotYetError } from '../plugin.ts'

/**
 * What the driver said that mounting needs. Throws NotYetError while the volume is not attached: our Node tells when it is, which brings
 * the pod back here.
 */
export async function attachment(
  client: Client,
  handle: string,
  driver: string,
  node: string,
  tooMany: () => void,
): Promise<{ [key: string]: string }> {
  const name = attachmentName(handle, driver, node)
  const found = (await client.get(volumeAttachments, '', name).catch((e: unknown) => {
    // One that is not there is no business of this node's, in the words of its authorizer.
    if (isNotFound(e)) return undefined
    throw e
  })) as VolumeAttachment | undefined
  if (!found) throw new NotYetError('timed out waiting for the condition')
  if (found.metadata.deletionTimestamp) throw new NotYetError(`volume attachment ${name} is being deleted`)
  if (found.status?.attached) return found.status.attachmentMetadata ?? {}
  // Too many volumes: the scheduler is to know how many there may be.
  if (found.status?.attachError?.errorCode === Code.resourceExhausted) tooMany()
  throw new NotYetError(found.status?.attachError?.message ?? 'timed out waiting for the condition')
}
