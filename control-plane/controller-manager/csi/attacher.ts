/** Attaches and detaches what VolumeAttachments ask for, as kubernetes-csi's external-attacher does. */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { VolumeAttachment } from '#shared/api/storage/volumeattachment.ts'
import { persistentVolumes, volumeAttachments } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey, type ControllerOptions } from '#shared/client/controller.ts'
import { attachMode, capabilityOf } from '#shared/csi/capability.ts'
import { ControllerRpc } from '#shared/csi/messages.ts'
import { uniqueVolumeName } from '#shared/csi/names.ts'
import { controller } from '#shared/csi/services.ts'
import { ignoreNotFound } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { Code, RpcError } from '#shared/grpc/rpc.ts'
import { isHealthy, isOutOfService } from '../attachdetach/node.ts'
import type { ControllerContext } from '../context.ts'
import { hasFinalizer, secretOf, setFinalizer, topologiesOf, type Csi } from './driver.ts'
import { takeBackStrays } from './strays.ts'

export const attacherFinalizer = (driver: string): string => `external-attacher/${driver.replaceAll(/[./]/g, '-')}`
/** What of an error a status may hold. */
const maxMessage = 1024

export function csiAttacher(ctx: ControllerContext, csi: Csi): ControllerOptions {
  const attachments = ctx.informer(volumeAttachments)
  const volumes = ctx.informer(persistentVolumes)
  attachments.addIndex('volume', a => [a.spec.source.persistentVolumeName ?? ''])

  async function say(client: Client, a: VolumeAttachment, status: object): Promise<void> {
    await client.patch(volumeAttachments, '', a.metadata.name ?? '', 'merge', { status }, 'status').catch(ignoreNotFound)
  }
  async function attach(a: VolumeAttachment, client: Client): Promise<void> {
    const { attacher, nodeName, source: from } = a.spec
    const finalizer = attacherFinalizer(attacher)
    const volume = from.persistentVolumeName === undefined ? undefined : volumes.get('', from.persistentVolumeName)
    const spec = volume?.spec ?? from.inlineVolumeSpec
    if (!spec?.csi) throw new Error(`persistentvolume ${JSON.stringify(from.persistentVolumeName)} not found`)
    if (volume?.metadata.deletionTimestamp && !hasFinalizer(volume, finalizer))
      throw new Error(`PersistentVolume ${JSON.stringify(volume.metadata.name)} is marked for deletion`)
    // Both stay until what we begin is undone.
    const [{ rpcs }] = await Promise.all([
      csi.abilities(client, attacher),
      hasFinalizer(a, finalizer) || setFinalizer(client, volumeAttachments, a, finalizer, true),
      !volume || hasFinalizer(volume, finalizer) || setFinalizer(client, persistentVolumes, volume, finalizer, true),
    ])
    let attachmentMetadata = {}
    if (rpcs.has(ControllerRpc.publishUnpublishVolume)) {
      const nodeId = csi.entry(attacher, nodeName)?.nodeID
      if (nodeId === undefined)
        throw new Error(`node ${JSON.stringify(nodeName)} has no NodeID annotation or CSINode entry for driver ${attacher}`)
      const topologies = topologiesOf(spec.nodeAffinity?.required?.nodeSelectorTerms)
      const { volumeHandle: volumeId, controllerPublishSecretRef: secretRef } = spec.csi
      const question = {
        volumeId,
        nodeId,
        volumeCapability: capabilityOf({
          mode: attachMode(spec.accessModes ?? [], rpcs.has(ControllerRpc.singleNodeMultiWriter)),
          block: spec.volumeMode === 'Block',
          fsType: spec.csi.fsType,
          mountFlags: spec.mountOptions,
        }),
        readonly: rpcs.has(ControllerRpc.publishReadonly) && (spec.csi.readOnly ?? false),
        secrets: await secretOf(client, secretRef),
        volumeContext: spec.csi.volumeAttributes ?? {},
      }
      const answer = await csi
        .caller(
          client,
          attacher,
          topologies,
        )(controller.controllerPublishVolume, question)
        .catch((e: unknown) => {
          const attachment = { name: a.metadata.name ?? '', nodeName, nodeId }
          const refused = { driver: attacher, volumeId, topologies, secretRef, attachment }
          return takeBackStrays(csi, client, refused, e)
        })
      attachmentMetadata = answer.publishContext ?? {}
    }
    await say(client, a, { attached: true, attachmentMetadata, attachError: null, detachError: null })
  }

  async function detach(a: VolumeAttachment, client: Client): Promise<void> {
    const { attacher, nodeName, source: from } = a.spec
    const finalizer = attacherFinalizer(attacher)
    if (!hasFinalizer(a, finalizer)) return
    // Where it is not known here, it is asked for: what is attached is not to be forgotten.
    const volume =
      from.persistentVolumeName === undefined
        ? undefined
        : (volumes.get('', from.persistentVolumeName) ??
          (await client.get(persistentVolumes, '', from.persistentVolumeName).catch(ignoreNotFound)))
    const spec = volume?.spec ?? from.inlineVolumeSpec
    if (spec?.csi) {
      if (csi.drivers.get('', attacher)?.spec.attachRequired !== false)
        await refuseWhileMounted(client, uniqueVolumeName(attacher, spec.csi.volumeHandle), nodeName)
      const nodeId = csi.entry(attacher, nodeName)?.nodeID ?? (await nodeIdOf(client, attacher, nodeName))
      const { rpcs } = await csi.abilities(client, attacher)
      if (rpcs.has(ControllerRpc.publishUnpublishVolume))
        await csi
          .caller(
            client,
            attacher,
            topologiesOf(spec.nodeAffinity?.required?.nodeSelectorTerms),
          )(controller.controllerUnpublishVolume, {
            volumeId: spec.csi.volumeHandle,
            nodeId,
            secrets: await secretOf(client, spec.csi.controllerPublishSecretRef),
          })
          .catch((e: unknown) => (e instanceof RpcError && e.code === Code.notFound ? undefined : Promise.reject(e)))
    }
    await setFinalizer(client, volumeAttachments, a, finalizer, false).catch(ignoreNotFound)
  }
  /**
   * A kubelet says that it may use a volume before it looks whether it is attached, and does not begin when its attachment is to go. Asked
   * after that, it cannot have begun unnoticed.
   */
  async function refuseWhileMounted(client: Client, name: string, nodeName: string): Promise<void> {
    const node = await client.get(csi.nodes.kind, '', nodeName).catch(ignoreNotFound)
    if (node?.status?.volumesInUse?.includes(name) && isHealthy(node) && !isOutOfService(node))
      throw new Error(`volume ${name} is still in use by node ${nodeName}`)
  }
  async function nodeIdOf(client: Client, driver: string, nodeName: string): Promise<string> {
    const node = await client.get(csi.nodes.kind, '', nodeName).catch(ignoreNotFound)
    try {
      const ids = JSON.parse(node?.metadata.annotations?.['csi.volume.kubernetes.io/nodeid'] ?? '{}') as Record<string, string>
      return ids[driver] ?? nodeName
    } catch {
      return nodeName
    }
  }
  async function letGo(volume: PersistentVolume, client: Client): Promise<void> {
    const finalizer = attacherFinalizer(volume.spec.csi?.driver ?? '')
    const { name = '', deletionTimestamp } = volume.metadata
    if (!deletionTimestamp || !hasFinalizer(volume, finalizer) || attachments.byIndex('volume', name).length > 0) return
    await setFinalizer(client, persistentVolumes, volume, finalizer, false).catch(ignoreNotFound)
  }
  return {
    name: 'csi-attacher',
    client: ctx.as('csi-controller'),
    workers: 10,
    sources: [
      source(attachments, e => [keyOf(e.object), `volume${keyOf({ metadata: { name: e.object.spec.source.persistentVolumeName } })}`]),
      source(volumes, e => (e.object.metadata.deletionTimestamp && e.object.spec.csi ? [`volume${keyOf(e.object)}`] : [])),
      source(csi.csiNodes, e => attachments.list().flatMap(a => (a.spec.nodeName === e.object.metadata.name ? [keyOf(a)] : []))),
      source(csi.drivers, e => attachments.list().flatMap(a => (a.spec.attacher === e.object.metadata.name ? [keyOf(a)] : []))),
      // That a volume is in use no more is said by its node.
      source(csi.nodes, e =>
        attachments.list().flatMap(a => (a.spec.nodeName === e.object.metadata.name && a.metadata.deletionTimestamp ? [keyOf(a)] : [])),
      ),
    ],
    async reconcile(key, client) {
      const [what, name] = splitKey(key)
      if (what === 'volume') {
        const volume = volumes.get('', name)
        if (volume && csi.drives(volume.spec.csi?.driver ?? '')) await letGo(volume, client)
        return
      }
      const a = attachments.get('', name)
      if (!a || !csi.drives(a.spec.attacher)) return
      const leaving = a.metadata.deletionTimestamp !== undefined
      if (!leaving && a.status?.attached) return
      try {
        await (leaving ? detach(a, client) : attach(a, client))
      } catch (e) {
        if (ctx.signal.aborted) throw e
        const error = {
          time: formatTime(),
          message: (e as Error).message.slice(0, maxMessage),
          ...(e instanceof RpcError ? { errorCode: e.code } : {}),
        }
        await say(client, a, leaving ? { detachError: error } : { attachError: error })
        throw e
      }
    },
    queue: { baseMs: 200, limitMs: 30_000 },
    log: ctx.log,
  }
}
