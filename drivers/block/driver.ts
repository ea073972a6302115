/**
 * block.csi.coxswain.io: files of the machine as disks with ext4 (or raw), of one zone, attached to one node at a time, with snapshots and
 * clones by copy and with online expansion: what EBS is to EKS.
 */
import { mkdir, stat, statfs, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AccessMode, ControllerRpc, Expansion, NodeRpc, PluginService, UsageUnit, type VolumeCapability } from '#shared/csi/messages.ts'
import { Code, RpcError } from '#shared/grpc/rpc.ts'
import { run } from '#shared/linux/run.ts'
import { bindMount, isMounted, unbind, unmountEverywhere } from '../mounts.ts'
import type { Driver } from '../serve.ts'
import type { DriverOptions } from '../shared/driver.ts'
import { checked, freeBytes, store, turns, type Meta } from '../store.ts'
import { attachments, imageOf } from './attachment.ts'
import { formatted, grow, growUnmounted, tune } from './disk.ts'

export const zoneKey = 'topology.block.csi.coxswain.io/zone'
const MiB = 1 << 20
const minBytes = 4 * MiB
const modes = new Set<number>([
  AccessMode.singleNodeWriter,
  AccessMode.singleNodeReaderOnly,
  AccessMode.singleNodeSingleWriter,
  AccessMode.singleNodeMultiWriter,
])
const fail = (code: number, message: string): never => {
  throw new RpcError(code, message)
}

export function blockDriver({ node, zone, directory }: DriverOptions): Driver {
  const volumes = store(join(directory, 'volumes'))
  const snapshots = store(join(directory, 'snapshots'))
  const inTurn = turns()
  const nodeId = `${zone}/${node}`
  const image = (id: string): string => imageOf(volumes.pathOf(id))
  const disks = attachments(volumes.pathOf, inTurn)
  const found = async (id: string | undefined): Promise<Meta> =>
    (await volumes.get(checked(id, 'volume id'))) ?? fail(Code.notFound, `volume ${id} does not exist`)
  const need = (value: string | undefined, what: string): string => value || fail(Code.invalidArgument, `${what} is missing`)

  function check(capabilities: readonly VolumeCapability[]): string | undefined {
    if (capabilities.length === 0) return 'volume capabilities are missing'
    if (capabilities.some(c => !modes.has(c.accessMode?.mode ?? 0))) return 'a block volume is for one node at a time'
    const types = capabilities.map(c => c.mount?.fsType || 'ext4')
    return types.some(t => t !== 'ext4') ? 'the file system must be ext4' : undefined
  }
  async function enoughFor(bytes: number, code: number): Promise<void> {
    const free = await freeBytes(directory)
    if (bytes > free) fail(code, `the machine has ${free} bytes left, ${bytes} are asked for`)
  }
  const publicVolume = (m: Meta) => ({
    volumeId: m.id,
    capacityBytes: m.bytes,
    volumeContext: {},
    ...(m.source?.snapshot ? { contentSource: { snapshot: { snapshotId: m.source.snapshot } } } : {}),
    ...(m.source?.volume ? { contentSource: { volume: { volumeId: m.source.volume } } } : {}),
    accessibleTopology: [{ segments: { [zoneKey]: m.zone ?? zone } }],
  })
  const publicSnapshot = (m: Meta) => ({
    snapshotId: m.id,
    sourceVolumeId: m.source?.volume ?? '',
    sizeBytes: m.bytes,
    creationTime: m.created,
    readyToUse: true,
  })
  async function stageDevice(meta: Meta): Promise<string> {
    const at = await disks.nodeOf(meta.id)
    if (at !== nodeId) fail(Code.failedPrecondition, `volume ${meta.id} is attached to ${at ?? 'no node'}, not to ${nodeId}`)
    return disks.makeDevice(meta)
  }
  /** What a VolumeAttributesClass may say. */
  function attributesOf(parameters: Readonly<Record<string, string>> = {}): Pick<Meta, 'readAheadKB'> {
    const unknown = Object.keys(parameters).find(name => name !== 'readAheadKB')
    if (unknown !== undefined) fail(Code.invalidArgument, `unknown mutable parameter ${JSON.stringify(unknown)}`)
    const text = parameters['readAheadKB']
    if (text === undefined) return {}
    if (!/^\d{1,6}$/.test(text) || Number(text) > 131_072) fail(Code.invalidArgument, 'readAheadKB must be a number from 0 to 131072')
    return { readAheadKB: Number(text) }
  }

  return {
    name: 'block.csi.coxswain.io',
    identity: {
      getPluginInfo: () => ({ name: 'block.csi.coxswain.io', vendorVersion: '1.0.0' }),
      getPluginCapabilities: () => ({
        capabilities: [
          { service: { type: PluginService.controller } },
          { service: { type: PluginService.accessibilityConstraints } },
          { volumeExpansion: { type: Expansion.online } },
        ],
      }),
      probe: () => ({ ready: { value: true } }),
    },
    controller: {
      controllerGetCapabilities: () => ({
        capabilities: [
          ControllerRpc.createDeleteVolume,
          ControllerRpc.publishUnpublishVolume,
          ControllerRpc.createDeleteSnapshot,
          ControllerRpc.listSnapshots,
          ControllerRpc.cloneVolume,
          ControllerRpc.expandVolume,
          ControllerRpc.getCapacity,
          ControllerRpc.listVolumes,
          ControllerRpc.listVolumesPublishedNodes,
          ControllerRpc.singleNodeMultiWriter,
          ControllerRpc.modifyVolume,
        ].map(type => ({ rpc: { type } })),
      }),
      createVolume: ({
        name,
        capacityRange,
        volumeCapabilities = [],
        volumeContentSource: from,
        accessibilityRequirements: where,
        ...more
      }) =>
        inTurn(name ?? '', async () => {
          const id = checked(name, 'name')
          const attributes = attributesOf(more.mutableParameters)
          const wrong = check(volumeCapabilities)
          if (wrong !== undefined) fail(Code.invalidArgument, wrong)
          const bytes = Math.ceil(Math.max(capacityRange?.requiredBytes ?? 0, minBytes) / MiB) * MiB
          const limit = capacityRange?.limitBytes ?? 0
          if (limit > 0 && bytes > limit) fail(Code.outOfRange, `a volume of ${bytes} bytes is larger than the limit of ${limit}`)
          const wanted = [...(where?.preferred ?? []), ...(where?.requisite ?? [])].flatMap(t => t.segments?.[zoneKey] ?? [])
          const snapshot = from?.snapshot ? checked(from.snapshot.snapshotId, 'snapshot id') : undefined
          const volume = from?.volume ? checked(from.volume.volumeId, 'source volume id') : undefined
          const origin = snapshot ? await snapshots.get(snapshot) : volume ? await volumes.get(volume) : undefined
          if ((snapshot ?? volume) && !origin) fail(Code.notFound, `${snapshot ?? volume} does not exist`)
          if (origin && origin.bytes > bytes) fail(Code.outOfRange, `${origin.id} has ${origin.bytes} bytes, more than ${bytes}`)
          const known = await volumes.get(id)
          if (!known) await enoughFor(bytes, Code.resourceExhausted)
          const source = snapshot ? { snapshot } : volume ? { volume } : undefined
          const meta: Meta = {
            id,
            bytes,
            ...attributes,
            zone: wanted[0] ?? zone,
            created: new Date().toISOString(),
            ...(source ? { source } : {}),
          }
          const made = await volumes.make(meta, async place => {
            if (snapshot) await disks.copy(imageOf(snapshots.pathOf(snapshot)), imageOf(place))
            else if (volume) await disks.copy(image(volume), imageOf(place), volume)
            else await writeFile(imageOf(place), '', { mode: 0o600 })
            await truncate(imageOf(place), bytes)
          })
          if (made.bytes !== bytes || JSON.stringify(made.source) !== JSON.stringify(source))
            fail(Code.alreadyExists, `volume ${id} exists, and is another one`)
          return { volume: publicVolume(made) }
        }),
      deleteVolume: async ({ volumeId }) => {
        const id = checked(volumeId, 'volume id')
        if (!(await volumes.get(id))) return (await volumes.remove(id), {})
        return disks.alone(id, async () => {
          const at = await disks.nodeOf(id)
          if (at !== undefined) fail(Code.failedPrecondition, `volume ${id} is attached to ${at}`)
          await disks.freeAll(id)
          await volumes.remove(id)
          return {}
        })
      },
      controllerPublishVolume: async ({ volumeId, nodeId: to, volumeCapability }, caller) => {
        const { id } = await found(volumeId)
        return disks.alone(id, async () => {
          const meta = await found(id)
          // Whoever takes it back is not asked again afterwards.
          if (caller?.cancelled) fail(Code.canceled, 'nobody waits for it any more')
          const target = need(to, 'node id')
          const wrong = check(volumeCapability ? [volumeCapability] : [])
          if (wrong !== undefined) fail(Code.invalidArgument, wrong)
          if (target.split('/')[0] !== meta.zone)
            fail(Code.failedPrecondition, `volume ${meta.id} is of zone ${meta.zone}, node ${target} is not`)
          await disks.attach(meta.id, target)
          return { publishContext: {} }
        })
      },
      controllerUnpublishVolume: async ({ volumeId, nodeId: from }) => {
        const id = checked(volumeId, 'volume id')
        if (!(await volumes.get(id))) return {}
        return disks.alone(id, async () => {
          const at = await disks.nodeOf(id)
          if (at === undefined || (from && at !== from)) return {}
          await disks.detach(id)
          return {}
        })
      },
      validateVolumeCapabilities: async ({ volumeId, volumeCapabilities = [] }) => {
        await found(volumeId)
        const wrong = check(volumeCapabilities)
        return wrong === undefined ? { confirmed: { volumeCapabilities } } : { message: wrong }
      },
      listVolumes: async () => ({
        entries: await Promise.all(
          (await volumes.list()).map(async m => {
            const at = await disks.nodeOf(m.id)
            return { volume: publicVolume(m), status: { publishedNodeIds: at === undefined ? [] : [at] } }
          }),
        ),
      }),
      getCapacity: async () => ({ availableCapacity: await freeBytes(directory), minimumVolumeSize: { value: minBytes } }),
      createSnapshot: ({ sourceVolumeId, name }) =>
        inTurn(sourceVolumeId ?? '', async () => {
          const id = checked(name, 'name')
          const source = checked(sourceVolumeId, 'source volume id')
          const known = await snapshots.get(id)
          if (known && known.source?.volume !== source) fail(Code.alreadyExists, `snapshot ${id} is of volume ${known.source?.volume}`)
          if (known) return { snapshot: publicSnapshot(known) }
          const { bytes, zone: home = zone } = await found(source)
          const meta: Meta = {
            id,
            bytes,
            zone: home,
            source: { volume: source },
            created: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
          }
          const made = await snapshots.make(meta, place => disks.copy(image(source), imageOf(place), source))
          return { snapshot: publicSnapshot(made) }
        }),
      deleteSnapshot: async ({ snapshotId }) => {
        await snapshots.remove(checked(snapshotId, 'snapshot id'))
        return {}
      },
      listSnapshots: async ({ snapshotId, sourceVolumeId }) => ({
        entries: (await snapshots.list())
          .filter(m => (!snapshotId || m.id === snapshotId) && (!sourceVolumeId || m.source?.volume === sourceVolumeId))
          .map(m => ({ snapshot: publicSnapshot(m) })),
      }),
      controllerModifyVolume: ({ volumeId, mutableParameters }) =>
        inTurn(volumeId ?? '', async () => {
          const meta = { ...(await found(volumeId)), ...attributesOf(mutableParameters) }
          await volumes.update(meta)
          const device = await disks.deviceOf(meta.id)
          if (device !== undefined) await tune(device, meta)
          return {}
        }),
      controllerExpandVolume: ({ volumeId, capacityRange }) =>
        inTurn(volumeId ?? '', async () => {
          const meta = await found(volumeId)
          const bytes = Math.max(Math.ceil((capacityRange?.requiredBytes ?? 0) / MiB) * MiB, meta.bytes)
          if (bytes > meta.bytes) {
            // A code that says that nothing has begun: the claim may ask for less then.
            await enoughFor(bytes - meta.bytes, Code.outOfRange)
            await truncate(image(meta.id), bytes)
            await volumes.update({ ...meta, bytes })
          }
          return { capacityBytes: bytes, nodeExpansionRequired: true }
        }),
    },
    node: {
      nodeGetCapabilities: () => ({
        capabilities: [NodeRpc.stageUnstageVolume, NodeRpc.expandVolume, NodeRpc.getVolumeStats, NodeRpc.singleNodeMultiWriter].map(
          type => ({ rpc: { type } }),
        ),
      }),
      nodeGetInfo: () => ({ nodeId, maxVolumesPerNode: 128, accessibleTopology: { segments: { [zoneKey]: zone } } }),
      nodeStageVolume: ({ volumeId, stagingTargetPath, volumeCapability }) =>
        inTurn(volumeId ?? '', async () => {
          const meta = await found(volumeId)
          const path = need(stagingTargetPath, 'staging target path')
          if (volumeCapability?.block) {
            await stageDevice(meta)
            return {}
          }
          if (await isMounted(path)) return {}
          // In the image, which does not wait for its device.
          const [device, isNew] = await Promise.all([stageDevice(meta), formatted(image(meta.id), meta.bytes)])
          if (!isNew) await growUnmounted(device)
          await mkdir(path, { recursive: true, mode: 0o750 })
          const flags = volumeCapability?.mount?.mountFlags ?? []
          await run('mount', ['-t', 'ext4', ...(flags.length > 0 ? ['-o', flags.join(',')] : []), device, path])
          // It goes with the last mount, also when the node is lost.
          await run('losetup', ['--detach', device])
          return {}
        }),
      nodeUnstageVolume: ({ volumeId, stagingTargetPath }) =>
        inTurn(volumeId ?? '', async () => {
          const id = checked(volumeId, 'volume id')
          const path = need(stagingTargetPath, 'staging target path')
          await unmountEverywhere(path)
          // One that is another node's by now is not ours to free.
          if ((await disks.nodeOf(id)) !== nodeId) return {}
          // Who still writes to it here must not go on when another node has it.
          if (!(await disks.freeDevice(id)))
            fail(Code.failedPrecondition, `volume ${id} is busy: a process of node ${node} still has it open`)
          return {}
        }),
      nodePublishVolume: ({ volumeId, stagingTargetPath, targetPath, readonly = false, volumeCapability }) =>
        inTurn(volumeId ?? '', async () => {
          const meta = await found(volumeId)
          const target = need(targetPath, 'target path')
          const staging = need(stagingTargetPath, 'staging target path')
          if (volumeCapability?.block) {
            const device = await disks.deviceOf(meta.id)
            await bindMount(device ?? fail(Code.failedPrecondition, `volume ${meta.id} is not staged`), target, readonly, 'device')
            return {}
          }
          if (!(await isMounted(staging))) fail(Code.failedPrecondition, `volume ${meta.id} is not staged at ${staging}`)
          await bindMount(staging, target, readonly, 'directory')
          return {}
        }),
      nodeUnpublishVolume: ({ volumeId, targetPath }) =>
        inTurn(volumeId ?? '', async () => {
          checked(volumeId, 'volume id')
          await unbind(need(targetPath, 'target path'))
          return {}
        }),
      nodeExpandVolume: ({ volumeId, volumePath }) =>
        inTurn(volumeId ?? '', async () => {
          const meta = await found(volumeId)
          need(volumePath, 'volume path')
          const device = await disks.deviceOf(meta.id)
          if (device === undefined) fail(Code.failedPrecondition, `volume ${meta.id} is not staged`)
          await grow(device!)
          return { capacityBytes: meta.bytes }
        }),
      nodeGetVolumeStats: async ({ volumeId, volumePath }) => {
        const meta = await found(volumeId)
        const path = need(volumePath, 'volume path')
        if (!(await isMounted(path))) fail(Code.notFound, `volume ${meta.id} is not at ${path}`)
        if ((await stat(path)).isBlockDevice()) return { usage: [{ unit: UsageUnit.bytes, total: meta.bytes }] }
        const s = await statfs(path)
        return {
          usage: [
            { unit: UsageUnit.bytes, total: s.blocks * s.bsize, available: s.bavail * s.bsize, used: (s.blocks - s.bfree) * s.bsize },
            { unit: UsageUnit.inodes, total: s.files, available: s.ffree, used: s.files - s.ffree },
          ],
        }
      },
    },
  }
}
