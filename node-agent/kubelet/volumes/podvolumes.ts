/** All volumes of one pod: set up together, followed, torn down together. */
import { mkdir, readdir, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Pod } from '#shared/api/core/pod.ts'
import { listMounts, unmount } from '#shared/linux/mount.ts'
import { removeTree } from '#shared/linux/removetree.ts'
import type { NodeFacts } from '../container/fieldref.ts'
import { storageOperations } from '../metrics.ts'
import { volumeDirectory, type PodDirectory } from '../pod/directory.ts'
import { readDurable, writeDurable } from '../pod/durable.ts'
import type { PodSources } from '../sources.ts'
import { claimName, NodeAffinityError } from './claims.ts'
import {
  NotYetError,
  SetUpError,
  UnresolvedError,
  type ResolvedVolume,
  type VolumePlugin,
  type VolumeRecord,
  type VolumeStats,
} from './plugin.ts'
import { pluginFor } from './plugins.ts'
import { failedAgain, isDue, type Failing } from './retries.ts'
import type { StagedVolumes } from './staged.ts'
import { directoryInMemory } from './tmpfs.ts'

/** What the pods' volumes share on a node. */
export interface NodeVolumes {
  readonly plugins: readonly VolumePlugin[]
  readonly staged: StagedVolumes
  /** What a claim is bound to; other volumes as they are. Rejects, in upstream's words, while it is not known. */
  readonly resolve?: (pod: Pod, volume: ResolvedVolume, sources: PodSources) => Promise<ResolvedVolume>
}

export interface SetUpResult {
  /** Of each volume that is not there why: `MountVolume.SetUp failed for volume "x" : why`, and what else upstream says. */
  missing: string[]
  /** What the pod's owner is to be told of the tries that were made now. */
  told: string[]
  /** In how many ms the next one is due; undefined when none has failed. */
  againMs: number | undefined
}
export interface MountedVolume {
  name: string
  path: string
  plugin: string
  /** It takes space of the node's disk. */
  onNodeDisk: boolean
  usage: 'tree' | 'filesystem' | 'none'
  /** The name of the claim that it is. */
  claim?: string
  /** Of plugins that ask somebody else. */
  stats?: () => Promise<VolumeStats | undefined>
}
export interface PodVolumes {
  /**
   * Makes every volume ready; what is set up already and follows nothing is not touched again. What has failed waits for its back-off, or
   * until something that it may show has changed.
   */
  setUp(pod: Pod, facts: NodeFacts): Promise<SetUpResult>
  /** What was waited for may have come: the next setUp tries what has failed. */
  retry(): void
  /** Where the volume is, once set up. */
  path(name: string): string | undefined
  /** Those that are set up. */
  mounted(): MountedVolume[]
  /** Has volumes that are set up grow; resolves with what to tell: of each the name, and why it could not when it could not. */
  expand(pod: Pod): Promise<{ volume: string; failed?: string }[]>
  /** Whether there are some that every setUp sets up again. */
  repeats(): boolean
  tearDown(): Promise<void>
}

function failureMessage(volume: string, error: Error): string {
  const lists = `unmounted volumes=[${volume}], unattached volumes=[], failed to process volumes=[${volume}]`
  if (error instanceof UnresolvedError) return `Unable to attach or mount volumes: ${lists}: ${error.message}`
  if (error instanceof NodeAffinityError) return error.message
  if (error instanceof NotYetError)
    return `Unable to attach or mount volumes: unmounted volumes=[${volume}], unattached volumes=[${volume}], failed to process volumes=[]: ${error.message}`
  const step = error instanceof SetUpError ? error.step : 'MountVolume.SetUp failed'
  return `${step} for volume ${JSON.stringify(volume)} : ${error.message}`
}

interface Mounted {
  pod: Pod
  path: string
  plugin: VolumePlugin
  volume: ResolvedVolume
  claim: string | undefined
}

export function podVolumes(node: NodeVolumes, uid: string, directory: PodDirectory, sources: PodSources): PodVolumes {
  const mounted = new Map<string, Mounted>()
  let shown = ''
  /** By the names of volumes. */
  const failing = new Map<string, Failing>()
  /** Those that are being set up again, and what is to be told of that when the pod is looked at next. */
  const repeating = new Map<string, Promise<void>>()
  const late: string[] = []
  const follows = ({ plugin, volume }: Mounted): boolean => (typeof plugin.follows === 'function' ? plugin.follows(volume) : plugin.follows)

  /** What fails here is not about mounting: upstream tells of it in another way. */
  async function prepared(pod: Pod, asked: ResolvedVolume): Promise<{ volume: ResolvedVolume; plugin: VolumePlugin }> {
    try {
      const volume = (await node.resolve?.(pod, asked, sources)) ?? asked
      return { volume, plugin: pluginFor(node.plugins, volume) }
    } catch (e) {
      throw e instanceof NodeAffinityError ? e : new UnresolvedError((e as Error).message)
    }
  }
  /** Rejects with what the pod's owner is told. */
  async function setUpOne(pod: Pod, asked: ResolvedVolume, facts: NodeFacts): Promise<void> {
    let name = asked.name
    try {
      const { volume, plugin } = await prepared(pod, asked)
      name = volume.persistentVolume?.name ?? name
      await mountOne(pod, volume, plugin, facts)
    } catch (e) {
      throw new Error(failureMessage(name, e as Error), { cause: e })
    }
  }
  async function mountOne(pod: Pod, volume: ResolvedVolume, plugin: VolumePlugin, facts: NodeFacts): Promise<void> {
    const [place, memory] = [directory.volumes, directory.memory].map(below => volumeDirectory(below, plugin.name, volume.name)) as [
      string,
      string,
    ]
    const inMemory = (): Promise<string> => directoryInMemory(dirname(directory.memory), memory, place)
    let staged: string | undefined
    if (plugin.stage ?? plugin.tearDown) {
      // Written first: whoever comes next, with or without the pod's spec, can undo what has begun.
      const key = await plugin.stage?.key(volume)
      await mkdir(directory.volumeRecords, { recursive: true, mode: 0o750 })
      const record: VolumeRecord = { plugin: plugin.name, volume, directory: place, staged: key, pod: uid }
      writeDurable(join(directory.volumeRecords, `${volume.name}.json`), record)
      if (key !== undefined) staged = await node.staged.acquire(plugin, volume, key, pod)
    }
    const path = await timed(
      'volume_mount',
      plugin.name,
      plugin.setUp({ pod, volume, directory: place, inMemory, facts, sources, ...(staged ? { staged } : {}) }),
    )
    mounted.set(volume.name, { pod, path, plugin, volume, claim: claimName(pod, volume) })
  }
  return {
    async setUp(pod, facts) {
      // Volumes that follow the API are looked at again only when something they may show has moved.
      const shows = JSON.stringify([sources.version, pod.metadata.labels, pod.metadata.annotations, facts])
      const attempt = async (volume: ResolvedVolume, before: Failing | undefined): Promise<string[]> => {
        try {
          await setUpOne(pod, volume, facts)
          failing.delete(volume.name)
          return []
        } catch (e) {
          const failed = failedAgain(before, e as Error, shows, Date.now())
          failing.set(volume.name, failed)
          return failed.tell ? [failed.message] : []
        }
      }
      const told = await Promise.all(
        (pod.spec.volumes ?? []).map(async volume => {
          const known = mounted.get(volume.name)
          const before = failing.get(volume.name)
          const repeats = known?.plugin.repeats?.(known.volume)
          if (known && !before && !repeats && (!follows(known) || shows === shown)) return []
          if (repeating.has(volume.name) || !isDue(before, shows, Date.now())) return []
          const tried = attempt(volume, before)
          if (!repeats) return await tried
          // The pod does not wait for it: a driver that hangs holds nothing else of it up.
          const again = tried.then(told => void late.push(...told)).finally(() => repeating.delete(volume.name))
          repeating.set(volume.name, again)
          return []
        }),
      )
      shown = shows
      // What was once set up keeps what it shows, and the pod has it.
      const missing = [...failing].flatMap(([name, { message }]) => (mounted.has(name) ? [] : [message]))
      const next = Math.min(...[...failing.values()].map(f => f.at))
      return { missing, told: [...late.splice(0), ...told.flat()], againMs: next === Infinity ? undefined : Math.max(0, next - Date.now()) }
    },
    retry: () => failing.forEach(f => (f.at = 0)),
    path: name => mounted.get(name)?.path,
    mounted: () =>
      [...mounted].map(([name, { pod, path, plugin, volume, claim }]) => ({
        name,
        path,
        plugin: plugin.name,
        onNodeDisk: plugin.onNodeDisk(volume),
        usage: plugin.usage?.(volume) ?? 'none',
        ...(claim === undefined ? {} : { claim }),
        ...(plugin.stats
          ? { stats: () => plugin.stats!({ pod, volume, directory: volumeDirectory(directory.volumes, plugin.name, volume.name) }) }
          : {}),
      })),
    repeats: () => [...mounted.values()].some(({ plugin, volume }) => plugin.repeats?.(volume)),
    async expand(pod) {
      const all = [...mounted.values()].map(async ({ plugin, volume }) => {
        if (!plugin.expand) return []
        const place = volumeDirectory(directory.volumes, plugin.name, volume.name)
        const name = volume.persistentVolume?.name ?? volume.name
        const result = await timed('volume_fs_resize', plugin.name, plugin.expand({ pod, volume, directory: place }))
        return result === 'nothing' ? [] : [{ volume: name, ...(result === 'done' ? {} : result) }]
      })
      return (await Promise.all(all)).flat()
    },
    async tearDown() {
      await Promise.all(repeating.values())
      mounted.clear()
      failing.clear()
      await tearDownVolumes(node, uid, directory)
    },
  }
}

/** Ends the volumes of a pod, also after a crash and without its spec. Removes what plugins own, and of others what is empty. */
export async function tearDownVolumes(node: NodeVolumes, uid: string, directory: PodDirectory): Promise<void> {
  const records = (await readdir(directory.volumeRecords).catch(() => []))
    .filter(name => name.endsWith('.json') || name.endsWith('.json.new'))
    .map(name => join(directory.volumeRecords, name.replace(/\.new$/, '')))
    .flatMap(path => readDurable<VolumeRecord>(path) ?? [])
  for (const record of records) {
    const plugin = node.plugins.find(p => p.name === record.plugin)
    if (!plugin) throw new Error(`no volume plugin to end volume ${record.volume.name}: ${record.plugin}`)
    if (plugin.tearDown) await timed('volume_unmount', plugin.name, plugin.tearDown(record))
  }
  const places = [directory.volumes, directory.subPaths]
  const below = async (): Promise<string[]> =>
    (await listMounts()).map(m => m.target).filter(t => places.some(place => t === place || t.startsWith(`${place}/`)))
  await unmount(await below())
  const left = await below()
  if (left.length > 0) throw new Error(`volumes are still mounted: ${left.join(', ')}`)
  for (const kind of await readdir(directory.volumes).catch(() => [])) {
    const owns = node.plugins.find(p => p.name.replace('/', '~') === kind)?.owns ?? false
    const names = (await readdir(join(directory.volumes, kind))).map(name => join(directory.volumes, kind, name))
    await Promise.all(names.map(name => (owns ? removeTree(name) : removeEmpty(name))))
    await removeEmpty(join(directory.volumes, kind))
  }
  await removeEmpty(directory.volumes)
  await Promise.all([directory.subPaths, directory.memory].map(removeTree))
  for (const { plugin, staged } of records) if (staged !== undefined) await node.staged.release(plugin, staged, uid)
  await removeTree(directory.volumeRecords)
}

async function timed<T>(operation_name: string, volume_plugin: string, work: Promise<T>): Promise<T> {
  const began = performance.now()
  const tell = (status: string): void =>
    storageOperations.observe((performance.now() - began) / 1000, { migrated: 'false', operation_name, status, volume_plugin })
  try {
    const result = await work
    tell('success')
    return result
  } catch (e) {
    tell('fail-unknown')
    throw e
  }
}

async function removeEmpty(path: string): Promise<void> {
  await rmdir(path).catch((e: NodeJS.ErrnoException) => {
    if (e.code === 'ENOENT') return
    throw e.code === 'ENOTEMPTY' ? new Error(`${path} is not empty: what is in it is not the pod's to remove`) : e
  })
}
