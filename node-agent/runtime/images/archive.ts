/**
 * Loads images from what other tools save: docker-archive and OCI layout, as one archive, compressed or not, or as a directory. An archive
 * is read once, as it comes: what it is about may stand at its end.
 */
import { Buffer } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { posix } from 'node:path'
import { pipeline, Readable } from 'node:stream'
import * as z from 'zod'
import { ImageError } from '../imageservice.ts'
import { byteReader } from './bytereader.ts'
import { digestOf, type Lease } from './content.ts'
import { maxDocumentBytes, mediaTypes, parseConfig, parseIndex, type Descriptor } from './descriptor.ts'
import type { ImageStore, PutOptions, StoredImage } from './imagestore.ts'
import { parseReference } from './reference.ts'
import { paddingOf, readEntry } from './tarheader.ts'
import { compressionOf, decompressor } from './unpack.ts'

interface ArchiveFile {
  digest: string
  size: number
}
/** Paths to what is there, or to a path for a link. */
type Files = Map<string, ArchiveFile | string>

export interface LoadOptions extends PutOptions {
  /** In the place of the names that the archive has; needed when it has none. */
  names?: readonly string[]
}

const dockerManifests = z.array(
  z.object({
    Config: z.string(),
    RepoTags: z
      .array(z.string())
      .nullish()
      .transform(tags => tags ?? []),
    Layers: z
      .array(z.string())
      .nullish()
      .transform(layers => layers ?? []),
  }),
)

/** Of other archives in an archive nobody needs more: a whole image in a million pieces is none. */
const MAX_FILES = 10_000

/** Loads every image of an archive. Rejects with ImageError for what is none. */
export async function loadArchive(store: ImageStore, bytes: AsyncIterable<Uint8Array>, options: LoadOptions = {}): Promise<StoredImage[]> {
  const lease = await store.content.lease()
  try {
    return await putAll(store, lease, await readArchive(lease, bytes), options)
  } finally {
    await lease.release()
  }
}

/** The same of a file, or of a directory that is a layout or an archive unpacked. */
export async function loadPath(store: ImageStore, path: string, options: LoadOptions = {}): Promise<StoredImage[]> {
  const info = await stat(path).catch(() => undefined)
  if (info === undefined) throw new ImageError(`${path}: no such file or directory`)
  if (!info.isDirectory()) return await loadArchive(store, createReadStream(path, { highWaterMark: 256 << 10 }), options)
  const lease = await store.content.lease()
  try {
    const files: Files = new Map()
    for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const file = join(entry.parentPath, entry.name)
      files.set(relative(path, file), await lease.write(createReadStream(file)))
      if (files.size > MAX_FILES) throw new ImageError(`${path} has more than ${MAX_FILES} files: it is no image`)
    }
    return await putAll(store, lease, files, options)
  } finally {
    await lease.release()
  }
}

async function readArchive(lease: Lease, source: AsyncIterable<Uint8Array>): Promise<Files> {
  const files: Files = new Map()
  const chunks = source[Symbol.asyncIterator]()
  let head = Buffer.alloc(0)
  while (head.length < 6) {
    const next = await chunks.next()
    if (next.done === true) break
    head = Buffer.concat([head, next.value])
  }
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield head
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value
  }
  const unzip = decompressor(compressionOf(head))
  try {
    const archive = byteReader(unzip === undefined ? whole() : pipeline(Readable.from(whole()), unzip, () => {}))
    for (let entry = await readEntry(archive.read); entry !== undefined; entry = await readEntry(archive.read)) {
      const name = posix.normalize(entry.name).replace(/^\/+/, '')
      if (entry.type === 'file') {
        files.set(name, await lease.write(archive.pieces(entry.size)))
        await archive.skip(paddingOf(entry.size))
      } else {
        if (entry.type === 'symlink') files.set(name, posix.normalize(posix.join(posix.dirname(name), entry.linkname)))
        if (entry.type === 'link') files.set(name, posix.normalize(entry.linkname).replace(/^\/+/, ''))
        await archive.skip(entry.size + paddingOf(entry.size))
      }
      if (files.size > MAX_FILES) throw new ImageError(`the archive has more than ${MAX_FILES} files: it is no image`)
    }
    // A pipe that is not read to its end ends whoever writes to it.
    await archive.drain()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code?.startsWith('Z_') === true || code?.startsWith('ZSTD_') === true) throw new ImageError(`the archive is damaged: ${message}`)
    throw error
  } finally {
    unzip?.destroy()
  }
  return files
}

async function putAll(store: ImageStore, lease: Lease, files: Files, options: LoadOptions): Promise<StoredImage[]> {
  const file = (path: string): ArchiveFile => {
    let found = files.get(posix.normalize(path))
    for (let followed = 0; typeof found === 'string' && followed < 10; followed++) found = files.get(found)
    if (found === undefined || typeof found === 'string') throw new ImageError(`the archive has no ${path}`)
    return found
  }
  const document = async (path: string): Promise<Buffer> => {
    const { digest, size } = file(path)
    if (size > maxDocumentBytes) throw new ImageError(`${path} of the archive has ${size} bytes, more than ${maxDocumentBytes}`)
    return await store.content.read({ digest })
  }
  const found: { names: string[]; target: Descriptor }[] = []
  if (files.has('index.json')) {
    const { manifests } = parseIndex(await document('index.json'), 'index.json of the archive')
    for (const { annotations, ...target } of manifests) {
      const name = annotations?.['io.containerd.image.name'] ?? annotations?.['org.opencontainers.image.ref.name']
      // A mere tag names no image.
      const names = name !== undefined && /[/:]/.test(name) ? [name] : []
      // A name an entry.
      const same = found.find(f => f.target.digest === target.digest)
      if (same) same.names.push(...names)
      else found.push({ names, target })
    }
    for (const [path, entry] of files)
      if (path.startsWith('blobs/sha256/') && typeof entry !== 'string' && entry.digest !== `sha256:${posix.basename(path)}`)
        throw new ImageError(`${path} of the archive has another digest: ${entry.digest}`)
  }
  if (files.has('manifest.json') && found.every(f => f.names.length === 0)) {
    found.length = 0
    const list = dockerManifests.safeParse(parseJson(await document('manifest.json')))
    if (!list.success) throw new ImageError('manifest.json of the archive is not valid')
    for (const { Config, RepoTags, Layers } of list.data)
      found.push({ names: RepoTags, target: await manifestOf(store, lease, file(Config), Layers.map(file)) })
  }
  if (found.length === 0)
    throw new ImageError(
      'the archive is no image: it has neither manifest.json (docker save) nor index.json (an OCI layout); of a mere file system an image is made by a Containerfile: FROM scratch, ADD',
    )
  if (options.names && found.length > 1) throw new ImageError(`the archive has ${found.length} images, one name is for one`)
  const images: StoredImage[] = []
  for (const { names, target } of found) {
    const wanted = options.names ?? names
    if (wanted.length === 0) throw new ImageError('the archive does not name its image; give it a name (--name)')
    images.push(await store.put(lease, wanted.map(checked), target, options))
  }
  return images
}

function checked(name: string): string {
  const { digest, canonical } = parseReference(name)
  if (digest !== undefined) throw new ImageError(`${name}: what is loaded has a tag for its name, not a digest`)
  return canonical
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw new ImageError(`manifest.json of the archive is no JSON: ${(error as Error).message}`)
  }
}

/** A docker-archive has no manifest in the words of registries: it is made. */
async function manifestOf(store: ImageStore, lease: Lease, config: ArchiveFile, layers: readonly ArchiveFile[]): Promise<Descriptor> {
  parseConfig(await store.content.read(config))
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: { mediaType: mediaTypes.config, ...config },
      layers: layers.map(layer => ({ mediaType: mediaTypes.layer, ...layer })),
    }),
  )
  await lease.write(bytes)
  return { mediaType: mediaTypes.manifest, digest: digestOf(bytes), size: bytes.length }
}
