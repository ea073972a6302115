/**
 * shared.csi.coxswain.io: directories of the machine that every pod of its nodes may read and write at the same time, what EFS is to EKS.
 * They are as large as the disk: what a claim asks for is not enforced.
 */
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ControllerRpc, PluginService } from '#shared/csi/messages.ts'
import { Code, RpcError } from '#shared/grpc/rpc.ts'
import { run } from '#shared/linux/run.ts'
import { bindMount, unbind } from '../mounts.ts'
import type { Driver } from '../serve.ts'
import { checked, freeBytes, store, turns } from '../store.ts'

export interface DriverOptions {
  node: string
  zone: string
  directory: string
}
const copyMs = 600_000

export function sharedDriver({ node, directory }: DriverOptions): Driver {
  const volumes = store(join(directory, 'volumes'))
  const inTurn = turns()
  const found = async (id: string | undefined) => {
    const meta = await volumes.get(checked(id, 'volume id'))
    if (!meta) throw new RpcError(Code.notFound, `volume ${id} does not exist`)
    return meta
  }
  const dataOf = (id: string): string => join(volumes.pathOf(id), 'data')
  return {
    name: 'shared.csi.coxswain.io',
    identity: {
      getPluginInfo: () => ({ name: 'shared.csi.coxswain.io', vendorVersion: '1.0.0' }),
      getPluginCapabilities: () => ({ capabilities: [{ service: { type: PluginService.controller } }, { volumeExpansion: { type: 1 } }] }),
      probe: () => ({ ready: { value: true } }),
    },
    controller: {
      controllerGetCapabilities: () => ({
        capabilities: [
          ControllerRpc.createDeleteVolume,
          ControllerRpc.cloneVolume,
          ControllerRpc.expandVolume,
          ControllerRpc.getCapacity,
          ControllerRpc.listVolumes,
          ControllerRpc.singleNodeMultiWriter,
        ].map(type => ({ rpc: { type } })),
      }),
      createVolume: ({ name, capacityRange, volumeCapabilities = [], volumeContentSource }) =>
        inTurn(name ?? '', async () => {
          const id = checked(name, 'name')
          if (volumeCapabilities.length === 0) throw new RpcError(Code.invalidArgument, 'volume capabilities are missing')
          if (volumeCapabilities.some(c => c.block)) throw new RpcError(Code.invalidArgument, 'a shared volume is no block device')
          if (volumeContentSource?.snapshot) throw new RpcError(Code.invalidArgument, 'there are no snapshots of shared volumes')
          const from = volumeContentSource?.volume ? await found(volumeContentSource.volume.volumeId) : undefined
          const bytes = Math.max(capacityRange?.requiredBytes ?? 0, from?.bytes ?? 0)
          const meta = { id, bytes, created: new Date().toISOString(), ...(from ? { source: { volume: from.id } } : {}) }
          const made = await volumes.make(meta, async place => {
            const data = join(place, 'data')
            await mkdir(data)
            // For users of every id, as those of NFS servers are; fsGroup narrows it.
            await chmod(data, 0o777)
            if (from) await run('cp', ['-a', '--reflink=auto', '--', `${dataOf(from.id)}/.`, data], { timeoutMs: copyMs })
          })
          if (made.bytes !== bytes || made.source?.volume !== from?.id)
            throw new RpcError(Code.alreadyExists, `volume ${id} exists, and is another one`)
          return {
            volume: { volumeId: id, capacityBytes: bytes, volumeContext: {}, ...(from ? { contentSource: volumeContentSource } : {}) },
          }
        }),
      deleteVolume: ({ volumeId }) =>
        inTurn(volumeId ?? '', async () => {
          await volumes.remove(checked(volumeId, 'volume id'))
          return {}
        }),
      validateVolumeCapabilities: async ({ volumeId, volumeCapabilities = [] }) => {
        await found(volumeId)
        return volumeCapabilities.some(c => c.block) ? { message: 'no block devices' } : { confirmed: { volumeCapabilities } }
      },
      listVolumes: async () => ({ entries: (await volumes.list()).map(m => ({ volume: { volumeId: m.id, capacityBytes: m.bytes } })) }),
      getCapacity: async () => ({ availableCapacity: await freeBytes(directory) }),
      controllerExpandVolume: ({ volumeId, capacityRange }) =>
        inTurn(volumeId ?? '', async () => {
          const meta = await found(volumeId)
          const bytes = Math.max(meta.bytes, capacityRange?.requiredBytes ?? 0)
          if (bytes !== meta.bytes) await volumes.update({ ...meta, bytes })
          return { capacityBytes: bytes, nodeExpansionRequired: false }
        }),
    },
    node: {
      nodeGetCapabilities: () => ({ capabilities: [] }),
      nodeGetInfo: () => ({ nodeId: node }),
      nodePublishVolume: ({ volumeId, targetPath, readonly = false, volumeCapability }) =>
        inTurn(volumeId ?? '', async () => {
          if (!targetPath) throw new RpcError(Code.invalidArgument, 'target path is missing')
          if (!volumeCapability?.mount) throw new RpcError(Code.invalidArgument, 'a shared volume is mounted')
          const { id } = await found(volumeId)
          await bindMount(dataOf(id), targetPath, readonly, 'directory')
          return {}
        }),
      nodeUnpublishVolume: ({ volumeId, targetPath }) =>
        inTurn(volumeId ?? '', async () => {
          if (!targetPath) throw new RpcError(Code.invalidArgument, 'target path is missing')
          checked(volumeId, 'volume id')
          await unbind(targetPath)
          return {}
        }),
    },
  }
}
