/**
 * A container's root: private copy-on-write views of layers. Of an image of the store the root is an overlay of, from the top, the
 * container's own `upper` and the image's layers. Of a host image it is one of `upper`, the image's own files and the base of all
 * (hostroot.ts); each tree of the node's that it sees is an overlay of its own, mounted in it.
 */
import { existsSync } from 'node:fs'
import { chmod, chown, cp, lstat, mkdir, realpath, symlink, writeFile } from 'node:fs/promises'
import { release } from 'node:os'
import { dirname, join, relative } from 'node:path'
import type { ImageFile } from '../images/host-image.ts'
import type { ImageRoot } from '../images/imagestore.ts'
import { lowerLayers, resolveIn, type Found, type LowerLayers } from '../images/lowerlayers.ts'
import type { HostRoot } from './hostroot.ts'

export interface ContainerRoot {
  /** The options of the overlay that is to be mounted at `<directory>/root`; its layers' names begin in the directory `from`. */
  overlay: string
  from: string
  /** What has to be locked, shared, as long as the root is mounted. */
  lock?: string
  /** Where in it the node's trees are to be mounted, with the options of each overlay. */
  trees: { destination: string; options: string[] }[]
  /** The same of the image's volumes: they may be written to whatever the root is. */
  volumes: { destination: string; options: string[] }[]
}

/** Makes what the container of `directory` writes to, below `upper`, and resolves with the options of its overlay. */
async function overlayOptions(directory: string, name: string, lower: readonly string[]): Promise<string[]> {
  const [upper, work] = ['upper', 'work'].map(of => join(directory, of, name)) as [string, string]
  await Promise.all([upper, work].map(path => mkdir(path, { recursive: true })))
  return [
    `lowerdir=${lower.map(escapeLayer).join(':')}`,
    `upperdir=${escapeOption(upper)}`,
    `workdir=${escapeOption(work)}`,
    // volatile: the upper directory is never mounted twice, so syncing the disk at every unmount serves nobody.
    ...(canVolatile() ? ['volatile'] : []),
  ]
}

/** Makes what the container of `directory` writes to, and tells how its root is put together. */
export async function makeRoot(directory: string, imageLayers: readonly string[], { base, trees }: HostRoot): Promise<ContainerRoot> {
  await mkdir(join(directory, 'root'), { recursive: true })
  const own = (tree: string): string[] => imageLayers.map(layer => join(layer, tree)).filter(existsSync)
  const [root, ...mounted] = await Promise.all([
    overlayOptions(directory, 'root', [...imageLayers, base]),
    ...trees.map(async tree => ({
      destination: tree,
      options: await overlayOptions(directory, tree.slice(1).replaceAll('/', '-'), [...own(tree), tree]),
    })),
  ])
  return { overlay: root.join(','), from: directory, trees: mounted, volumes: [] }
}

/** The same of an image of the store, with its volumes. `empty` is an empty directory: overlayfs asks for a layer at least. */
export async function makeImageRoot(
  directory: string,
  image: ImageRoot,
  volumes: readonly string[],
  empty: string,
): Promise<ContainerRoot> {
  await mkdir(join(directory, 'root'), { recursive: true })
  const store = dirname(dirname(image.layers[0]?.directory ?? join(empty, 'fs')))
  // Short names: the options of a mount have room for 4 KiB, and an image may have a hundred layers.
  const lower = image.layers.map(layer => relative(store, layer.directory))
  const view = lowerLayers(image.layers)
  const top = await view.lookup('')
  const [root, ...mounted] = await Promise.all([
    overlayOptions(directory, 'root', lower.length > 0 ? lower : [empty]),
    ...volumes.map((volume, n) => volumeOverlay(directory, view, volume, `volume-${n}`, empty)),
  ])
  // The topmost layer's root says who may enter.
  if (top) await asFound(join(directory, 'upper/root'), top)
  return { overlay: root.join(','), from: store, ...(image.lock === undefined ? {} : { lock: image.lock }), trees: [], volumes: mounted }
}

async function volumeOverlay(
  directory: string,
  view: LowerLayers,
  volume: string,
  name: string,
  empty: string,
): Promise<ContainerRoot['volumes'][number]> {
  // Volumes' names are text of the configuration, those of files are bytes.
  const path = await resolveIn(view, Buffer.from(volume).toString('latin1'))
  const found = path === undefined ? undefined : await view.lookup(path)
  const parts = found?.kind === 'directory' ? (await view.parts(path!)).map(part => part.toString()) : []
  const options = await overlayOptions(directory, name, parts.length > 0 ? parts : [empty])
  if (found?.kind === 'directory') await asFound(join(directory, 'upper', name), found)
  return { destination: `/${volume.split('/').filter(Boolean).join('/')}`, options }
}

async function asFound(path: string, { uid, gid, mode }: Found): Promise<void> {
  await chown(path, uid, gid)
  await chmod(path, mode)
}

/**
 * Writes an image's own files as a layer: paths and what is there. Parents look as they do on the node.
 */
export async function writeLayer(directory: string, files: Readonly<Record<string, ImageFile>>): Promise<void> {
  for (const [path, file] of Object.entries(files)) {
    const real = join(await realpath(nearest(dirname(path))), path.slice(nearest(dirname(path)).length))
    await copyParents(directory, real)
    const target = join(directory, real)
    if ('symlink' in file) await symlink(file.symlink, target)
    else if ('copy' in file) {
      await cp(file.copy, target, { recursive: true })
      if (file.mode !== undefined) await chmod(target, file.mode)
    } else await writeFile(target, file.content, { mode: file.mode ?? 0o644 })
  }
}

const nearest = (path: string): string => (existsSync(path) ? path : nearest(dirname(path)))

/** The directories above `path`, with the owners and modes they have on the node: the topmost layer's count. */
async function copyParents(layer: string, path: string): Promise<void> {
  await mkdir(layer, { recursive: true })
  const parts = dirname(path).split('/').filter(Boolean)
  for (let n = 0; n <= parts.length; n++) {
    const at = `/${parts.slice(0, n).join('/')}`
    const copy = join(layer, at)
    await mkdir(copy, { recursive: true })
    const original = await lstat(at).catch(() => undefined)
    if (original?.isDirectory() !== true) continue
    // Another owner can be had by root only.
    if (process.getuid?.() === 0) await chown(copy, original.uid, original.gid)
    await chmod(copy, original.mode & 0o7777)
  }
}

// In overlayfs options a comma ends an option and a colon a layer; both can be escaped.
const escapeOption = (path: string): string => path.replace(/[\\,]/g, '\\$&')
const escapeLayer = (path: string): string => path.replace(/[\\,:]/g, '\\$&')

/** Whether overlayfs takes `volatile`: Linux 5.10 and later. */
function canVolatile(): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number)
  return major > 5 || (major === 5 && minor >= 10)
}
