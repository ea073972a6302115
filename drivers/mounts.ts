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

/** Never removes anything that is in a directory. */
export async function unbind(target: string): Promise<void> {
  for (let tries = 0; (await isMounted(target)) && tries < 10; tries++) await unmount([target])
  await rmdir(target).catch(async (e: NodeJS.ErrnoException) => {
    if (e.code === 'ENOENT') return
    if (e.code !== 'ENOTDIR') throw e
    await rm(target, { force: true })
  })
}
