/** What pods have written on the node: their containers' own files, their logs, their volumes. */
import { formatTime } from '#shared/machinery/time.ts'
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import { containerDirectory, terminationLog } from '../pod/directory.ts'
import { uidOf } from '../pod/containers.ts'
import type { MountedVolume } from '../volumes/podvolumes.ts'
import type { PodWorker } from '../pod/worker.ts'
import { diskUsage, sumUsage, type DiskUsage } from './diskusage.ts'
import type { VolumeStats } from '../volumes/plugin.ts'
import { fsStats } from './machine.ts'

/** Of a file system of its own, all of that. */
export type VolumeUsage = { name: string; claim?: string; fs?: VolumeStats } & DiskUsage

export interface PodStorage {
  containers: { name: string; rootfs: DiskUsage; logs: DiskUsage }[]
  volumes: VolumeUsage[]
  /** All of it together: what ephemeral-storage limits are about. */
  total: DiskUsage
}

export type StoredPod = Pick<PodWorker, 'pod' | 'state' | 'directory' | 'volumes'>

/** By the pods' uid. Walks all that they have written, in a process of its own. */
export async function podStorage(pods: readonly StoredPod[], runtime: ContainerRuntime): Promise<Map<string, PodStorage>> {
  const places = pods.map(({ pod, state, directory, volumes }) => ({
    uid: uidOf(pod),
    // The node's own files of the pod that its containers may write.
    files: [
      ...[directory.hosts, directory.resolv, directory.hostname],
      ...Object.entries(state.containers).map(([name, { current }]) => terminationLog(directory, name, current.attempt)),
    ],
    containers: Object.entries(state.containers).map(([name, { current }]) => ({
      name,
      rootfs: runtime.writableLayer(containerDirectory(directory, name, current.attempt)),
      logs: `${directory.logs}/${name}`,
    })),
    volumes: volumes.mounted().filter(v => v.usage !== 'none' || v.stats),
  }))
  const paths = places.flatMap(p => [
    ...p.files,
    ...p.containers.flatMap(c => [c.rootfs, c.logs]),
    ...p.volumes.flatMap(v => (v.usage === 'tree' ? v.path : [])),
  ])
  const [used, systems] = await Promise.all([diskUsage(paths), fileSystems(places.flatMap(p => p.volumes))])
  const of = (path: string): DiskUsage => used.get(path) ?? { usedBytes: 0 }
  const volume = ({ name, path, claim }: MountedVolume): VolumeUsage => {
    const fs = systems.get(path)
    return { name, ...(claim ? { claim } : {}), ...(fs ? { fs, usedBytes: fs.usedBytes ?? 0, inodesUsed: fs.inodesUsed ?? 0 } : of(path)) }
  }
  return new Map(
    places.map(p => {
      const containers = p.containers.map(c => ({ name: c.name, rootfs: of(c.rootfs), logs: of(c.logs) }))
      const own = p.volumes.filter(v => v.onNodeDisk).map(v => of(v.path))
      const total = sumUsage([...p.files.map(of), ...containers.flatMap(c => [c.rootfs, c.logs]), ...own])
      return [p.uid, { containers, volumes: p.volumes.map(volume), total }]
    }),
  )
}

/** Volumes with a file system of their own; one that does not answer, or of which nobody can tell, is left out. */
async function fileSystems(volumes: readonly MountedVolume[]): Promise<Map<string, VolumeStats>> {
  const time = formatTime()
  const look = async ({ path, usage, stats }: MountedVolume): Promise<VolumeStats | undefined> =>
    (await stats?.()) ?? (usage === 'filesystem' ? await fsStats(path, time) : undefined)
  const asked = volumes.filter(v => v.usage === 'filesystem' || v.stats)
  const found = await Promise.all(asked.map(async v => [v.path, await look(v).catch(() => undefined)] as const))
  return new Map(found.flatMap(([path, fs]) => (fs ? [[path, fs] as const] : [])))
}
