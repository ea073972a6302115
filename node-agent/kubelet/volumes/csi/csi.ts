/**
 * csi: volumes of CSI drivers, of claims and inline; staged once on the node, published for each pod. What a driver is asked, when and in
 * which words it is told of are those of pkg/volume/csi.
 */
import { existsSync } from 'node:fs'
import { mkdir, rmdir, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { csiDrivers as csiDriverKind, secrets as secretKind } from '#shared/api/kinds.ts'
import type { CSIDriver } from '#shared/api/storage/csidriver.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Client } from '#shared/client/client.ts'
import { NodeRpc } from '#shared/csi/messages.ts'
import { capabilityOf } from '#shared/csi/capability.ts'
import { uniqueVolumeName } from '#shared/csi/names.ts'
import { node as nodeService } from '#shared/csi/services.ts'
import { Code, RpcError, isUncertain } from '#shared/grpc/rpc.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import type { CsiDriver as Driver, CsiDrivers } from '../../csi/drivers.ts'
import { pathForPlugins } from '../../kubeletpaths.ts'
import { uidOf } from '../../pod/containers.ts'
import { readDurable, removeDurable, writeDurable } from '../../pod/durable.ts'
import { ownByGroup } from '../ownership.ts'
import { NotYetError, SetUpError, type ResolvedVolume, type VolumeContext, type VolumePlugin } from '../plugin.ts'
import { stagingDirectory } from '../staged.ts'
import { attachment } from './attachment.ts'
import { expandOnNode } from './expand.ts'
import { podContext } from './podcontext.ts'
import { volumeStats } from './stats.ts'
import { csiSource, modeOf, type CsiSource } from './source.ts'

export interface CsiNode {
  readonly client: Client
  readonly drivers: CsiDrivers
  readonly nodeName: string
  /** The kubelet's state directory. */
  readonly rootDir: string
  /** Names this life of the node's kernel state: what was mounted in another one is not. */
  readonly boot: string
  /**
   * Whether our Node says that we may use the volume, so that nobody detaches it; has that said if it does not. Absent: nobody attaches
   * any.
   */
  readonly isReportedInUse?: (uniqueName: string) => boolean
}

const name = 'kubernetes.io/csi'

/** What a call of a driver may take. */
export const driverTimeoutMs = 120_000

/** What is remembered of a staged volume, beside its mount. */
interface StageRecord {
  boot: string
  publishContext: { [key: string]: string }
  /** It may be staged, and may not: that it shall be, or shall be no more, was begun. */
  begun?: true
}
const recordOf = (directory: string): string => join(dirname(directory), 'csi.json')
const forget = (directory: string): void => removeDurable(recordOf(directory))

/** Runs a step that events name. */
async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (e) {
    throw e instanceof SetUpError || e instanceof NotYetError ? e : new SetUpError(`${what} failed`, (e as Error).message)
  }
}

export function csiVolume(node: CsiNode): VolumePlugin {
  const { client, drivers } = node
  /** Volumes whose driver does not enlarge them as they are: asked again when they are staged again. */
  const notWhileInUse = new Set<string>()
  /** Drivers that are asked again when tokens are new. */
  const republished = new Set<string>()
  const isRepublished = (volume: ResolvedVolume): boolean =>
    republished.has(volume.csi?.driver ?? volume.persistentVolume?.spec.csi?.driver ?? '')
  const shown = (path: string): string => pathForPlugins(path, node.rootDir)

  const definition = async (driver: string): Promise<CSIDriver | undefined> =>
    (await client.get(csiDriverKind, '', driver).catch((e: unknown) => (isNotFound(e) ? undefined : Promise.reject(e)))) as CSIDriver
  async function secretsOf(source: CsiSource, use: keyof CsiSource['secrets']): Promise<Record<string, string>> {
    const ref = source.secrets[use]
    if (!ref) return {}
    const { data = {} } = await client.get(secretKind, ref.namespace ?? '', ref.name ?? '').catch((e: Error) => {
      throw new Error(
        `failed to get ${use === 'stage' ? 'NodeStageSecretRef' : 'NodePublishSecretRef'} ${ref.namespace}/${ref.name}: ${e.message}`,
      )
    })
    return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]))
  }
  async function capability(source: CsiSource, driver: Driver, pod: Pod | undefined) {
    const can = await driver.capabilities()
    const { fsGroup } = pod?.spec.securityContext ?? {}
    return capabilityOf({
      mode: modeOf(source, can.has(NodeRpc.singleNodeMultiWriter)),
      block: source.block,
      fsType: source.fsType,
      mountFlags: source.mountFlags,
      group: fsGroup !== undefined && can.has(NodeRpc.volumeMountGroup) ? String(fsGroup) : undefined,
    })
  }

  async function stage(source: CsiSource, directory: string, pod: Pod): Promise<void> {
    const known = readDurable<StageRecord>(recordOf(directory))
    if (known?.boot === node.boot && !known.begun) return
    notWhileInUse.delete(uniqueVolumeName(source.driver, source.handle))
    const about = await definition(source.driver)
    const attached = about?.spec.attachRequired !== false
    if (attached && node.isReportedInUse?.(uniqueVolumeName(source.driver, source.handle)) === false)
      throw new NotYetError('volume is not reported in use by the node')
    const publishContext = !attached
      ? {}
      : await step('MountVolume.WaitForAttach', () =>
          attachment(client, source.handle, source.driver, node.nodeName, () => void drivers.refresh(source.driver).catch(() => {})),
        )
    await step(source.block ? 'MapVolume.SetUpDevice' : 'MountVolume.MountDevice', async () => {
      const driver = drivers.get(source.driver)
      if (!(await driver.capabilities()).has(NodeRpc.stageUnstageVolume)) return
      const question = {
        volumeId: source.handle,
        publishContext,
        stagingTargetPath: shown(directory),
        volumeCapability: await capability(source, driver, pod),
        secrets: await secretsOf(source, 'stage'),
        volumeContext: source.attributes,
      }
      writeDurable(recordOf(directory), { boot: node.boot, publishContext, begun: true } satisfies StageRecord)
      await driver.call(nodeService.nodeStageVolume, question, driverTimeoutMs).catch((e: unknown) => {
        // It has refused: there is nothing to undo.
        if (!isUncertain(e)) forget(directory)
        throw e
      })
    })
    writeDurable(recordOf(directory), { boot: node.boot, publishContext } satisfies StageRecord)
  }

  async function publish({ pod, volume, directory, staged, sources }: VolumeContext): Promise<string> {
    const source = csiSource(volume, uidOf(pod), pod.metadata.namespace)!
    const about = await definition(source.driver)
    if (about?.spec.requiresRepublish) republished.add(source.driver)
    else republished.delete(source.driver)
    const driver = drivers.get(source.driver)
    const mode = source.ephemeral ? 'Ephemeral' : 'Persistent'
    const modes = about?.spec.volumeLifecycleModes ?? ['Persistent']
    if (!modes.includes(mode))
      throw new Error(
        `volume mode ${JSON.stringify(mode)} not supported by driver ${source.driver} (only supports ${JSON.stringify(modes)})`,
      )
    const can = await driver.capabilities()
    const target = join(directory, 'mount')
    await mkdir(directory, { recursive: true, mode: 0o750 })
    const told = await podContext(about, pod, source.ephemeral, sources)
    await driver.call(
      nodeService.nodePublishVolume,
      {
        volumeId: source.handle,
        publishContext: (staged && readDurable<StageRecord>(recordOf(staged))?.publishContext) || {},
        stagingTargetPath: staged !== undefined && can.has(NodeRpc.stageUnstageVolume) ? shown(staged) : '',
        targetPath: shown(target),
        volumeCapability: await capability(source, driver, pod),
        readonly: source.readOnly,
        secrets: { ...(await secretsOf(source, 'publish')), ...told.secrets },
        volumeContext: { ...source.attributes, ...told.context },
      },
      driverTimeoutMs,
    )
    // A driver that has nothing to mount may not have made it; container runtimes that speak CRI make what is not there, too.
    if (!source.block) await mkdir(target, { mode: 0o750 }).catch((e: NodeJS.ErrnoException) => e.code === 'EEXIST' || Promise.reject(e))
    const { fsGroup, fsGroupChangePolicy } = pod.spec.securityContext ?? {}
    if (!can.has(NodeRpc.volumeMountGroup) && !source.readOnly && takesGroup(source, about))
      await ownByGroup(target, fsGroup, fsGroupChangePolicy !== 'OnRootMismatch')
    return target
  }

  async function expand({ pod, volume, directory }: Pick<VolumeContext, 'pod' | 'volume' | 'directory'>) {
    const source = csiSource(volume, uidOf(pod), pod.metadata.namespace)!
    const unique = uniqueVolumeName(source.driver, source.handle)
    if (source.ephemeral || notWhileInUse.has(unique)) return 'nothing' as const
    return await expandOnNode(client, pod, volume, async bytes => {
      const driver = drivers.get(source.driver)
      const can = await driver.capabilities()
      if (!can.has(NodeRpc.expandVolume)) return bytes
      const question = {
        volumeId: source.handle,
        volumePath: shown(join(directory, 'mount')),
        capacityRange: { requiredBytes: bytes },
        stagingTargetPath: can.has(NodeRpc.stageUnstageVolume)
          ? shown(stagingDirectory(node.rootDir, name, uniqueVolumeName(source.driver, source.handle)))
          : '',
        volumeCapability: await capability(source, driver, pod),
        secrets: await secretsOf(source, 'expand'),
      }
      const answer = driver.call(nodeService.nodeExpandVolume, question, driverTimeoutMs)
      answer.catch((e: unknown) => e instanceof RpcError && e.code === Code.failedPrecondition && notWhileInUse.add(unique))
      return (await answer).capacityBytes ?? 0
    })
  }

  return {
    name,
    matches: volume => Boolean(volume.persistentVolume?.spec.csi ?? (volume.persistentVolumeClaim ? undefined : volume.csi)),
    follows: false,
    repeats: isRepublished,
    stats({ pod, volume, directory }) {
      const source = csiSource(volume, uidOf(pod), pod.metadata.namespace)!
      return volumeStats(drivers.get(source.driver), {
        volumeId: source.handle,
        volumePath: shown(join(directory, 'mount')),
        stagingTargetPath: source.ephemeral
          ? ''
          : shown(stagingDirectory(node.rootDir, name, uniqueVolumeName(source.driver, source.handle))),
      })
    },
    owns: false,
    onNodeDisk: () => false,
    usage: volume => (volume.persistentVolume?.spec.volumeMode === 'Block' ? 'none' : 'filesystem'),
    stage: {
      key(volume) {
        const csi = volume.persistentVolume?.spec.csi
        return csi && uniqueVolumeName(csi.driver, csi.volumeHandle)
      },
      setUp: (volume, directory, pod) => stage(csiSource(volume, uidOf(pod), pod.metadata.namespace)!, directory, pod),
      async tearDown(volume, directory) {
        const source = csiSource(volume, '')!
        const known = readDurable<StageRecord>(recordOf(directory))
        if (!known) return
        // If we end here, whoever comes next must not take it for staged.
        if (!known.begun) writeDurable(recordOf(directory), { ...known, begun: true } satisfies StageRecord)
        const driver = drivers.get(source.driver)
        if ((await driver.capabilities()).has(NodeRpc.stageUnstageVolume))
          await driver.call(
            nodeService.nodeUnstageVolume,
            { volumeId: source.handle, stagingTargetPath: shown(directory) },
            driverTimeoutMs,
          )
        forget(directory)
      },
    },
    async setUp(ctx) {
      const path = await publish(ctx)
      // What has grown while nobody used it. A failure does not keep the pod from what there is.
      await expand(ctx).catch(() => {})
      return path
    },
    expand,
    async tearDown({ volume, directory, pod = '' }) {
      // Nothing has been published: there may be no driver that could be asked.
      if (!existsSync(directory)) return
      const source = csiSource(volume, pod)!
      const driver = drivers.get(source.driver)
      const target = join(directory, 'mount')
      await driver.call(nodeService.nodeUnpublishVolume, { volumeId: source.handle, targetPath: shown(target) }, driverTimeoutMs)
      // A driver may leave the empty directory. One that is still mounted says so here.
      await rmdir(target).catch((e: NodeJS.ErrnoException) => {
        if (e.code === 'ENOTDIR') return unlink(target)
        return e.code === 'ENOENT' ? undefined : Promise.reject(e)
      })
    },
  }
}

/** Whether the volume is given to the pod's group. https://kubernetes-csi.github.io/docs/support-fsgroup.html */
function takesGroup(source: CsiSource, about: CSIDriver | undefined): boolean {
  if (source.block) return false
  switch (about?.spec.fsGroupPolicy ?? 'ReadWriteOnceWithFSType') {
    case 'File':
      return true
    case 'None':
      return false
    default:
      return source.fsType !== '' && source.accessModes.some(mode => mode === 'ReadWriteOnce' || mode === 'ReadWriteOncePod')
  }
}
