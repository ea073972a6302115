import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openContentStore, type BlobSource, type ContentStore } from '#node-agent/runtime/images/content.ts'
import { ImageError } from '#node-agent/runtime/imageservice.ts'

let directory: string
let store: ContentStore
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'content-'))
  store = await openContentStore(directory)
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const descriptorOf = (bytes: Buffer) => ({
  digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
  size: bytes.length,
})
/** Tells which offsets it was asked for; breaks off after `until` bytes of the whole. */
function sourceOf(bytes: Buffer, asked: number[] = [], until = Infinity): BlobSource {
  return async function* (offset) {
    asked.push(offset)
    for (let at = offset; at < bytes.length; at += 1000) {
      if (at >= until) throw new Error('the connection was lost')
      yield await Promise.resolve(bytes.subarray(at, at + 1000))
    }
  }
}

describe('content store', () => {
  const blob = randomBytes(12_345)
  const descriptor = descriptorOf(blob)

  test('a blob is there once all of it is', async () => {
    const lease = await store.lease()
    expect(await store.has(descriptor)).toBe(false)
    const seen: number[] = []
    await lease.ingest(descriptor, sourceOf(blob), { onProgress: n => seen.push(n) })
    expect(await store.has(descriptor)).toBe(true)
    expect((await readFile(store.blobPath(descriptor.digest))).equals(blob)).toBe(true)
    expect(seen.at(-1)).toBe(blob.length)
    await lease.ingest(descriptor, () => {
      throw new Error('asked for although it is there')
    })
    await lease.release()
    expect(await readdir(join(directory, 'ingest'))).toEqual([])
    expect(await readdir(join(directory, 'leases'))).toEqual([])
  })

  test('what broke off is gone on with', async () => {
    const lease = await store.lease()
    const asked: number[] = []
    await expect(lease.ingest(descriptor, sourceOf(blob, asked, 5000))).rejects.toThrow('the connection was lost')
    await lease.ingest(descriptor, sourceOf(blob, asked))
    expect(asked).toEqual([0, 5000])
    expect((await store.read(descriptor)).equals(blob)).toBe(true)
    await lease.release()
  })

  test('wrong, cut off and too long blobs are refused', async () => {
    const lease = await store.lease()
    const wrong = Buffer.from(blob)
    wrong[7]! ^= 1
    await expect(lease.ingest(descriptor, sourceOf(wrong))).rejects.toThrow(/has another digest/)
    await expect(lease.ingest(descriptor, sourceOf(Buffer.concat([blob, blob])))).rejects.toThrow(/more than the 12345 bytes/)
    await expect(lease.ingest(descriptor, sourceOf(blob.subarray(0, 4000)))).rejects.toThrow(/cut off: it has 4000 of 12345 bytes/)
    expect(await store.has(descriptor)).toBe(false)
    // Beginnings that were lies do not spoil the next attempt but once.
    await lease.ingest(descriptor, sourceOf(blob))
    await lease.release()
  })

  test('two that want one blob get it once', async () => {
    const [a, b] = await Promise.all([store.lease(), (await openContentStore(directory)).lease()])
    const asked: number[] = []
    await Promise.all([a.ingest(descriptor, sourceOf(blob, asked)), b.ingest(descriptor, sourceOf(blob, asked))])
    expect(asked).toEqual([0])
    await Promise.all([a.release(), b.release()])
  })

  test('a waiting one can be called off', async () => {
    const [a, b] = await Promise.all([store.lease(), store.lease()])
    const abort = new AbortController()
    let second: Promise<void> | undefined
    await a.ingest(descriptor, async function* () {
      second = b.ingest(descriptor, sourceOf(blob), { signal: abort.signal })
      abort.abort(new Error('called off'))
      await expect(second).rejects.toThrow('called off')
      yield blob
    })
    expect(second).toBeDefined()
    await Promise.all([a.release(), b.release()])
  })

  test('leases of the living count', async () => {
    const lease = await store.lease()
    await lease.keep(descriptor.digest)
    expect([...(await store.leased()).digests]).toEqual([descriptor.digest])
    // What one leaves that was killed.
    await writeFile(join(directory, 'leases', 'dead'), `sha256:${'0'.repeat(64)}\n`)
    expect([...(await store.leased()).digests]).toEqual([descriptor.digest])
    expect(await readdir(join(directory, 'leases'))).not.toContain('dead')
    await lease.release()
    expect([...(await store.leased()).digests]).toEqual([])
  })

  test('documents are verified when they are read', async () => {
    const lease = await store.lease()
    const written = await lease.write(Buffer.from('{}'))
    expect((await store.read(written)).toString()).toBe('{}')
    await writeFile(store.blobPath(written.digest), '[]')
    await expect(store.read(written)).rejects.toThrow(/is damaged/)
    await expect(store.read(written)).rejects.toThrow(/is not in the image store/)
    await expect(lease.write(randomBytes(100), 50)).rejects.toThrow(/larger than 50 bytes/)
    expect(() => store.blobPath('sha256:../../x')).toThrow(ImageError)
    await lease.release()
  })
})
