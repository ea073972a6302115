/** Mounting in the ways of drivers: idempotent, and undone as a whole. */
import { mkdir, rm, rmdir, writeFile } from 'node:fs/promises'
import { listMounts, unmount } from '#shared/linux/mount.ts'
import { run } from '#shared/linux/run.ts'

export const isMounted = async (path: string): Promise<boolean> => (await listMounts()).some(m => m.target === path)

/** Mounts what is at `source` at `target` too: a directory, or a file when it is a device. */
export async function bindMount(source: string, target: string, readOnly: boolean, kind: 'directory' | 'device'): Promise<void> {
  if (kind === 'directory') await mkdir(target, { recursive: true, mode: 0o750 })
  else await writeFile(target, '', { flag: 'a' })
  if (!(await isMounted(target))) await run('mount', ['--bind', source, target])
  if (readOnly && kind === 'directory') await run('mount', ['-o', 'remount,bind,ro', target])
}

/**
 * Unmounts a directory, in every mount namespace: one that was copied from ours would hold what is mounted for as long as it lives, and a
 * directory's removal takes its mounts along everywhere. It is there again afterwards, unless something lies in it.
 */
export async function unmountEverywhere(directory: string): Promise<void> {
  for (let tries = 0; (await isMounted(directory)) && tries < 10; tries++) await unmount([directory])
  try {
    await rmdir(directory)
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTEMPTY') return
    throw e
  }
  await mkdir(directory, { mode: 0o750 })
}

/** Never removes anything that is in a directory. */
export async function unbind(target: string): Promise<void> {
  for (let tries = 0; (await isMounted(target)) && tries < 10; tries++) await unmount([target])
  await rmdir(target).catch(async (e: NodeJS.ErrnoException) => {
    if (e.code === 'ENOENT') return
    if (e.code !== 'ENOTDIR') throw e
    await rm(target, { force: true })
  })
}
