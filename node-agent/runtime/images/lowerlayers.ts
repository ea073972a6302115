/** What the layers below show at a path, as overlayfs would: looked up step by step, so that no link of a layer leads anywhere. */
import { Buffer } from 'node:buffer'
import { lstat, readFile, readlink } from 'node:fs/promises'

/** An unpacked layer. Paths are latin1 strings of their bytes, relative, and without links in them; the root's is ''. */
export interface LowerLayer {
  directory: string
  /** Directories that hide what lies below them. */
  opaque: readonly string[]
}

export interface Found {
  kind: 'directory' | 'symlink' | 'file' | 'other'
  /** Where it lies, on the machine. */
  path: Buffer
  /** Of a link. */
  target: string
  mode: number
  uid: number
  gid: number
  size: number
  /** Seconds, as a decimal number. */
  mtime: string
}

export interface LowerLayers {
  /** What is at a path whose parents are directories; undefined when nothing is. The root's is ''. */
  lookup(path: string): Promise<Found | undefined>
  /** The directories that make up the one at this path, the topmost first; none when it is none. */
  parts(path: string): Promise<Buffer[]>
}

export const pathIn = (directory: string, path: string): Buffer =>
  Buffer.concat([Buffer.from(directory), Buffer.from(`/${path}`, 'latin1')])

/** The topmost layer first. */
export function lowerLayers(layers: readonly LowerLayer[]): LowerLayers {
  const opaque = layers.map(layer => new Set(layer.opaque))
  /** Of a directory, the layers that take part in it; the topmost first. */
  const parts = new Map<string, Promise<{ found: Found | undefined; layers: number[] }>>()
  const root = layers.findIndex((_, n) => opaque[n]!.has(''))
  const all = layers.map((_, n) => n).slice(0, root < 0 ? undefined : root + 1)

  function look(path: string): Promise<{ found: Found | undefined; layers: number[] }> {
    const known = parts.get(path)
    if (known) return known
    const looking = search(path)
    parts.set(path, looking)
    // Only directories are asked for again.
    void looking.then(
      ({ layers: own }) => void (own.length === 0 && parts.delete(path)),
      () => parts.delete(path),
    )
    return looking
  }

  async function search(path: string): Promise<{ found: Found | undefined; layers: number[] }> {
    if (path === '') {
      const found = layers.length === 0 ? undefined : await foundAt(pathIn(layers[0]!.directory, ''))
      return { found: found === 'whiteout' ? undefined : found, layers: all }
    }
    const slash = path.lastIndexOf('/')
    const among = slash < 0 ? all : (await look(path.slice(0, slash))).layers
    const own: number[] = []
    let top: Found | undefined
    for (const n of among) {
      const found = await foundAt(pathIn(layers[n]!.directory, path))
      if (found === undefined) continue
      if (found === 'whiteout') break
      if (found.kind !== 'directory') return { found: top ?? found, layers: own }
      top ??= found
      own.push(n)
      if (opaque[n]!.has(path)) break
    }
    return { found: top, layers: own }
  }
  return {
    lookup: async path => (await look(path)).found,
    parts: async path => (await look(path)).layers.map(n => pathIn(layers[n]!.directory, path)),
  }
}

/** As many links the kernel follows. */
const MAX_FOLLOWED = 40

/**
 * Where a path leads, links followed within the image, none of whose directories need be there: a path without links. Undefined: in
 * circles.
 */
export async function resolveIn(layers: LowerLayers, path: string): Promise<string | undefined> {
  const rest = path.split('/').reverse()
  let at = ''
  for (let followed = 0; rest.length > 0;) {
    const part = rest.pop()!
    if (part === '' || part === '.') continue
    const parent = at.slice(0, Math.max(0, at.lastIndexOf('/')))
    if (part === '..') {
      at = parent
      continue
    }
    const next = at === '' ? part : `${at}/${part}`
    const found = await layers.lookup(next)
    if (found?.kind !== 'symlink') {
      at = next
      continue
    }
    if (++followed > MAX_FOLLOWED) return undefined
    rest.push(...found.target.split('/').reverse())
    if (found.target.startsWith('/')) at = ''
  }
  return at
}

/** A small file of an image, as text; empty when it has none, or one of more than a MiB. */
export async function readIn(layers: LowerLayers, path: string): Promise<string> {
  const at = await resolveIn(layers, path)
  const found = at === undefined ? undefined : await layers.lookup(at)
  return found?.kind === 'file' && found.size <= 1 << 20 ? await readFile(found.path, 'utf8') : ''
}

const second = 1_000_000_000n
/** Of nanoseconds since 1970. */
export function decimalSeconds(ns: bigint): string {
  const rest = ((ns % second) + second) % second
  const whole = (ns - rest) / second
  // Before 1970 the decimal number counts away from it.
  const [shown, part] = whole < 0n && rest > 0n ? [whole + 1n, second - rest] : [whole, rest]
  return `${shown === 0n && whole < 0n ? '-0' : shown}.${String(part).padStart(9, '0')}`
}

async function foundAt(path: Buffer): Promise<Found | 'whiteout' | undefined> {
  const info = await lstat(path, { bigint: true }).catch((e: NodeJS.ErrnoException) =>
    e.code === 'ENOENT' || e.code === 'ENOTDIR' ? undefined : Promise.reject(e),
  )
  if (info === undefined) return undefined
  if (info.isCharacterDevice() && info.rdev === 0n) return 'whiteout'
  const kind = info.isDirectory() ? 'directory' : info.isSymbolicLink() ? 'symlink' : info.isFile() ? 'file' : 'other'
  const target = kind === 'symlink' ? (await readlink(path, 'buffer')).toString('latin1') : ''
  const [mode, uid, gid, size] = [info.mode, info.uid, info.gid, info.size].map(Number) as [number, number, number, number]
  return { kind, path, target, mode: mode & 0o7777, uid, gid, size, mtime: decimalSeconds(info.mtimeNs) }
}
