/** Directories in memory: what is secret never reaches the disk. */
import { chmod, mkdir } from 'node:fs/promises'
import { listMounts, mount } from '#shared/linux/mount.ts'

/** Whether this process may mount at all. */
const mayMount = process.platform === 'linux' && process.getuid?.() === 0

/** Mounts a tmpfs on a directory unless one is there. Without root it stays a plain directory of the node's user. */
export async function ensureTmpfs(directory: string, mode: number, sizeBytes?: number): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o755 })
  if (!mayMount) return await chmod(directory, mode)
  if ((await listMounts()).some(m => m.target === directory)) return
  await mount('tmpfs', 'tmpfs', directory, [`mode=${mode.toString(8).padStart(4, '0')}`, ...(sizeBytes ? [`size=${sizeBytes}`] : [])])
}
