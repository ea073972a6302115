/** Gets an image from its registry into the machine's store. */
import { ImageError, type RegistryCredentials } from '../runtime/imageservice.ts'
import type { ContentStore, Lease } from '../runtime/images/content.ts'
import { maxDocumentBytes, parseManifest, selectPlatform, type Descriptor, type Manifest } from '../runtime/images/descriptor.ts'
import type { ImageStore, StoredImage } from '../runtime/images/imagestore.ts'
import type { ImageReference } from '../runtime/images/reference.ts'
import type { Registries } from './registries.ts'
import { maxManifestBytes, NotFoundError, openRepository, type Repository } from './repository.ts'
import { newTransport, RequestError } from './transport.ts'

export interface PullOptions {
  store: ImageStore
  registries: Registries
  credentials?: RegistryCredentials | undefined
  signal: AbortSignal
  /** Called as bytes come: how many of all that are to be had, which are known once the manifest is. */
  onProgress?: ((bytes: number, of: number) => void) | undefined
}

/** Layers of one image that come side by side, as containerd's max_concurrent_downloads. */
const parallelLayers = 3

/** The names that a pulled image gets: as it was asked for, a digest before a tag, and by its digest. */
export function storedNames({ registry, path, tag, digest }: ImageReference, resolved: string): string[] {
  const byDigest = `${registry}/${path}@${resolved}`
  return digest !== undefined ? [byDigest] : [`${registry}/${path}:${tag}`, byDigest]
}

/** Resolves with the image, its layers unpacked. Rejects with ImageError in containerd's words, or with the signal's reason. */
export async function pullImage(reference: ImageReference, options: PullOptions): Promise<StoredImage> {
  const { store, registries, credentials, signal } = options
  const name = storedNames(reference, reference.digest ?? '')[0]!
  const transport = newTransport(registries)
  // What still comes when one of several layers has failed is of no use.
  const over = new AbortController()
  const repository = openRepository({
    reference,
    registries,
    transport,
    credentials,
    signal: AbortSignal.any([signal, over.signal]),
  })
  let doing = `failed to resolve reference ${JSON.stringify(name)}: `
  try {
    const target = await repository.resolve()
    doing = ''
    const names = storedNames(reference, target.digest)
    const known = await store.find(names.at(-1)!)
    if (known && names.every(n => known.names.includes(n))) return known
    const lease = await store.content.lease()
    try {
      const whole = await fetchContent(repository, store.content, lease, target, { ...options, over })
      return await store.put(lease, names, whole, { signal })
    } finally {
      await lease.release()
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    const { message } = error as Error
    const why = error instanceof NotFoundError ? `${doing === '' ? 'failed to copy' : name}: ${message}` : message
    const unreachable = error instanceof RequestError && error.code === 'ECONNREFUSED'
    throw new ImageError(
      `failed to pull and unpack image ${JSON.stringify(name)}: ${doing}${why}`,
      unreachable ? 'RegistryUnavailable' : 'ErrImagePull',
    )
  } finally {
    over.abort()
    transport.close()
  }
}

/** Has everything of an image put into the store. Resolves with the target's descriptor, its size what it really is. */
async function fetchContent(
  repository: Repository,
  content: ContentStore,
  lease: Lease,
  target: Descriptor,
  { signal, onProgress, over }: Pick<PullOptions, 'signal' | 'onProgress'> & { over: AbortController },
): Promise<Descriptor> {
  async function document(descriptor: Pick<Descriptor, 'digest' | 'size'>): Promise<Buffer> {
    if (await lease.has(descriptor)) return await content.read(descriptor)
    const bytes = await repository.manifest(descriptor)
    await lease.ingest({ digest: descriptor.digest, size: bytes.byteLength }, () => once(bytes), { signal })
    return bytes
  }
  const bytes = await document(target)
  const found = parseManifest(bytes, `manifest ${target.digest}`)
  let manifest: Manifest
  if ('manifest' in found) manifest = found.manifest
  else {
    const chosen = selectPlatform(found.index)
    if (chosen.size > maxManifestBytes) throw new Error(`rejecting ${chosen.size} bytes of manifest, more than ${maxManifestBytes}`)
    const inner = parseManifest(await document(chosen), `manifest ${chosen.digest}`)
    if (!('manifest' in inner)) throw new Error(`manifest ${chosen.digest} is an index within an index`)
    manifest = inner.manifest
  }
  const { config, layers } = manifest
  if (config.size > maxDocumentBytes) throw new Error(`the image configuration has ${config.size} bytes, more than ${maxDocumentBytes}`)
  const blobs = [...new Map([config, ...layers].map(d => [d.digest, d])).values()]
  const of = blobs.reduce((sum, { size }) => sum + size, 0)
  const have = new Map<string, number>()
  const get = (descriptor: Descriptor): Promise<void> =>
    lease.ingest(descriptor, offset => repository.blob(descriptor, offset), {
      signal,
      onProgress: n => {
        have.set(descriptor.digest, n)
        onProgress?.(
          [...have.values()].reduce((a, b) => a + b, 0),
          of,
        )
      },
    })
  await inParallel(parallelLayers, blobs, get, over)
  return { ...target, size: bytes.byteLength }
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}

/** Rejects with the first failure, once all others have ended, which `over` tells them to. */
async function inParallel<T>(limit: number, items: readonly T[], work: (item: T) => Promise<void>, over: AbortController): Promise<void> {
  const left = [...items]
  let failure: { error: unknown } | undefined
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined && !failure; item = left.shift()) {
      try {
        await work(item)
      } catch (error) {
        failure ??= { error }
        over.abort()
      }
    }
  }
  await Promise.all(Array.from({ length: limit }, worker))
  if (failure) throw failure.error
}
