/** Directories in memory: what is secret never reaches the disk. */
import { mkdir } from 'node:fs/promises'
import { listMounts, mount } from '#shared/linux/mount.ts'

/** Mounts a tmpfs on a directory unless one is there. */
export async function ensureTmpfs(directory: string, mode: number, sizeBytes?: number): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o755 })
  if ((await listMounts()).some(m => m.target === directory)) return
  await mount('tmpfs', 'tmpfs', directory, [`mode=${mode.toString(8).padStart(4, '0')}`, ...(sizeBytes ? [`size=${sizeBytes}`] : [])])
}
