/**
 * Volumes in which what a container mounts is mounted on the node too (mountPropagation Bidirectional). A volume is seldom a mount of its
 * own, which the kernel asks for: each gets one, that belongs to the same peer group as the one that it lies in.
 */
import { existsSync } from 'node:fs'
import { mkdir, realpath, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { listMounts, unmount } from '#shared/linux/mount.ts'
import { run } from '#shared/linux/run.ts'
import type { ContainerMount } from '../runtime.ts'

/** The same mounts; those that are shared have a source that is a mount, below `directory` when it had to be made. */
export async function shareMounts(mounts: readonly ContainerMount[], directory: string): Promise<ContainerMount[]> {
  if (!mounts.some(m => m.propagation === 'rshared')) return [...mounts]
  const points = new Set((await listMounts()).map(m => m.target))
  return await Promise.all(
    mounts.map(async (mount, n) => {
      if (mount.propagation !== 'rshared' || mount.source === undefined || points.has(await realpath(mount.source))) return mount
      const source = join(directory, String(n))
      const isDirectory = (await stat(mount.source)).isDirectory()
      await mkdir(isDirectory ? source : directory, { recursive: true })
      if (!isDirectory) await writeFile(source, '')
      await run('mount', ['--rbind', mount.source, source])
      return { ...mount, source }
    }),
  )
}

/** Unmounts what was made, and nothing of what was mounted for the node in it. Idempotent. */
export async function unshareMounts(directory: string): Promise<void> {
  if (!existsSync(directory)) return
  const below = async (): Promise<string[]> => (await listMounts()).map(m => m.target).filter(t => t.startsWith(`${directory}/`))
  // A peer would take what lies in it along everywhere.
  for (const target of (await below()).filter(t => dirname(t) === directory)) await run('mount', ['--make-rprivate', target])
  // Until then what was mounted for the node came here as well.
  await unmount(await below())
}
