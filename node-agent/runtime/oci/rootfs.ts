/**
 * A container's root: private copy-on-write views of layers. The root itself is an overlay of, from the top, the container's own `upper`, the
 * layers of its image and the base of all (hostroot.ts); each tree of the node's that it sees is one of its own, mounted in it.
 */
import { existsSync } from 'node:fs'
import { chmod, chown, cp, lstat, mkdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises'
import { release } from 'node:os'
import { dirname, join } from 'node:path'
import type { ImageFile } from '../images/host-image.ts'
import type { HostRoot } from './hostroot.ts'

export interface ContainerRoot {
  /** The options of the overlay that is to be mounted at `<directory>/root`. */
  overlay: string
  /** Where in it the node's trees are to be mounted, with the options of each overlay. */
  trees: { destination: string; options: string[] }[]
}

/** Makes what the container of `directory` writes to, and tells how its root is put together. */
export async function makeRoot(directory: string, imageLayers: readonly string[], { base, trees }: HostRoot): Promise<ContainerRoot> {
  const overlay = async (name: string, lower: string[]): Promise<string[]> => {
    const [upper, work] = ['upper', 'work'].map(of => join(directory, of, name)) as [string, string]
    await Promise.all([upper, work].map(path => mkdir(path, { recursive: true })))
    const options = [
      `lowerdir=${lower.map(escapeLayer).join(':')}`,
      `upperdir=${escapeOption(upper)}`,
      `workdir=${escapeOption(work)}`,
      // volatile: the upper directory is never mounted twice, so syncing the disk at every unmount serves nobody.
      ...(canVolatile() ? ['volatile'] : []),
    ]
    return options
  }
  await mkdir(join(directory, 'root'), { recursive: true })
  const own = (tree: string): string[] => imageLayers.map(layer => join(layer, tree)).filter(existsSync)
  const [root, ...mounted] = await Promise.all([
    overlay('root', [...imageLayers, base]),
    ...trees.map(async tree => ({
      destination: tree,
      options: await overlay(tree.slice(1).replaceAll('/', '-'), [...own(tree), tree]),
    })),
  ])
  return { overlay: root.join(','), trees: mounted }
}

/** A file of a root that nobody has written to yet, out of its layers, topmost first; empty when none has it. */
export async function readFromLayers(lower: readonly string[], path: string): Promise<string> {
  for (const layer of lower) {
    const text = await readFile(join(layer, path), 'utf8').catch(() => undefined)
    if (text !== undefined) return text
  }
  return ''
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
