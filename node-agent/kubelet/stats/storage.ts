/** What pods have written on the node: their containers' own files, their logs, their volumes. */
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import { containerDirectory } from '../pod/directory.ts'
import { uidOf } from '../pod/containers.ts'
import type { PodWorker } from '../pod/worker.ts'
import { diskUsage, sumUsage, type DiskUsage } from './diskusage.ts'

export interface PodStorage {
  containers: { name: string; rootfs: DiskUsage; logs: DiskUsage }[]
  volumes: ({ name: string } & DiskUsage)[]
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
    volumes: volumes.mounted().filter(v => v.onNodeDisk),
  }))
  const paths = places.flatMap(p => [p.hosts, ...p.containers.flatMap(c => [c.rootfs, c.logs]), ...p.volumes.map(v => v.path)])
  const used = await diskUsage(paths)
  const of = (path: string): DiskUsage => used.get(path) ?? { usedBytes: 0 }
  return new Map(
    places.map(p => {
      const containers = p.containers.map(c => ({ name: c.name, rootfs: of(c.rootfs), logs: of(c.logs) }))
      const volumes = p.volumes.map(v => ({ name: v.name, ...of(v.path) }))
      return [p.uid, { containers, volumes, total: sumUsage([of(p.hosts), ...containers.flatMap(c => [c.rootfs, c.logs]), ...volumes]) }]
    }),
  )
}
