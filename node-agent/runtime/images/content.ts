/**
 * The content of images: blobs named by their digests, in one directory of the machine that all its nodes share. Many processes read and
 * write at once: a blob appears by rename, whole and verified, and what is being written is locked.
 *
 *     blobs/sha256/<hex>     the blobs, as in an OCI layout
 *     ingest/<hex>           beginnings of blobs that are, or were, under way; the next who wants the blob goes on there
 *     locks/<hhh>            locks of what is under way, by the first three digits
 *     leases/<id>            what somebody who lives is about to use, one a line; locked by them
 */
import { createHash, randomUUID, type Hash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { appendFile, mkdir, open, readFile, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { lockFile, tryLockFile, type FileLock } from '#shared/linux/flock.ts'
import { ImageError } from '../imageservice.ts'
import { maxDocumentBytes, type Descriptor } from './descriptor.ts'

/** Gives a blob's bytes from `offset` on. */
export type BlobSource = (offset: number) => AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>

export interface IngestOptions {
  signal?: AbortSignal | undefined
  /** Called with the bytes that are there, as they come. */
  onProgress?: ((bytes: number) => void) | undefined
}

/** What was put in or asked for by its holder is not pruned, as long as that lives. */
export interface Lease {
  /**
   * Puts a blob into the store, unless it is there; what another began is gone on with. Rejects with ImageError when the bytes are not
   * those of the descriptor: nothing of them is kept then. Of an interrupted source what came is kept. Waits while another process gets the
   * same.
   */
  ingest(descriptor: Pick<Descriptor, 'digest' | 'size'>, source: BlobSource, options?: IngestOptions): Promise<void>
  /** Puts in what has no digest yet. Resolves with its descriptor's digest and size. `limit`: of its size, in bytes. */
  write(bytes: AsyncIterable<Uint8Array> | Uint8Array, limit?: number): Promise<Pick<Descriptor, 'digest' | 'size'>>
  /** Whether the blob is there; if so it stays. */
  has(descriptor: Pick<Descriptor, 'digest' | 'size'>): Promise<boolean>
  /** Keeps a digest, also one of nothing that is there yet. */
  keep(digest: string): Promise<void>
  release(): Promise<void>
}

export interface ContentStore {
  readonly directory: string
  /** Where a blob lies, or would. */
  blobPath(digest: string): string
  has(descriptor: Pick<Descriptor, 'digest' | 'size'>): Promise<boolean>
  /** A manifest, index or configuration, verified. Rejects with ImageError when it is missing, too large or wrong. */
  read(descriptor: Pick<Descriptor, 'digest'>): Promise<Buffer>
  lease(): Promise<Lease>
  /** Holds one of the locks of what is under way. */
  locked<T>(hex: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T>
  /** What living leases keep: digests, and beginnings of blobs. Those of dead holders are removed. */
  leased(): Promise<{ digests: Set<string>; beginnings: Set<string> }>
}

/** The hexadecimal part. Throws for what is no digest of ours: it becomes a path. */
export function hexOf(digest: string): string {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1]
  if (hex === undefined) throw new ImageError(`unsupported digest ${JSON.stringify(digest)}`)
  return hex
}
export const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/** Smaller ones are on disk before they have their names; a torn layer is noticed when it is unpacked. Bytes. */
const SYNCED_BYTES = 1 << 20

export async function openContentStore(directory: string): Promise<ContentStore> {
  const at = (...names: string[]): string => join(directory, ...names)
  // Only the root reads what is in images: who else may enter is seen in the layers.
  await mkdir(directory, { recursive: true, mode: 0o711 })
  await Promise.all(['blobs/sha256', 'ingest', 'locks', 'leases'].map(name => mkdir(at(name), { recursive: true, mode: 0o700 })))
  const blobPath = (digest: string): string => at('blobs/sha256', hexOf(digest))

  async function has({ digest, size }: Pick<Descriptor, 'digest' | 'size'>): Promise<boolean> {
    const found = await stat(blobPath(digest)).catch(() => undefined)
    return found?.isFile() === true && found.size === size
  }

  async function locked<T>(hex: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const lock = await lockFile(at('locks', hex.slice(0, 3)), { signal })
    try {
      return await work()
    } finally {
      await lock.release()
    }
  }

  async function ingest({ digest, size }: Pick<Descriptor, 'digest' | 'size'>, source: BlobSource, options: IngestOptions): Promise<void> {
    const { signal, onProgress } = options
    if (await has({ digest, size })) return onProgress?.(size)
    const hex = hexOf(digest)
    await locked(hex, signal, async () => {
      // Another process may have been faster.
      if (await has({ digest, size })) return onProgress?.(size)
      const partial = at('ingest', hex)
      const file = await open(partial, 'a+', 0o600)
      try {
        const hash = createHash('sha256')
        let have = (await file.stat()).size
        // A beginning that is as long as the whole, or longer, did not end well.
        if (have >= size) await file.truncate((have = 0))
        if (have > 0) for await (const part of createReadStream(partial)) hash.update(part as Buffer)
        const offset = have
        for await (const part of size === 0 ? [] : await source(offset)) {
          signal?.throwIfAborted()
          have += part.byteLength
          if (have > size) {
            await rm(partial, { force: true })
            throw new ImageError(`blob ${digest} has more than the ${size} bytes that are declared`)
          }
          hash.update(part)
          await writeAll(file, part)
          onProgress?.(have)
        }
        signal?.throwIfAborted()
        if (have < size) throw new ImageError(`blob ${digest} was cut off: it has ${have} of ${size} bytes`)
        await commit(file, partial, hash, digest, size)
      } finally {
        await file.close()
      }
    })
  }

  async function commit(file: FileHandle, partial: string, hash: Hash, digest: string, size: number): Promise<void> {
    const actual = `sha256:${hash.digest('hex')}`
    if (actual !== digest) {
      await rm(partial, { force: true })
      throw new ImageError(`blob ${digest} has another digest: ${actual}`)
    }
    if (size < SYNCED_BYTES) await file.datasync()
    await rename(partial, blobPath(digest))
  }

  async function write(
    bytes: AsyncIterable<Uint8Array> | Uint8Array,
    limit: number,
    partial: string,
  ): Promise<{ digest: string; size: number }> {
    const file = await open(partial, 'wx', 0o600)
    try {
      const hash = createHash('sha256')
      let size = 0
      for await (const part of bytes instanceof Uint8Array ? [bytes] : bytes) {
        if ((size += part.byteLength) > limit) throw new ImageError(`a blob is larger than ${limit} bytes`)
        hash.update(part)
        await writeAll(file, part)
      }
      const digest = `sha256:${hash.copy().digest('hex')}`
      await commit(file, partial, hash, digest, size)
      return { digest, size }
    } finally {
      await file.close()
      await rm(partial, { force: true })
    }
  }

  return {
    directory,
    blobPath,
    has,
    locked,
    async read({ digest }) {
      const found = await stat(blobPath(digest)).catch((e: NodeJS.ErrnoException) => (e.code === 'ENOENT' ? undefined : Promise.reject(e)))
      if (found === undefined) throw new ImageError(`content ${digest} is not in the image store`)
      if (found.size > maxDocumentBytes) throw new ImageError(`content ${digest} has ${found.size} bytes, more than ${maxDocumentBytes}`)
      const bytes = await readFile(blobPath(digest))
      if (digestOf(bytes) === digest) return bytes
      // The disk lost some of it: it can be had again.
      await rm(blobPath(digest), { force: true })
      throw new ImageError(`content ${digest} of the image store is damaged`)
    },
    async lease() {
      const { file, lock } = await newLease(at('leases'))
      const kept = new Set<string>()
      const keep = async (digest: string): Promise<void> => {
        if (kept.has(digest)) return
        hexOf(digest)
        await appendFile(file, `${digest}\n`)
        kept.add(digest)
      }
      return {
        keep,
        async ingest(descriptor, source, options = {}) {
          await keep(descriptor.digest)
          await ingest(descriptor, source, options)
        },
        async write(bytes, limit = Number.MAX_SAFE_INTEGER) {
          const name = randomUUID()
          await appendFile(file, `${name}\n`)
          const written = await write(bytes, limit, at('ingest', name))
          await keep(written.digest)
          // Somebody may have pruned it just now.
          if (!(await has(written))) throw new ImageError(`content ${written.digest} was pruned while it was written; try again`)
          return written
        },
        async has(descriptor) {
          await keep(descriptor.digest)
          return await has(descriptor)
        },
        async release() {
          await rm(file, { force: true })
          await lock.release()
        },
      }
    },
    async leased() {
      const [digests, beginnings] = [new Set<string>(), new Set<string>()]
      for (const name of await readdir(at('leases'))) {
        const lock = await tryLockFile(at('leases', name))
        if (lock !== undefined) {
          await rm(at('leases', name), { force: true })
          await lock.release()
          continue
        }
        const text = await readFile(at('leases', name), 'utf8').catch(() => '')
        for (const line of text.split('\n').filter(Boolean)) (line.includes(':') ? digests : beginnings).add(line)
      }
      return { digests, beginnings }
    },
  }
}

/** Who looks for dead leases may take one for such between its making and its lock: then it is gone, and another is made. */
async function newLease(directory: string): Promise<{ file: string; lock: FileLock }> {
  for (;;) {
    const file = join(directory, randomUUID())
    const lock = await lockFile(file, { shared: true })
    if (existsSync(file)) return { file, lock }
    await lock.release()
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) done += (await file.write(bytes, done, bytes.byteLength - done)).bytesWritten
}
