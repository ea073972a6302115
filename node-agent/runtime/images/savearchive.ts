/** Writes images as an archive that docker, podman and skopeo load, and we do: an OCI layout with docker's manifest.json. */
import { Buffer } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { familiar } from './familiar.ts'
import { mediaTypes, parseManifest, type Descriptor } from './descriptor.ts'
import type { ImageStore, StoredImage } from './imagestore.ts'
import { encodeEntry, endOfArchive, paddingOf } from './tarheader.ts'

const header = (name: string, size: number): Buffer =>
  encodeEntry({ type: 'file', name, linkname: '', mode: 0o644, uid: 0, gid: 0, size, mtime: '0', major: 0, minor: 0, xattrs: new Map() })

function* fileOf(name: string, content: unknown): Generator<Buffer> {
  const bytes = Buffer.from(JSON.stringify(content))
  yield header(name, bytes.length)
  yield bytes
  yield Buffer.alloc(paddingOf(bytes.length))
}

/** This machine's manifest of each image, and all that it names. `names` are the tags that each image gets. */
export async function* saveArchive(
  store: ImageStore,
  images: readonly { image: StoredImage; names: readonly string[] }[],
): AsyncGenerator<Buffer> {
  const { content } = store
  const written = new Set<string>()
  const index: Descriptor[] = []
  const docker: object[] = []
  const pathOf = (digest: string): string => `blobs/${digest.replace(':', '/')}`
  for (const { image, names } of images) {
    const bytes = await content.read({ digest: image.manifest })
    const document = parseManifest(bytes)
    if (!('manifest' in document)) throw new Error(`${image.manifest} is no manifest`)
    const { config, layers } = document.manifest
    for (const { digest } of [{ digest: image.manifest }, config, ...layers]) {
      if (written.has(digest)) continue
      written.add(digest)
      const { size } = await stat(content.blobPath(digest))
      yield header(pathOf(digest), size)
      for await (const part of createReadStream(content.blobPath(digest), { highWaterMark: 256 << 10 })) yield part as Buffer
      yield Buffer.alloc(paddingOf(size))
    }
    for (const name of names) {
      const annotations = { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name }
      index.push({ mediaType: mediaTypes.manifest, digest: image.manifest, size: bytes.length, annotations })
    }
    docker.push({ Config: pathOf(config.digest), RepoTags: names.map(familiar), Layers: layers.map(l => pathOf(l.digest)) })
  }
  yield* fileOf('index.json', { schemaVersion: 2, mediaType: mediaTypes.index, manifests: index })
  yield* fileOf('oci-layout', { imageLayoutVersion: '1.0.0' })
  yield* fileOf('manifest.json', docker)
  yield endOfArchive
}
