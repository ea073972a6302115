/** fsGroup: everything in a volume belongs to the group and the group may write it; new files inherit it. */
import { chmod, chown, lchown, readdir, type FileHandle } from 'node:fs/promises'
import { openDirectory, openEntry, pathOf } from '#shared/linux/descriptor.ts'

/** Each level holds a descriptor. A container can make a tree of any depth. */
const MAX_DEPTH = 500
const DIRECTORY = 0o2770
const FILE = 0o660

/**
 * Does nothing when the root is right already (OnRootMismatch), unless `always`; nor without root, which alone gives files away. The
 * volume may be in use, by a container that exchanges directories for links: no file outside of it is touched.
 */
export async function ownByGroup(root: string, gid: number | undefined, always = false): Promise<void> {
  if (gid === undefined || process.getuid?.() !== 0) return
  const directory = await openDirectory(root)
  try {
    const info = await directory.stat()
    if (!always && info.gid === gid && (info.mode & 0o2070) === 0o2070) return
    await own(directory, gid, 0)
  } finally {
    await directory.close()
  }
}

async function own(directory: FileHandle, gid: number, depth: number): Promise<void> {
  if (depth > MAX_DEPTH) throw new Error(`the volume has more than ${MAX_DEPTH} levels of directories`)
  for (const name of await readdir(pathOf(directory))) {
    const entry = await openEntry(directory, name).catch((e: NodeJS.ErrnoException) =>
      e.code === 'ENOENT' ? undefined : Promise.reject(e),
    )
    // Removed meanwhile.
    if (entry === undefined) continue
    try {
      const info = await entry.stat()
      if (info.isDirectory()) await own(entry, gid, depth + 1)
      else if (info.isSymbolicLink()) await lchown(pathOf(directory, name), info.uid, gid)
      else await give(entry, gid, FILE)
    } finally {
      await entry.close()
    }
  }
  await give(directory, gid, DIRECTORY)
}

async function give(file: FileHandle, gid: number, mode: number): Promise<void> {
  const info = await file.stat()
  if (info.gid === gid && (info.mode & mode) === mode) return
  await chown(pathOf(file), info.uid, gid)
  // After chown, which clears the setgid bit.
  await chmod(pathOf(file), (info.mode & 0o7777) | mode)
}
