/**
 * Turns a layer's archive, which nobody is to trust, into one that the system's tar can unpack as it stands: every path has been resolved
 * as if the image were the root, no entry is written through a link, devices and attributes that have no business in an image are not
 * there. What cannot be said before all files are there, hard links, whiteouts and opaque directories, is told in the end.
 * https://github.com/opencontainers/image-spec/blob/main/layer.md
 */
import { Buffer } from 'node:buffer'
import { ImageError } from '../imageservice.ts'
import type { ByteReader } from './bytereader.ts'
import type { Found, LowerLayers } from './lowerlayers.ts'
import { encodeEntry, paddingOf, readEntry, type TarEntry } from './tarheader.ts'

/** Takes bytes of the new archive; a promise when it has enough for now. */
export type Sink = (bytes: Buffer) => Promise<void> | void

export interface LayerFacts {
  /** All paths are resolved and relative. */
  links: { path: string; target: string }[]
  /** What is hidden of the layers below, unless something took its place. */
  whiteouts: string[]
  opaque: string[]
  entries: number
  /** Of all files. */
  bytes: number
}

const WHITEOUT = '.wh.'
const WHITEOUT_META = '.wh..wh.'
const OPAQUE = '.wh..wh..opq'
/** As many links the kernel follows. */
const MAX_FOLLOWED = 40
/** Of one layer. What has to be known of them until its end is some 100 bytes each. */
const MAX_ENTRIES = 2_000_000
const MAX_PATH = 4095

/** Devices that every container has: the others reach the machine's hardware. */
const harmless = new Set(['1:3', '1:5', '1:7', '1:8', '1:9', '5:0', '5:1', '5:2'])

/** Attributes that mean something within an image; overlayfs' own would change what the layers show. */
const kept = (name: string): boolean =>
  (name.startsWith('user.') && !name.startsWith('user.overlay.')) ||
  name === 'security.capability' ||
  name === 'system.posix_acl_access' ||
  name === 'system.posix_acl_default'

const show = (path: string): string => JSON.stringify(Buffer.from(path, 'latin1').toString('utf8'))

/** The components of a path; what has `..` in it is refused. */
function componentsOf(path: string): string[] {
  if (path.length > MAX_PATH) throw new ImageError(`the layer has a path of ${path.length} bytes`)
  if (path.includes('\0')) throw new ImageError('the layer has a path with a NUL')
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  if (parts.includes('..')) throw new ImageError(`the layer has the path ${show(path)}, which leads out of the image`)
  return parts
}

const joined = (directory: string, name: string): string => (directory === '' ? name : `${directory}/${name}`)

export const copyOf = (name: string, found: Found): TarEntry => ({
  type: found.kind === 'directory' ? 'directory' : 'file',
  name,
  linkname: '',
  mode: found.mode,
  uid: found.uid,
  gid: found.gid,
  size: found.kind === 'file' ? found.size : 0,
  mtime: found.mtime,
  major: 0,
  minor: 0,
  xattrs: new Map(),
})

/** Reads entries to the archive's end; `lower` is what the layers below show. Rejects with ImageError for what may not be. */
export async function translateLayer(archive: ByteReader, lower: LowerLayers, sink: Sink): Promise<LayerFacts> {
  /** What this layer has made: directories, and where links lead. Other files need no keeping. */
  const made = new Map<string, { target: string } | 'directory'>([['', 'directory']])
  const facts: LayerFacts = { links: [], whiteouts: [], opaque: [], entries: 0, bytes: 0 }
  const hidden = new Set<string>()

  const emit = async (entry: TarEntry): Promise<void> => {
    await sink(encodeEntry({ ...entry, name: `./${entry.name}` }))
  }

  /** Whether this layer hides what the layers below have at a path. */
  const isHidden = (path: string): boolean => {
    for (let at = path; hidden.size > 0; at = at.slice(0, Math.max(0, at.lastIndexOf('/')))) {
      if (hidden.has(at)) return true
      if (at === '') return false
    }
    return false
  }

  /** The directory that a path means, made where there is none. Links are followed within the image. */
  async function directory(of: readonly string[], mtime: string): Promise<string> {
    const rest = [...of].reverse()
    let at = ''
    for (let followed = 0; rest.length > 0;) {
      const part = rest.pop()!
      if (part === '' || part === '.') continue
      if (part === '..') {
        at = at.slice(0, Math.max(0, at.lastIndexOf('/')))
        continue
      }
      const path = joined(at, part)
      const own = made.get(path)
      let target = own === 'directory' ? undefined : own?.target
      if (own === undefined) {
        const below = isHidden(path) ? undefined : await lower.lookup(path)
        if (below?.kind === 'symlink') target = below.target
        else {
          // As it is below: what lies on top says who owns a directory, and who may enter.
          await emit(below?.kind === 'directory' ? copyOf(path, below) : implied(path, mtime))
          made.set(path, 'directory')
          facts.entries++
        }
      }
      if (target === undefined) at = path
      else {
        if (++followed > MAX_FOLLOWED) throw new ImageError(`the layer has a loop of links at ${show(path)}`)
        rest.push(...target.split('/').reverse())
        if (target.startsWith('/')) at = ''
      }
    }
    return at
  }

  async function entry(of: TarEntry): Promise<void> {
    const parts = componentsOf(of.name)
    const name = parts.pop()
    if (name === undefined) {
      // The root itself.
      if (of.type === 'directory') await emit(clean(of, ''))
      return await archive.skip(of.size + paddingOf(of.size))
    }
    const parent = await directory(parts, of.mtime)
    const path = joined(parent, name)
    if (path.length > MAX_PATH - 256) throw new ImageError(`the layer has a path of ${path.length} bytes`)
    if (name.startsWith(WHITEOUT)) {
      const victim = name.slice(WHITEOUT.length)
      if (name === OPAQUE) {
        facts.opaque.push(parent)
        hidden.add(parent)
      } else if (!name.startsWith(WHITEOUT_META)) {
        if (victim === '' || victim === '.' || victim === '..') throw new ImageError(`the layer has the whiteout ${show(path)} of nothing`)
        facts.whiteouts.push(joined(parent, victim))
        hidden.add(joined(parent, victim))
      }
      return await archive.skip(of.size + paddingOf(of.size))
    }
    if (of.type === 'character' || of.type === 'block') {
      // A container's /dev is never the image's.
      if (path.startsWith('dev/')) return await archive.skip(of.size + paddingOf(of.size))
      if (of.type === 'block' || !harmless.has(`${of.major}:${of.minor}`))
        throw new ImageError(`the layer has the device ${show(path)} (${of.type} ${of.major}:${of.minor}), which no image may have`)
    }
    if (of.type === 'link') {
      const target = componentsOf(of.linkname)
      const file = target.pop()
      if (file === undefined) throw new ImageError(`the layer has the hard link ${show(path)} to nothing`)
      const to = joined(await directory(target, of.mtime), file)
      made.delete(path)
      if (to !== path) facts.links.push({ path, target: to })
      return await archive.skip(of.size + paddingOf(of.size))
    }
    if (of.type === 'directory') made.set(path, 'directory')
    else if (of.type === 'symlink') made.set(path, { target: of.linkname })
    else made.delete(path)
    if (of.type !== 'file') {
      await emit(clean(of, path))
      return await archive.skip(of.size + paddingOf(of.size))
    }
    facts.bytes += of.size
    await emit(clean(of, path))
    for await (const piece of archive.pieces(of.size + paddingOf(of.size))) await sink(piece)
  }

  // A layer that says nothing of the root leaves it as it is.
  const root = await lower.lookup('')
  if (root?.kind === 'directory') await emit(copyOf('', root))
  for (let next = await readEntry(archive.read); next !== undefined; next = await readEntry(archive.read)) {
    if (++facts.entries > MAX_ENTRIES) throw new ImageError(`the layer has more than ${MAX_ENTRIES} entries`)
    await entry(next)
  }
  return facts
}

const implied = (name: string, mtime: string): TarEntry => ({
  type: 'directory',
  name,
  linkname: '',
  mode: 0o755,
  uid: 0,
  gid: 0,
  size: 0,
  mtime,
  major: 0,
  minor: 0,
  xattrs: new Map(),
})

function clean(entry: TarEntry, name: string): TarEntry {
  const xattrs = [...entry.xattrs].filter(([attribute]) => kept(attribute))
  return {
    ...entry,
    name: entry.type === 'directory' ? `${name}/` : name,
    size: entry.type === 'file' ? entry.size : 0,
    linkname: entry.type === 'symlink' ? entry.linkname : '',
    xattrs: xattrs.length === entry.xattrs.size ? entry.xattrs : new Map(xattrs),
  }
}
