/** Directories in memory: what is secret never reaches the disk. */
import { chmod, mkdir, symlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { listMounts, mount } from '#shared/linux/mount.ts'

/** Whether this process may mount at all. */
export const mayMount = process.platform === 'linux' && process.getuid?.() === 0
const underWay = new Map<string, Promise<void>>()

/**
 * Mounts a tmpfs on a directory unless one is there, or with `pageBytes` a file system of huge pages; with `gid` its files belong to that
 * group, from the first on. Without root it stays a plain directory of the node's user.
 */
export function ensureTmpfs(
  directory: string,
  mode: number,
  { sizeBytes, gid, pageBytes }: { sizeBytes?: number | undefined; gid?: number | undefined; pageBytes?: number } = {},
): Promise<void> {
  const make = async (): Promise<void> => {
    await mkdir(directory, { recursive: true, mode: 0o755 })
    if (!mayMount) return await chmod(directory, mode)
    if ((await listMounts()).some(m => m.target === directory)) return
    const options = {
      mode: (gid === undefined ? mode : mode | 0o2070).toString(8).padStart(4, '0'),
      size: sizeBytes || undefined,
      gid,
      pagesize: pageBytes,
    }
    const type = pageBytes === undefined ? 'tmpfs' : 'hugetlbfs'
    const given = Object.entries(options).filter(([, value]) => value !== undefined)
    await mount(
      type,
      type,
      directory,
      given.map(([name, value]) => `${name}=${value}`),
    )
  }
  // A second mount would hide what the first holds already.
  let made = underWay.get(directory)
  if (!made) underWay.set(directory, (made = make().finally(() => underWay.delete(directory))))
  return made
}

/**
 * Makes `directory`, which is below the tmpfs `root`, unless it is there, and a link that leads to it. One tmpfs for all pods of a node: a
 * pod with a token costs no mount.
 */
export async function directoryInMemory(root: string, directory: string, link: string): Promise<string> {
  await ensureTmpfs(root, 0o750)
  await Promise.all([mkdir(directory, { recursive: true, mode: 0o755 }), mkdir(dirname(link), { recursive: true, mode: 0o755 })])
  await symlink(directory, link).catch((e: NodeJS.ErrnoException) => (e.code === 'EEXIST' ? undefined : Promise.reject(e)))
  return directory
}
