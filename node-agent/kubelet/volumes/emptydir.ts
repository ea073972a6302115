/** emptyDir: a directory that lives as long as its pod on this node; with medium Memory a tmpfs, with HugePages of such pages. */
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
  onNodeDisk: volume => !(volume.emptyDir?.medium && mayMount),
  usage: volume => (volume.emptyDir?.medium && mayMount ? 'filesystem' : 'tree'),
  async setUp({ pod, volume, directory, facts }) {
    const { medium, sizeLimit } = volume.emptyDir ?? {}
    const { fsGroup } = pod.spec.securityContext ?? {}
    if (medium === 'Memory')
      await ensureTmpfs(directory, 0o777, { sizeBytes: memorySize(pod, sizeLimit, facts.allocatable['memory']), gid: fsGroup })
    else if (medium?.startsWith('HugePages'))
      await ensureTmpfs(directory, 0o777, {
        sizeBytes: sizeLimit ? quantityValue(sizeLimit) : undefined,
        gid: fsGroup,
        pageBytes: hugePageBytes(pod, medium),
      })
    else if (medium) throw new Error(`unknown storage medium "${medium}"`)
    else if ((await stat(directory).catch(() => undefined)) === undefined) await makeDirectory(directory, fsGroup)
    return directory
  },
}

/** The size of the pages of a medium; of one that names none, that which the pod's containers ask for. Throws in upstream's words. */
export function hugePageBytes(pod: Pod, medium: string): number {
  const prefix = 'hugepages-'
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers]
  const asked = containers.flatMap(c => Object.keys({ ...c.resources?.requests, ...c.resources?.limits }))
  const sizes = new Set(asked.filter(r => r.startsWith(prefix)).map(r => quantityValue(r.slice(prefix.length))))
  const named = medium === 'HugePages' ? undefined : quantityValue(medium.slice(prefix.length))
  if (named === undefined && sizes.size > 1)
    throw new Error(`medium ${JSON.stringify(medium)} can be used only if container requests and limits use a single page size`)
  if (sizes.size === 0 || (named !== undefined && !sizes.has(named)))
    throw new Error('hugePages storage requested, but there is no resource request for huge pages')
  return named ?? [...sizes][0]!
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
