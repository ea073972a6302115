/** Unpacks a layer into a directory of its own, in the form that overlayfs reads. */
import { createHash, type Hash } from 'node:crypto'
import { Buffer } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { lstat, mkdir, open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline, type Duplex } from 'node:stream'
import * as zlib from 'node:zlib'
import { ImageError } from '../imageservice.ts'
import { byteReader } from './bytereader.ts'
import { copyOf, translateLayer, type LayerFacts } from './layertar.ts'
import { lowerLayers, pathIn, type LowerLayer, type LowerLayers } from './lowerlayers.ts'
import { encodeEntry, paddingOf, type TarEntry } from './tarheader.ts'
import { startUntar, type Untar } from './untar.ts'

export interface LayerSource {
  /** The blob, and what it must be. */
  file: string
  digest: string
  /** Of the archive that the blob is when it is not compressed. */
  diffId: string
}

export interface Unpacked {
  /** Directories that hide what lies below them, as latin1. */
  opaque: string[]
  usedBytes: number
  inodesUsed: number
}

const READ_BYTES = 256 << 10
/** How often the disk is asked what is left of it, in bytes written. */
const CHECK_BYTES = 32 << 20
/** What a layer leaves free: a share of the disk, or this much where that is less. */
const RESERVED_SHARE = 0.05
const RESERVED_BYTES = 1 << 30
/** A directory or a small file takes as much. */
const DISK_BLOCK = 4096

type Compression = 'none' | 'gzip' | 'zstd'

/** By the first bytes: what media types say is not always so. Throws ImageError for compressions that no registry knows. */
export function compressionOf(head: Buffer): Compression {
  const magic = head.toString('hex', 0, 6)
  if (magic.startsWith('1f8b')) return 'gzip'
  // zstd, or a frame that is to be skipped.
  if (magic.startsWith('28b52ffd') || /^5[0-9a-f]2a4d18/.test(magic)) return 'zstd'
  if (magic.startsWith('425a68')) throw new ImageError('bzip2 is not a compression of image layers')
  if (magic.startsWith('fd377a585a00')) throw new ImageError('xz is not a compression of image layers')
  return 'none'
}

/** Undefined when there is nothing to do. */
export function decompressor(compression: Compression): Duplex | undefined {
  if (compression === 'none') return undefined
  if (compression === 'gzip') return zlib.createGunzip({ chunkSize: READ_BYTES })
  const make = (zlib as { createZstdDecompress?: typeof zlib.createZstdDecompress }).createZstdDecompress
  if (make === undefined) throw new ImageError(`this Node (${process.version}) cannot read zstd: 22.15 or newer can`)
  return make({ chunkSize: READ_BYTES })
}

async function* hashed(chunks: AsyncIterable<Uint8Array>, hash: Hash): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    hash.update(chunk)
    yield chunk
  }
}

/**
 * Unpacks to `<directory>/fs`; `lowers` are the layers below, the topmost first. Rejects with ImageError for a layer that is not what it
 * should be or wants what no image may have, with another error for a disk that is full and the like. `directory` is the caller's to remove
 * then.
 */
export async function unpackLayer(
  { file, digest, diffId }: LayerSource,
  directory: string,
  lowers: readonly LowerLayer[],
  signal?: AbortSignal,
): Promise<Unpacked> {
  const [target, scratch] = [join(directory, 'fs'), join(directory, 'scratch')]
  await mkdir(target, { recursive: true, mode: 0o755 })
  await mkdir(scratch)
  const lower = lowerLayers(lowers)
  const [compressed, plain] = [createHash('sha256'), createHash('sha256')]
  const head = Buffer.alloc(6)
  const handle = await open(file)
  await handle.read(head, 0, 6, 0).finally(() => handle.close())
  const unzip = decompressor(compressionOf(head))
  const blob = createReadStream(file, { highWaterMark: READ_BYTES })
  const read = hashed(blob, compressed)
  const bytes =
    unzip === undefined
      ? read
      : hashed(
          pipeline(read, unzip, () => {}),
          plain,
        )
  const archive = byteReader(bytes)
  const tar = startUntar(target, scratch)
  const abort = (): void => void tar.abort()
  signal?.addEventListener('abort', abort, { once: true })
  let facts: LayerFacts
  try {
    signal?.throwIfAborted()
    facts = await translateLayer(
      archive,
      lower,
      withinDisk(directory, part => tar.write(part)),
    )
    // What comes after the archive's end counts for its digest.
    await archive.drain()
    await tar.end()
  } catch (error) {
    await tar.abort()
    signal?.throwIfAborted()
    throw damage(error as NodeJS.ErrnoException, digest)
  } finally {
    signal?.removeEventListener('abort', abort)
    blob.destroy()
    unzip?.destroy()
  }
  const actual = `sha256:${compressed.digest('hex')}`
  if (actual !== digest) throw new ImageError(`layer ${digest} has another digest: ${actual}`)
  const content = unzip === undefined ? actual : `sha256:${plain.digest('hex')}`
  if (content !== diffId) throw new ImageError(`layer ${digest} unpacks to ${content}, not to ${diffId} as the image says`)
  const opaque = await finish(target, scratch, facts, lower)
  await rm(scratch, { recursive: true })
  const usedBytes = facts.bytes + facts.entries * DISK_BLOCK
  return { opaque, usedBytes, inodesUsed: facts.entries }
}

/** zlib's errors are about the blob. */
const damage = (error: NodeJS.ErrnoException, digest: string): Error =>
  error.code?.startsWith('Z_') || error.code?.startsWith('ZSTD_') || error.code === 'ERR_ZLIB_BINDING_CLOSED'
    ? new ImageError(`layer ${digest} is damaged: ${error.message}`)
    : error

/** Refuses to fill the disk: a few bytes can unpack to any number. */
function withinDisk(directory: string, write: Untar['write']): (part: Buffer) => Promise<void> {
  let since = CHECK_BYTES
  return async part => {
    if ((since += part.length) >= CHECK_BYTES) {
      since = 0
      const { bsize, blocks, bavail, files, ffree } = await statfs(directory)
      const reserved = Math.min(blocks * bsize * RESERVED_SHARE, RESERVED_BYTES)
      if (bavail * bsize < reserved + CHECK_BYTES || (files > 0 && ffree < files * 0.01))
        throw new Error(`no space left on device: the layer would fill the disk of ${directory}`)
    }
    await write(part)
  }
}

/** What had to wait until all files are there. Resolves with the opaque directories. */
async function finish(target: string, scratch: string, facts: LayerFacts, lower: LowerLayers): Promise<string[]> {
  const opaque = new Set(facts.opaque)
  if (facts.links.length === 0 && facts.whiteouts.length === 0 && opaque.size === 0) return []
  const own = lowerLayers([{ directory: target, opaque: [] }])
  const at = async (path: string) =>
    await lstat(pathIn(target, path)).catch((e: NodeJS.ErrnoException) => (e.code === 'ENOENT' ? undefined : Promise.reject(e)))
  const safe = new Set([''])
  /** A directory of this layer may have become a link since its path was resolved. */
  const inDirectories = async (path: string): Promise<void> => {
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')))
    if (safe.has(parent)) return
    await inDirectories(parent)
    if ((await at(parent))?.isDirectory() !== true)
      throw new ImageError(`the layer has ${JSON.stringify(parent)} as a directory and as something else`)
    safe.add(parent)
  }
  /** Directories whose times and attributes are to be as they were before something was made in them. */
  const touched = new Map<string, TarEntry>()
  const touch = async (path: string, xattrs: TarEntry['xattrs'] = new Map()): Promise<void> => {
    if (touched.has(path) && xattrs.size === 0) return
    const found = (await own.lookup(path))!
    touched.set(path, { ...copyOf(`./${path}/`, found), xattrs })
  }
  const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')))

  const tar = startUntar(target, scratch)
  try {
    const made = new Map<string, string>()
    for (const { path, target: to } of facts.links) {
      const real = made.get(to) ?? to
      await inDirectories(path)
      await inDirectories(real)
      if ((await at(path))?.isDirectory() === true)
        throw new ImageError(`the layer has ${JSON.stringify(path)} as a directory and as a link`)
      await touch(parentOf(path))
      await link(tar, path, real, await at(real), lower)
      made.set(path, real)
    }
    const whiteouts: string[] = []
    for (const path of facts.whiteouts) {
      await inDirectories(path)
      const there = await at(path)
      // A directory in the place of another hides it.
      if (there?.isDirectory() === true) opaque.add(path)
      if (there === undefined && !made.has(path)) whiteouts.push(path)
    }
    for (const path of whiteouts) {
      // Where nothing is to be hidden overlayfs would list it.
      if (isBelow(path, opaque) || (await lower.lookup(path)) === undefined) continue
      await touch(parentOf(path))
      await tar.write(encodeEntry({ ...special(`./${path}`), type: 'character' }))
    }
    for (const path of opaque) {
      await inDirectories(`${path}/.`)
      // Every layer is merged with the others at its root; whoever stacks them leaves out what a root hides.
      if (path !== '') await touch(path, new Map([['trusted.overlay.opaque', Buffer.from('y')]]))
    }
    for (const entry of touched.values()) await tar.write(encodeEntry(entry))
    await tar.end()
  } catch (error) {
    await tar.abort()
    throw error
  }
  return [...opaque]
}

/** Whether one of the directories above a path is among these. */
function isBelow(path: string, directories: ReadonlySet<string>): boolean {
  for (let at = path; at !== '';) {
    at = at.slice(0, Math.max(0, at.lastIndexOf('/')))
    if (directories.has(at)) return true
  }
  return false
}

const special = (name: string): Omit<TarEntry, 'type'> => ({
  name,
  linkname: '',
  mode: 0,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: '0',
  major: 0,
  minor: 0,
  xattrs: new Map(),
})

/** A hard link within the layer; a file of a layer below is copied, as writing to it would. */
async function link(
  tar: Untar,
  path: string,
  to: string,
  target: Awaited<ReturnType<typeof lstat>> | undefined,
  lower: LowerLayers,
): Promise<void> {
  if (target?.isFile() === true || target?.isFIFO() === true || target?.isSymbolicLink() === true)
    return await tar.write(encodeEntry({ ...special(`./${path}`), type: 'link', linkname: `./${to}` }))
  const below = target === undefined ? await lower.lookup(to) : undefined
  if (below?.kind === 'symlink') {
    const { target: linkname, uid, gid } = below
    return await tar.write(encodeEntry({ ...special(`./${path}`), type: 'symlink', linkname, mode: 0o777, uid, gid }))
  }
  if (below?.kind !== 'file')
    throw new ImageError(`the layer has the hard link ${JSON.stringify(path)} to ${JSON.stringify(to)}, which is no file`)
  await tar.write(encodeEntry(copyOf(`./${path}`, below)))
  for await (const part of createReadStream(below.path)) await tar.write(part as Buffer)
  await tar.write(Buffer.alloc(paddingOf(below.size)))
}
