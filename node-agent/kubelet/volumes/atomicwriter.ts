/**
 * Replaces the whole content of a directory at once: files are in a directory of their own, `..data` points at it, and every visible
 * name is a link through `..data`. A reader sees the old set or the new one, never a mixture.
 */
import { chmod, chown, mkdir, mkdtemp, readFile, readdir, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

export interface ProjectedFile {
  data: Uint8Array
  mode: number
  uid?: number
  gid?: number
}
/** Relative path to file. */
export type Payload = ReadonlyMap<string, ProjectedFile>

const visible = (payload: Payload): Set<string> => new Set([...payload.keys()].map(path => path.split('/')[0]!))

async function filesIn(root: string, at = ''): Promise<string[]> {
  const entries = await readdir(join(root, at), { withFileTypes: true }).catch(() => [])
  const lists = await Promise.all(entries.map(e => (e.isDirectory() ? filesIn(root, join(at, e.name)) : [join(at, e.name)])))
  return lists.flat()
}

async function same(directory: string, payload: Payload): Promise<boolean> {
  const present = await filesIn(directory)
  if (present.length !== payload.size) return false
  for (const path of present) {
    const wanted = payload.get(path)
    if (!wanted) return false
    const [data, info] = await Promise.all([readFile(join(directory, path)), stat(join(directory, path))])
    if (!data.equals(wanted.data) || (info.mode & 0o7777) !== wanted.mode) return false
    if (!mayOwn) continue
    if ((wanted.uid !== undefined && info.uid !== wanted.uid) || (wanted.gid !== undefined && info.gid !== wanted.gid)) return false
  }
  return true
}

/** `..2026_11_21_02_13_38.` and a random end, as upstream names them. */
const stamp = (now: Date): string => `..${now.toISOString().slice(0, 19).replace(/[-T:]/g, '_')}.`

/** Only root gives files away. */
const mayOwn = process.getuid?.() === 0

/** A group's files, which it may read; nobody but the kubelet writes them. */
const ownedBy = (group: number, files: Payload): Payload =>
  new Map([...files].map(([path, file]) => [path, { ...file, gid: group, mode: file.mode | 0o440 }]))

async function ownDirectory(directory: string, group: number): Promise<void> {
  const { mode, gid } = await stat(directory)
  if (gid === group && (mode & 0o2550) === 0o2550) return
  await chown(directory, -1, group)
  // After chown, which clears the setgid bit.
  await chmod(directory, (mode & 0o7777) | 0o2550)
}

/**
 * Resolves true when something changed. `group` is the pod's fsGroup, which gets all of it as upstream gives volumes that are only read. A
 * path must be relative and must not lead out; the caller's API validation sees to that, and so does this.
 */
export async function atomicWrite(target: string, files: Payload, group?: number): Promise<boolean> {
  const payload = group === undefined ? files : ownedBy(group, files)
  const ownGroup = mayOwn ? group : undefined
  for (const path of payload.keys())
    if (path === '' || path.startsWith('/') || path.split('/').includes('..')) throw new Error(`invalid path: ${path}`)
  const old = await readlink(join(target, '..data')).catch(() => undefined)
  const unchanged = old !== undefined && (await same(join(target, old), payload))
  if (!unchanged) {
    const fresh = await mkdtemp(join(target, stamp(new Date())))
    await chmod(fresh, 0o755)
    const directories = new Set([target, fresh])
    for (const [path, { data, mode, uid, gid }] of payload) {
      const at = join(fresh, path)
      await mkdir(dirname(at), { recursive: true, mode: 0o755 })
      for (let up = dirname(at); up !== fresh; up = dirname(up)) directories.add(up)
      await writeFile(at, data)
      // The umask would take away what writeFile is told.
      await chmod(at, mode)
      if (mayOwn && (uid !== undefined || gid !== undefined)) await chown(at, uid ?? 0, gid ?? 0)
    }
    if (ownGroup !== undefined) for (const directory of directories) await ownDirectory(directory, ownGroup)
    const link = join(target, '..data_tmp')
    await rm(link, { force: true })
    await symlink(fresh.slice(target.length + 1), link)
    await rename(link, join(target, '..data'))
  }
  const wanted = visible(payload)
  const current = await readlink(join(target, '..data'))
  for (const entry of await readdir(target)) {
    if (entry === '..data' || entry === current || wanted.delete(entry)) continue
    await rm(join(target, entry), { recursive: true, force: true })
  }
  for (const name of wanted) await symlink(join('..data', name), join(target, name))
  return !unchanged
}
