/** fsGroup: everything in a volume belongs to the group and the group may write it; new files inherit it. */
import { chmod, lchown, lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Does nothing when the root is right already, so that a restart does not walk a large volume again; nor without root, which alone gives
 * files away.
 */
export async function ownByGroup(root: string, gid: number | undefined): Promise<void> {
  if (gid === undefined || process.getuid?.() !== 0) return
  const info = await lstat(root)
  if (info.gid === gid && (info.mode & 0o2070) === 0o2070) return
  await own(root, gid)
}

async function own(path: string, gid: number): Promise<void> {
  const info = await lstat(path)
  if (info.isDirectory()) for (const name of await readdir(path)) await own(join(path, name), gid)
  await lchown(path, info.uid, gid)
  // chmod comes after chown, which clears the setgid bit, and follows links, which are left alone.
  if (!info.isSymbolicLink()) await chmod(path, (info.mode & 0o7777) | (info.isDirectory() ? 0o2770 : 0o660))
}
