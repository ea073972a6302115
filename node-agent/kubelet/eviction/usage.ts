/** What each pod uses of what the node is short of. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cgroupDirectory } from '#shared/linux/cgroup.ts'
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import { uidOf } from '../pod/containers.ts'
import { containerDirectory } from '../pod/directory.ts'
import { podCgroup } from '../pod/qos.ts'
import type { PodWorker } from '../pod/worker.ts'
import { podStorage, type PodStorage } from '../stats/storage.ts'
import type { Starved } from './state.ts'

export interface PodUsage {
  /** The working sets, by container. */
  memory?: { [container: string]: number }
  processes?: number
  storage?: PodStorage
}

type MeasuredPod = Pick<PodWorker, 'pod' | 'state' | 'directory' | 'volumes'>

async function memoryOf({ state, directory }: MeasuredPod, runtime: ContainerRuntime): Promise<{ [container: string]: number }> {
  const used: { [container: string]: number } = {}
  for (const [name, { current }] of Object.entries(state.containers)) {
    if (current.state === 'exited') continue
    const stats = await runtime.stats(containerDirectory(directory, name, current.attempt))
    if (stats) used[name] = stats.memoryBytes
  }
  return used
}

/** By the pods' uid. What is written on disk is walked only when that is what is asked for. */
export async function podUsages(
  pods: readonly MeasuredPod[],
  starved: Starved,
  runtime: ContainerRuntime,
  cgroupRoot: string,
): Promise<Map<string, PodUsage>> {
  if (starved === 'ephemeral-storage' || starved === 'inodes') {
    const storage = await podStorage(pods, runtime)
    return new Map(pods.map(p => [uidOf(p.pod), { storage: storage.get(uidOf(p.pod))! }]))
  }
  return new Map(
    await Promise.all(
      pods.map(async (p): Promise<[string, PodUsage]> => {
        if (starved === 'memory') return [uidOf(p.pod), { memory: await memoryOf(p, runtime) }]
        const file = join(cgroupDirectory('pids', `${cgroupRoot}/${podCgroup(p.pod)}`), 'pids.current')
        const count = await readFile(file, 'utf8').catch(() => undefined)
        return [uidOf(p.pod), count === undefined ? {} : { processes: Number(count) }]
      }),
    ),
  )
}
