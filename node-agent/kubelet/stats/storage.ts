/** What pods have written on the node: their containers' own files, their logs, their volumes. */
import { formatTime } from '#shared/machinery/time.ts'
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import { containerDirectory } from '../pod/directory.ts'
import { uidOf } from '../pod/containers.ts'
import type { MountedVolume } from '../volumes/podvolumes.ts'
import type { PodWorker } from '../pod/worker.ts'
import { diskUsage, sumUsage, type DiskUsage } from './diskusage.ts'
import { fsStats, type FsStats } from './machine.ts'

/** Of a file system of its own, all of that. */
export type VolumeUsage = { name: string; claim?: string; fs?: FsStats } & DiskUsage

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
    hosts: directory.hosts,
    containers: Object.entries(state.containers).map(([name, { current }]) => ({
      name,
      rootfs: runtime.writableLayer(containerDirectory(directory, name, current.attempt)),
      logs: `${directory.logs}/${name}`,
    })),
    volumes: volumes.mounted().filter(v => v.usage !== 'none'),
  }))
  const paths = places.flatMap(p => [
    p.hosts,
    ...p.containers.flatMap(c => [c.rootfs, c.logs]),
    ...p.volumes.flatMap(v => (v.usage === 'tree' ? v.path : [])),
  ])
  const [used, systems] = await Promise.all([diskUsage(paths), fileSystems(places.flatMap(p => p.volumes))])
  const of = (path: string): DiskUsage => used.get(path) ?? { usedBytes: 0 }
  const volume = ({ name, path, claim }: MountedVolume): VolumeUsage => {
    const fs = systems.get(path)
    return { name, ...(claim ? { claim } : {}), ...(fs ? { fs, usedBytes: fs.usedBytes, inodesUsed: fs.inodesUsed } : of(path)) }
  }
  return new Map(
    places.map(p => {
      const containers = p.containers.map(c => ({ name: c.name, rootfs: of(c.rootfs), logs: of(c.logs) }))
      const own = p.volumes.filter(v => v.onNodeDisk).map(v => of(v.path))
      const total = sumUsage([of(p.hosts), ...containers.flatMap(c => [c.rootfs, c.logs]), ...own])
      return [p.uid, { containers, volumes: p.volumes.map(volume), total }]
    }),
  )
}

/** Volumes with a file system of their own; one that does not answer is left out. */
async function fileSystems(volumes: readonly MountedVolume[]): Promise<Map<string, FsStats>> {
  const time = formatTime()
  const asked = volumes.filter(v => v.usage === 'filesystem')
  const found = await Promise.all(asked.map(async v => [v.path, await fsStats(v.path, time).catch(() => undefined)] as const))
  return new Map(found.flatMap(([path, fs]) => (fs ? [[path, fs] as const] : [])))
}
