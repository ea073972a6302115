/**
 * Attachments that nothing stands for: a call that was given up may be carried out after the one that took it back, if it was under way in
 * a process that stood still. Whoever is refused for such a one takes it back, so that the next try goes through.
 */
import { persistentVolumes, volumeAttachments } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { ControllerRpc } from '#shared/csi/messages.ts'
import { uniqueVolumeName } from '#shared/csi/names.ts'
import { controller } from '#shared/csi/services.ts'
import { Code, RpcError } from '#shared/grpc/rpc.ts'
import { isHealthy, isOutOfService } from '../attachdetach/node.ts'
import { secretOf, type Csi, type Segments } from './driver.ts'

/** What of a driver's list is looked at, at most; a page of it has as many volumes. */
const pages = 1_000
const pageSize = 1_000

export interface Refused {
  driver: string
  volumeId: string
  /** Near the volume. */
  topologies: Segments[]
  secretRef: { namespace?: string | undefined; name?: string | undefined } | undefined
  /** The VolumeAttachment that was refused, and its node. */
  attachment?: { name: string; nodeName: string; nodeId: string }
}

/**
 * After a refusal, with which it rejects: detaches the volume from the nodes that have it by the driver's account, if no other
 * VolumeAttachment is for it and no kubelet uses it.
 */
export function takeBackStrays(csi: Csi, client: Client, refused: Refused, error: unknown): Promise<never> {
  const isRefusal = error instanceof RpcError && error.code === Code.failedPrecondition
  // The refusal says more than that nothing could be done about it.
  return (isRefusal ? takeBack(csi, client, refused) : Promise.resolve()).finally(() => Promise.reject(error as Error)) as Promise<never>
}

async function takeBack(csi: Csi, client: Client, refused: Refused): Promise<void> {
  const { driver, volumeId, topologies, attachment } = refused
  const { rpcs } = await csi.abilities(client, driver)
  if (![ControllerRpc.listVolumes, ControllerRpc.listVolumesPublishedNodes].every(can => rpcs.has(can))) return
  const call = csi.caller(client, driver, topologies)
  let strays: string[] = []
  for (let page = 0, startingToken = ''; page < pages; page++) {
    const { entries = [], nextToken = '' } = await call(controller.listVolumes, { maxEntries: pageSize, startingToken })
    const entry = entries.find(e => e.volume?.volumeId === volumeId)
    strays = (entry?.status?.publishedNodeIds ?? []).filter(id => id !== attachment?.nodeId)
    if (entry || nextToken === '') break
    startingToken = nextToken
  }
  // Asked after the driver: what it has attached for somebody has stood here before.
  if (strays.length === 0 || (await isWanted(csi, client, refused))) return
  const secrets = await secretOf(client, refused.secretRef)
  for (const nodeId of strays) await call(controller.controllerUnpublishVolume, { volumeId, nodeId, secrets })
}

async function isWanted(csi: Csi, client: Client, { driver, volumeId, attachment }: Refused): Promise<boolean> {
  const unique = uniqueVolumeName(driver, volumeId)
  const [attachments, volumes, nodes] = await Promise.all([
    client.list(volumeAttachments, ''),
    client.list(persistentVolumes, ''),
    client.list(csi.nodes.kind, ''),
  ])
  const handles = new Map(volumes.items.map(v => [v.metadata.name, v.spec.csi?.volumeHandle]))
  const others = attachments.items.filter(a => a.spec.attacher === driver && a.metadata.name !== attachment?.name)
  return (
    // Of a volume that is not there any more nobody knows which one it is.
    others.some(({ spec: { source: from } }) => {
      const handle = from.inlineVolumeSpec?.csi?.volumeHandle ?? handles.get(from.persistentVolumeName)
      return handle === undefined || handle === volumeId
    }) ||
    nodes.items.some(
      n => n.metadata.name !== attachment?.nodeName && n.status?.volumesInUse?.includes(unique) && isHealthy(n) && !isOutOfService(n),
    )
  )
}
