/** emptyDir: a directory that lives as long as its pod on this node; with medium Memory a tmpfs. */
import { chmod, mkdir, rename, stat } from 'node:fs/promises'
import { podLimits } from '#shared/api/core/podspec/resources.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { quantityValue } from '#shared/machinery/quantity.ts'
import { ownByGroup } from './ownership.ts'
import type { VolumePlugin } from './plugin.ts'
import { ensureTmpfs, mayMount } from './tmpfs.ts'

export const emptyDir: VolumePlugin = {
  name: 'kubernetes.io/empty-dir',
  matches: volume => volume.emptyDir !== undefined,
  follows: false,
  owns: true,
  onNodeDisk: volume => !(volume.emptyDir?.medium === 'Memory' && mayMount),
  usage: volume => (volume.emptyDir?.medium && mayMount ? 'filesystem' : 'tree'),
  async setUp({ pod, volume, directory, facts }) {
    const { medium, sizeLimit } = volume.emptyDir ?? {}
    const { fsGroup } = pod.spec.securityContext ?? {}
    if (medium === 'Memory')
      await ensureTmpfs(directory, 0o777, { sizeBytes: memorySize(pod, sizeLimit, facts.allocatable['memory']), gid: fsGroup })
    else if (medium && !medium.startsWith('HugePages')) throw new Error(`unknown storage medium "${medium}"`)
    else if ((await stat(directory).catch(() => undefined)) === undefined) await makeDirectory(directory, fsGroup)
    return directory
  },
}

/** What a volume in memory may hold: no more than it asks for, its pod may use or pods of the node may use; undefined for no limit. */
function memorySize(pod: Pod, sizeLimit: string | undefined, allocatable: string | undefined): number | undefined {
  const limited = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].every(c => c.resources?.limits?.['memory'] !== undefined)
  const limits = [sizeLimit, limited ? podLimits(pod.spec)['memory'] : pod.spec.resources?.limits?.['memory'], allocatable]
  const bytes = limits.flatMap(limit => (limit === undefined ? [] : quantityValue(limit))).filter(n => n > 0)
  return bytes.length === 0 ? undefined : Math.min(...bytes)
}

/** It has its owner and mode as soon as it has its name: once containers use it they are theirs. No name of a volume has a dot. */
async function makeDirectory(directory: string, fsGroup: number | undefined): Promise<void> {
  const fresh = `${directory}.new`
  await mkdir(fresh, { recursive: true })
  await chmod(fresh, 0o777)
  await ownByGroup(fresh, fsGroup)
  await rename(fresh, directory)
}
