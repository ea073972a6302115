/** All volumes of one pod: set up together, followed, torn down together. */
import { dirname } from 'node:path'
import type { Pod } from '#shared/api/core/pod.ts'
import { listMounts, unmount } from '#shared/linux/mount.ts'
import { removeTree } from '#shared/linux/removetree.ts'
import type { NodeFacts } from '../container/fieldref.ts'
import { volumeDirectory, type PodDirectory } from '../pod/directory.ts'
import type { PodSources } from '../sources.ts'
import { pluginFor } from './plugins.ts'
import { directoryInMemory } from './tmpfs.ts'

export interface MountFailure {
  volume: string
  /** `MountVolume.SetUp failed for volume "x" : why`. */
  message: string
}
export interface PodVolumes {
  /** Makes every volume ready; what is set up already and follows nothing is not touched again. Resolves with what failed. */
  setUp(pod: Pod, facts: NodeFacts): Promise<MountFailure[]>
  /** Where the volume is, once set up. */
  path(name: string): string | undefined
  /** Those that are set up and take space of the node's disk. */
  onNodeDisk(pod: Pod): { name: string; path: string }[]
  tearDown(): Promise<void>
}

export function podVolumes(directory: PodDirectory, sources: PodSources): PodVolumes {
  const paths = new Map<string, string>()
  let shown = ''
  return {
    async setUp(pod, facts) {
      // Volumes that follow the API are looked at again only when something they may show has moved.
      const shows = JSON.stringify([sources.version, pod.metadata.labels, pod.metadata.annotations, facts])
      const failures = await Promise.all(
        (pod.spec.volumes ?? []).map(async volume => {
          try {
            const plugin = pluginFor(volume)
            if (paths.has(volume.name) && (!plugin.follows || shows === shown)) return []
            const [place, memory] = [directory.volumes, directory.memory].map(below =>
              volumeDirectory(below, plugin.name, volume.name),
            ) as [string, string]
            const inMemory = (): Promise<string> => directoryInMemory(dirname(directory.memory), memory, place)
            paths.set(volume.name, await plugin.setUp({ pod, volume, directory: place, inMemory, facts, sources }))
            return []
          } catch (e) {
            // What was once set up keeps what it shows.
            return paths.has(volume.name)
              ? []
              : [{ volume: volume.name, message: `MountVolume.SetUp failed for volume "${volume.name}" : ${(e as Error).message}` }]
          }
        }),
      )
      shown = shows
      return failures.flat()
    },
    path: name => paths.get(name),
    onNodeDisk: pod =>
      (pod.spec.volumes ?? []).flatMap(volume => {
        const path = paths.get(volume.name)
        return path !== undefined && pluginFor(volume).onNodeDisk(volume) ? [{ name: volume.name, path }] : []
      }),
    async tearDown() {
      paths.clear()
      await tearDownVolumes(directory)
    },
  }
}

/** Unmounts and removes whatever is below the pod's volumes, also after a crash. Never follows a mount into what it holds. */
export async function tearDownVolumes(directory: PodDirectory): Promise<void> {
  const places = [directory.volumes, directory.subPaths]
  const below = async (): Promise<string[]> =>
    (await listMounts()).map(m => m.target).filter(t => places.some(place => t === place || t.startsWith(`${place}/`)))
  await unmount(await below())
  const left = await below()
  if (left.length > 0) throw new Error(`volumes are still mounted: ${left.join(', ')}`)
  await Promise.all([...places, directory.memory].map(removeTree))
}
