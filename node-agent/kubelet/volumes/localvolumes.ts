/**
 * Directories of this node that are volumes of the cluster: made and removed when the local provisioner asks. One whose capacity is to be
 * enforced is a file system in a sparse file, mounted on the directory: `images/NAME.img` beside it. Of one that is a device the directory
 * is empty, and `images/NAME.raw` is what is on it.
 */
import { existsSync } from 'node:fs'
import { chmod, mkdir, open, readdir, rename, rm, rmdir, statfs } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { makeExt4 } from '#shared/linux/ext4.ts'
import { attachLoop, detachLoop, devicesOf } from '#shared/linux/loop.ts'
import { listMounts, mount, unmount } from '#shared/linux/mount.ts'
import { removeTree } from '#shared/linux/removetree.ts'
import { badRequest, StatusError } from '#shared/machinery/status.ts'

const nameForm = /^pvc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
/** Smaller file systems have no room for anything. */
const smallestImage = 2 * 1024 * 1024
const mkfsMs = 60_000

/** A directory of the node's disk, a file system of the volume's own, or a device: the last two hold no more than their capacity. */
export const forms = ['directory', 'filesystem', 'device'] as const
export type Form = (typeof forms)[number]

export interface LocalVolumes {
  list(): Promise<string[]>
  /**
   * Idempotent. `capacity` in bytes. Rejects with 507 when the disk is smaller, with 501 when this node has no devices to make a volume of.
   */
  create(name: string, capacity: number, form: Form): Promise<{ path: string }>
  /** Idempotent, also when it was interrupted. */
  remove(name: string): Promise<void>
}

const directoryOf = (rootDir: string): string => join(rootDir, 'local-volumes')
const imageOf = (path: string): string => join(dirname(path), 'images', `${basename(path)}.img`)
const rawOf = (path: string): string => join(dirname(path), 'images', `${basename(path)}.raw`)

export function localVolumes(rootDir: string): LocalVolumes {
  const root = directoryOf(rootDir)
  const place = (name: string): string => {
    if (!nameForm.test(name)) throw badRequest(`invalid volume name: ${JSON.stringify(name)}`)
    return join(root, name)
  }
  return {
    list: async () => (await readdir(root).catch(() => [])).filter(name => nameForm.test(name)),
    async create(name, capacity, form) {
      const path = place(name)
      if (!(Number.isFinite(capacity) && capacity >= 0)) throw badRequest('invalid capacity')
      await mkdir(root, { recursive: true, mode: 0o711 })
      const { blocks, bsize } = await statfs(root)
      if (capacity > blocks * bsize)
        throw new StatusError(507, 'InsufficientStorage', `the node's disk has ${blocks * bsize} bytes, ${capacity} are asked for`)
      // The directory first: by it a sweep finds what was begun.
      await mkdir(path, { recursive: true })
      if (form === 'device') await makeImage(rawOf(path), capacity, async () => {})
      if (form === 'filesystem') {
        await makeImage(imageOf(path), Math.max(capacity, smallestImage), (file, bytes) => makeExt4(file, bytes, mkfsMs))
        await mountLocalVolume(path)
      }
      // Whoever a container runs as may write, as in an emptyDir. Not subject to the umask.
      await chmod(path, 0o777)
      return { path }
    },
    async remove(name) {
      const path = place(name)
      await unmount([path])
      await detachLocalDevice(path)
      await Promise.all([imageOf(path), rawOf(path)].flatMap(file => [`${file}.new`, file]).map(file => rm(file, { force: true })))
      await removeTree(path)
    },
  }
}

/** What is there by its name is whole: it was made under another one. */
async function makeImage(image: string, bytes: number, fill: (file: string, bytes: number) => Promise<unknown>): Promise<void> {
  if (existsSync(image)) return
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || !existsSync('/dev/loop-control'))
    throw new StatusError(501, 'NotImplemented', 'this node has no loop devices to make a volume of that size of')
  await mkdir(dirname(image), { recursive: true, mode: 0o700 })
  const begun = `${image}.new`
  const file = await open(begun, 'w', 0o600)
  await file.truncate(bytes)
  await file.close()
  await fill(begun, bytes)
  await rename(begun, image)
}
/** Mounts what belongs on the directory of a volume, if anything does: a node that was started anew has lost its mounts. Idempotent. */
export async function mountLocalVolume(path: string): Promise<void> {
  const image = imageOf(path)
  if (!existsSync(image) || (await listMounts()).some(m => m.target === path)) return
  await mount('ext4', image, path, ['loop', 'nosuid', 'nodev'])
  // Databases want an empty directory.
  await rmdir(join(path, 'lost+found')).catch(() => {})
}

/** Whether a path is the directory of a volume of this node. */
export const isLocalVolume = (path: string, rootDir: string): boolean =>
  dirname(path) === directoryOf(rootDir) && nameForm.test(basename(path))

/** Whether the volume of this directory is a device. */
export const isLocalDevice = (path: string): boolean => nameForm.test(basename(path)) && existsSync(rawOf(path))
/** Undefined while it is attached to nothing. */
export const localDevice = async (path: string): Promise<string | undefined> => (await devicesOf(rawOf(path)))[0]
/** Idempotent; one at a time. */
export async function attachLocalDevice(path: string): Promise<void> {
  if ((await localDevice(path)) === undefined) await attachLoop(rawOf(path))
}
/** Idempotent. */
export async function detachLocalDevice(path: string): Promise<void> {
  if (isLocalDevice(path)) for (const device of await devicesOf(rawOf(path))) await detachLoop(rawOf(path), device)
}
