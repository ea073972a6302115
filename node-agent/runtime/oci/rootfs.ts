/**
 * A container's root: a private copy-on-write view of the node's root. From the top: the container's own `upper`, the layers of its image,
 * `places` (empty directories), `hidden` (whiteouts that cut off what containers must not see), and `/`. The two common layers are made
 * once a node.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, chown, cp, lstat, mkdir, readFile, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { release } from 'node:os'
import { dirname, join } from 'node:path'
import { run } from '#shared/linux/run.ts'
import type { ImageFile } from '../images/host-image.ts'

/** Hidden from every container, with an empty directory in its place. */
const PRIVATE = [
  ['/root', 0o700],
  ['/home', 0o755],
  ['/run', 0o755],
  ['/tmp', 0o1777],
  ['/var/tmp', 0o1777],
  ['/var/log', 0o755],
] as const

export interface Layers {
  /** For `lowerdir`, topmost first, without the image's. */
  lower: string[]
}

/**
 * Makes (or finds) the common layers below `directory`. `masks` are paths of the machine that disappear in containers; `directory` and
 * everything that belongs to the runtime must lie below one of them.
 */
export async function makeLayers(directory: string, masks: readonly string[]): Promise<Layers> {
  const hidden = await Promise.all(masks.map(async mask => (existsSync(mask) ? [await realpath(mask)] : [])))
  const paths = outermost(
    [...PRIVATE.map(([path]) => path).filter(path => existsSync(path)), ...hidden.flat()].filter(path => path !== '/'),
  )
  const name = createHash('sha256').update(paths.join('\n')).digest('hex').slice(0, 12)
  const target = join(directory, name)
  if (!existsSync(target)) {
    const fresh = `${target}.${process.pid}`
    await rm(fresh, { recursive: true, force: true })
    await mkdir(fresh, { recursive: true })
    for (const path of paths) await copyParents(join(fresh, 'hidden'), path)
    for (const [path] of PRIVATE) await copyParents(join(fresh, 'places'), path)
    for (const [path, mode] of PRIVATE) {
      await mkdir(join(fresh, 'places', path), { recursive: true })
      await chmod(join(fresh, 'places', path), mode)
    }
    // overlayfs: a character device 0:0 hides what lies below. mknod(1) takes one name a call.
    await run('sh', ['-c', 'for p; do mknod "$p" c 0 0 || exit 1; done', 'sh', ...paths.map(path => join(fresh, 'hidden', path))])
    await rename(fresh, target)
  }
  return { lower: [join(target, 'places'), join(target, 'hidden'), '/'] }
}

/**
 * What the container of `directory` has for a root: makes its own layer and resolves with the options of its overlay, which is mounted at
 * `<directory>/root` when it starts.
 */
export async function makeRoot(directory: string, lower: readonly string[]): Promise<string> {
  await Promise.all(['upper', 'work', 'root'].map(name => mkdir(join(directory, name), { recursive: true })))
  const options = [
    `lowerdir=${lower.map(escapeLayer).join(':')}`,
    `upperdir=${escapeOption(join(directory, 'upper'))}`,
    `workdir=${escapeOption(join(directory, 'work'))}`,
  ]
  // volatile: the upper directory is never mounted twice, so syncing the disk at every unmount serves nobody.
  return [...options, ...(canVolatile() ? ['volatile'] : [])].join(',')
}

/** A file of a root that nobody has written to yet, out of its layers; empty when none has it. */
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

const outermost = (paths: readonly string[]): string[] => {
  const unique = [...new Set(paths)].sort()
  return unique.filter(path => !unique.some(other => other !== path && path.startsWith(`${other}/`)))
}

// In overlayfs options a comma ends an option and a colon a layer; both can be escaped.
const escapeOption = (path: string): string => path.replace(/[\\,]/g, '\\$&')
const escapeLayer = (path: string): string => path.replace(/[\\,:]/g, '\\$&')

/** Whether overlayfs takes `volatile`: Linux 5.10 and later. */
function canVolatile(): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number)
  return major > 5 || (major === 5 && minor >= 10)
}
