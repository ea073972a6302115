/**
 * subPath of a volume mount: a place inside the volume, never outside of it. Containers may change the volume at any time, so the place is
 * not a path but a file that is open: it is found one name at a time and bound to a path that containers cannot reach.
 */
import { constants } from 'node:fs'
import { chmod, mkdir, open, readFile, readlink, realpath, rm, rmdir, stat, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { openDirectory, openEntry, pathOf } from '#shared/linux/descriptor.ts'
import { listMounts, unmount } from '#shared/linux/mount.ts'
import { run, type CommandError } from '#shared/linux/run.ts'

/** As the kernel follows at most. */
const MAX_LINKS = 40

const outside = (subPath: string): Error => new Error(`subPath ${JSON.stringify(subPath)} leads out of its volume`)
const words = (path: string): string[] => path.split('/').filter(p => p !== '' && p !== '.')
function check(subPath: string): void {
  if (subPath.startsWith('/') || subPath.split('/').includes('..')) throw outside(subPath)
}

/**
 * Opens the file or directory at `subPath`; directories that are missing are made, unless `absent` shall say so. Symbolic links are
 * followed as far as they stay inside the volume. Throws without naming a path of the node: what it throws is shown to the pod's owner.
 */
async function openSubPath(volumePath: string, subPath: string, absent = false): Promise<FileHandle> {
  check(subPath)
  // The directories from the volume's root down to where we are, so that `..` of a link leads to where we came from.
  const stack = [await openDirectory(volumePath)]
  const at = (): FileHandle => stack.at(-1)!
  try {
    const { mode } = await at().stat()
    const left = words(subPath)
    for (let links = 0; left.length > 0;) {
      const name = left.shift()!
      if (name === '..') {
        if (stack.length === 1) throw outside(subPath)
        await stack.pop()!.close()
        continue
      }
      const next = await openEntry(at(), name).catch((e: NodeJS.ErrnoException) => (e.code === 'ENOENT' ? undefined : Promise.reject(e)))
      if (next === undefined) {
        if (absent) throw Object.assign(new Error(), { code: 'ENOENT' })
        await mkdir(pathOf(at(), name))
        left.unshift(name)
        const made = await openEntry(at(), name)
        // Not by its name: that may be another file's by now. The umask would take away what mkdir is told.
        if ((await made.stat()).isDirectory()) await chmod(pathOf(made), mode & 0o7777).finally(() => made.close())
        else await made.close()
      } else if ((await next.stat()).isSymbolicLink()) {
        await next.close()
        const target = await readlink(pathOf(at(), name))
        if (target.startsWith('/')) throw outside(subPath)
        if (++links > MAX_LINKS) throw Object.assign(new Error(), { code: 'ELOOP' })
        left.unshift(...words(target))
      } else stack.push(next)
    }
    return stack.pop()!
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    throw code === undefined ? e : new Error(`subPath ${JSON.stringify(subPath)}: ${code}`)
  } finally {
    await Promise.all(stack.map(handle => handle.close()))
  }
}

/**
 * Mounts the place at `subPath` of the volume on `target`, which is made: a path of the kubelet's own. What is mounted there already stays
 * when it is the same place. Directories that are missing are made, unless not to. As root on Linux only.
 */
export async function bindSubPath(volumePath: string, subPath: string, target: string, make = true): Promise<void> {
  const place = await openSubPath(volumePath, subPath, !make)
  try {
    const wanted = await place.stat()
    const isPlace = async (): Promise<boolean> => {
      const { dev, ino } = await stat(target)
      return dev === wanted.dev && ino === wanted.ino
    }
    if ((await listMounts()).some(m => m.target === target)) {
      if (await isPlace()) return
      await unmount([target])
    }
    // It may be the place of a file, and now of a directory.
    await rmdir(target).catch(() => rm(target, { force: true }))
    await mkdir(wanted.isDirectory() ? target : dirname(target), { recursive: true, mode: 0o750 })
    if (!wanted.isDirectory()) await (await open(target, constants.O_CREAT | constants.O_WRONLY, 0o640)).close()
    // Without --no-canonicalize mount would make a path of the descriptor again.
    const bind = run('mount', ['--no-canonicalize', '--bind', `/proc/${process.pid}/fd/${place.fd}`, target])
    await bind.catch((e: CommandError) =>
      Promise.reject(new Error(`subPath ${JSON.stringify(subPath)} cannot be mounted: mount: ${e.code}`)),
    )
    if (!(await isPlace())) {
      await unmount([target])
      throw new Error(`subPath ${JSON.stringify(subPath)}: another place was mounted`)
    }
  } finally {
    await place.close()
  }
}

/**
 * The real path of `subPath` in the volume; directories that are missing are made. Throws when links lead out of the volume. For a node
 * without root, whose containers may do no more than the node-agent itself.
 */
export async function resolveSubPath(volumePath: string, subPath: string): Promise<string> {
  check(subPath)
  const root = await realpath(volumePath)
  const within = (path: string): boolean => path === root || path.startsWith(`${root}/`)
  const { mode } = await stat(root)
  let at = root
  for (const part of words(subPath)) {
    const next = join(at, part)
    const real = await realpath(next).catch(() => undefined)
    if (real === undefined) {
      await mkdir(next, { mode: mode & 0o7777 })
      at = next
      continue
    }
    if (!within(real)) throw outside(subPath)
    at = real
  }
  return at
}

/** The text of a plain file in a volume of at most so many bytes, undefined when there is none. Links never lead out of the volume. */
export async function readInVolume(volumePath: string, path: string, maxBytes: number): Promise<string | undefined> {
  if (process.platform !== 'linux') {
    const file = await realpath(join(volumePath, path)).catch(() => undefined)
    if (file === undefined) return undefined
    if (!file.startsWith(`${await realpath(volumePath)}/`)) throw outside(path)
    return await readFile(file, 'utf8')
  }
  const place = await openSubPath(volumePath, path, true).catch((e: Error) =>
    e.message.endsWith(': ENOENT') ? undefined : Promise.reject(e),
  )
  if (place === undefined) return undefined
  try {
    const found = await place.stat()
    if (!found.isFile()) throw new Error(`${JSON.stringify(path)} is no file`)
    if (found.size > maxBytes) throw new Error(`${JSON.stringify(path)} is larger than ${maxBytes} bytes`)
    return await readFile(pathOf(place), 'utf8')
  } finally {
    await place.close()
  }
}
