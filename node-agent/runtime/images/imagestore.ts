/** Images of the machine's store: names, what they are, and their unpacked layers. */
import { existsSync } from 'node:fs'
import { open, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { lockFile } from '#shared/linux/flock.ts'
import { ImageError } from '../imageservice.ts'
import { openContentStore, type ContentStore, type Lease } from './content.ts'
import {
  localPlatform,
  mediaTypes,
  parseConfig,
  parseIndex,
  parseManifest,
  selectPlatform,
  type Config,
  type Descriptor,
} from './descriptor.ts'
import { chainsOf, openLayers } from './layers.ts'
import type { LowerLayer } from './lowerlayers.ts'
import { parseReference } from './reference.ts'

export interface StoredImage {
  /** The digest of its configuration: what an image is known by wherever it came from. */
  id: string
  /** Canonical: `docker.io/library/busybox:1`, and `docker.io/library/busybox@sha256:...` of what was pulled. */
  names: string[]
  /** The digest of this machine's manifest. */
  manifest: string
  config: Config
  /** Of manifest, configuration and layers as they were sent. */
  sizeBytes: number
}

/** The files of an image, as a container needs them. */
export interface ImageRoot {
  /** The topmost first. */
  layers: LowerLayer[]
  /** Whose shared flock keeps them there; absent when there are none. */
  lock?: string
}

export interface PutOptions {
  signal?: AbortSignal | undefined
  /** Called before a layer is unpacked, with its place and how many there are. */
  onUnpack?: ((layer: number, of: number) => void) | undefined
}

export interface ImageStore {
  readonly content: ContentStore
  /**
   * Gives canonical names to what a descriptor of a manifest or an index means on this machine, once its layers are unpacked; the blobs
   * must be there, by way of the lease. A name that another image had goes over. Rejects with ImageError.
   */
  put(lease: Lease, names: readonly string[], target: Descriptor, options?: PutOptions): Promise<StoredImage>
  /** By a name as users write it, or by an id; only what is there as a whole. Throws ImageError for what is no name. */
  find(name: string): Promise<StoredImage | undefined>
  list(): Promise<StoredImage[]>
  layers(image: StoredImage): Promise<ImageRoot>
  /** Takes the names away; what nobody needs then goes with `prune`. Resolves with those that were there. */
  untag(names: readonly string[]): Promise<string[]>
  /** Whether a container of the machine has the image's files. */
  inUse(image: StoredImage): Promise<boolean>
  /** Removes what no name, no container and no lease needs. Resolves with bytes of the disk that are free again. */
  prune(): Promise<number>
  /** What the store takes of the disk. */
  usage(): Promise<{ usedBytes: number; inodesUsed: number }>
}

/** In index.json, which any tool reads that knows OCI layouts. */
const NAME = 'io.containerd.image.name'
const REF_NAME = 'org.opencontainers.image.ref.name'
/** overlayfs takes no more than 500 layers, and mount's options not the names of more than this many. */
const MAX_LAYERS = 127
/** Of parsed images. */
const REMEMBERED = 200

interface Named {
  name: string
  target: Descriptor
}

interface Known extends StoredImage {
  chains: string[]
  layers: Descriptor[]
  /** Everything that is read of it: indexes, manifest, configuration, layers. */
  blobs: string[]
}

export async function openImageStore(directory: string): Promise<ImageStore> {
  const content = await openContentStore(directory)
  const layers = await openLayers(content)
  const indexFile = join(directory, 'index.json')
  const layoutFile = join(directory, 'oci-layout')
  if (!existsSync(layoutFile)) await writeFile(layoutFile, '{"imageLayoutVersion":"1.0.0"}', { mode: 0o600 })
  let seen: { version: string; names: Named[] } | undefined
  const parsed = new Map<string, Known>()

  async function names(): Promise<Named[]> {
    const info = await stat(indexFile, { bigint: true }).catch(() => undefined)
    if (info === undefined) return []
    const version = `${info.ino} ${info.mtimeNs} ${info.size}`
    if (seen?.version !== version) seen = { version, names: parseNames(await readFile(indexFile)) }
    return seen.names
  }
  async function change<T>(work: (names: Named[]) => Promise<{ names?: Named[]; result: T }>): Promise<T> {
    const lock = await lockFile(join(directory, 'locks', 'index'))
    try {
      const { names: next, result } = await work(await names())
      if (next !== undefined) await writeNames(next)
      return result
    } finally {
      await lock.release()
    }
  }
  async function writeNames(next: readonly Named[]): Promise<void> {
    const manifests = next.map(({ name, target }) => ({
      ...target,
      annotations: { ...target.annotations, [NAME]: name, [REF_NAME]: name },
    }))
    const file = await open(`${indexFile}.new`, 'w', 0o600)
    try {
      await file.writeFile(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }))
      await file.datasync()
    } finally {
      await file.close()
    }
    await rename(`${indexFile}.new`, indexFile)
  }

  /** What a descriptor means on this machine. Rejects with ImageError. */
  async function describe(target: Descriptor): Promise<Known> {
    const known = parsed.get(target.digest)
    if (known) return known
    const blobs: string[] = []
    let at: Pick<Descriptor, 'digest'> = target
    for (let depth = 0; depth < 4; depth++) {
      const bytes = await content.read(at)
      blobs.push(at.digest)
      const document = parseManifest(bytes, `manifest ${at.digest}`)
      if ('index' in document) {
        at = selectPlatform(document.index)
        continue
      }
      const { manifest } = document
      const configBytes = await content.read(manifest.config)
      const config = parseConfig(configBytes, `image configuration ${manifest.config.digest}`)
      verify(manifest.layers, config)
      const image: Known = {
        id: manifest.config.digest,
        names: [],
        manifest: at.digest,
        config,
        sizeBytes: bytes.length + configBytes.length + manifest.layers.reduce((sum, l) => sum + l.size, 0),
        chains: chainsOf(config.rootfs.diff_ids),
        layers: manifest.layers,
        blobs: [...blobs, manifest.config.digest, ...manifest.layers.map(l => l.digest)],
      }
      if (parsed.size >= REMEMBERED) parsed.delete(parsed.keys().next().value!)
      parsed.set(target.digest, image)
      return image
    }
    throw new ImageError('the image is an index of indexes of indexes')
  }

  async function unpack(image: Known, options: PutOptions): Promise<void> {
    const { chains, config, layers: blobs } = image
    for (const [n, chain] of chains.entries()) {
      if (await layers.has(chain)) continue
      options.onUnpack?.(n + 1, chains.length)
      const layer = { chain, below: chains.slice(0, n), diffId: config.rootfs.diff_ids[n]!, blob: blobs[n]!.digest }
      await layers.unpack(layer, options.signal)
    }
  }
  /** Whether all of it is unpacked: layers go from the top. */
  const isWhole = async ({ chains }: Known): Promise<boolean> => chains.length === 0 || (await layers.has(chains.at(-1)!))

  async function withNames(image: Known): Promise<StoredImage & Known> {
    const own: string[] = []
    for (const { name, target } of await names()) {
      const other = await describe(target).catch(() => undefined)
      if (other?.id === image.id) own.push(name)
    }
    return { ...image, names: own }
  }

  async function find(name: string): Promise<Known | undefined> {
    const named = await names()
    let target: Descriptor | undefined
    if (/^sha256:[0-9a-f]{64}$/.test(name)) {
      for (const { target: of } of named) if ((await describe(of).catch(() => undefined))?.id === name) target = of
    } else {
      const { registry, path, digest, canonical } = parseReference(name)
      const repository = `${registry}/${path}`
      target = named.find(n =>
        digest === undefined ? n.name === canonical : n.target.digest === digest && repositoryOf(n.name) === repository,
      )?.target
    }
    if (target === undefined) return undefined
    const image = await describe(target).catch((e: unknown) => (e instanceof ImageError ? undefined : Promise.reject(e)))
    if (image === undefined) return undefined
    if (!(await isWhole(image))) {
      // The blobs are there, or else it has to be had anew.
      const lease = await content.lease()
      try {
        await unpackKept(lease, image, {})
      } catch (error) {
        if (error instanceof ImageError) return undefined
        throw error
      } finally {
        await lease.release()
      }
    }
    return await withNames(image)
  }

  async function unpackKept(lease: Lease, image: Known, options: PutOptions): Promise<void> {
    for (const digest of [...image.blobs, ...image.chains]) await lease.keep(digest)
    if (!(await isWhole(image))) {
      for (const layer of image.layers)
        if (!(await content.has(layer))) throw new ImageError(`layer ${layer.digest} of the image is missing from the image store`)
      await unpack(image, options)
    }
  }

  return {
    content,
    async put(lease, wanted, target, options = {}) {
      const canonical = wanted.map(name => parseReference(name).canonical)
      const image = await describe(target)
      for (;;) {
        await unpackKept(lease, image, options)
        const done = await change(async all => {
          // What it had before the lease told of it may have been pruned.
          if (!(await isWhole(image))) return { result: false }
          const others = all.filter(n => !canonical.includes(n.name))
          const { mediaType, digest, size } = target
          const own = canonical.map(name => ({ name, target: { mediaType: mediaType || mediaTypes.manifest, digest, size } }))
          return { names: [...others, ...own], result: true }
        })
        if (done) return await withNames(image)
      }
    },
    find,
    async list() {
      const images = new Map<string, StoredImage>()
      for (const { name, target } of await names()) {
        const image = await describe(target).catch(() => undefined)
        if (image === undefined) continue
        const known = images.get(image.id)
        if (known) known.names.push(name)
        else images.set(image.id, { ...image, names: [name] })
      }
      return [...images.values()]
    },
    async layers(image) {
      const chains = chainsOf(image.config.rootfs.diff_ids)
      const top = chains.at(-1)
      return { layers: await layers.stack(chains), ...(top === undefined ? {} : { lock: join(layers.directory(top), 'lock') }) }
    },
    untag: gone =>
      change(async all => {
        const found = await Promise.resolve(all.map(n => n.name).filter(name => gone.includes(name)))
        return { ...(found.length > 0 ? { names: all.filter(n => !found.includes(n.name)) } : {}), result: found }
      }),
    async inUse(image) {
      const top = chainsOf(image.config.rootfs.diff_ids).at(-1)
      return top !== undefined && (await layers.inUse(top))
    },
    prune: () =>
      change(async all => {
        const { digests: needed, beginnings } = await content.leased()
        const chains = new Set(needed)
        for (const { target } of all) {
          // What cannot be read now may be needed: then nothing goes.
          const image = await describe(target).catch((e: unknown) => (e instanceof ImageError ? undefined : Promise.reject(e)))
          for (const digest of image?.blobs ?? [target.digest]) needed.add(digest)
          for (const chain of image?.chains ?? []) chains.add(chain)
        }
        const freed = (await layers.prune(chains)) + (await pruneBlobs(content, needed, beginnings))
        return { result: freed }
      }),
    async usage() {
      const [unpacked, blobs] = await Promise.all([layers.usage(), sizes(join(directory, 'blobs/sha256'))])
      return { usedBytes: unpacked.usedBytes + blobs.usedBytes, inodesUsed: unpacked.inodesUsed + blobs.inodesUsed }
    },
  }
}

function parseNames(bytes: Buffer): Named[] {
  return parseIndex(bytes, 'index.json of the image store').manifests.flatMap(target => {
    const name = target.annotations?.[NAME]
    return name === undefined ? [] : [{ name, target }]
  })
}

/** Of a canonical name: without tag and digest. */
function repositoryOf(name: string): string {
  const { registry, path } = parseReference(name)
  return `${registry}/${path}`
}

function verify(layers: readonly Descriptor[], { rootfs, os, architecture }: Config): void {
  if (layers.length !== rootfs.diff_ids.length)
    throw new ImageError(`the image has ${layers.length} layers, its configuration tells of ${rootfs.diff_ids.length}`)
  if (layers.length > MAX_LAYERS) throw new ImageError(`the image has ${layers.length} layers; ${MAX_LAYERS} are possible`)
  if ((os !== '' && os !== localPlatform.os) || (architecture !== '' && architecture !== localPlatform.architecture))
    throw new ImageError(`the image is for ${os}/${architecture}, this machine is ${localPlatform.os}/${localPlatform.architecture}`)
}

async function sizes(directory: string): Promise<{ usedBytes: number; inodesUsed: number }> {
  const names = await readdir(directory)
  const infos = await Promise.all(names.map(name => stat(join(directory, name)).catch(() => undefined)))
  return { usedBytes: infos.reduce((sum, info) => sum + (info?.blocks ?? 0) * 512, 0), inodesUsed: names.length }
}

async function pruneBlobs(content: ContentStore, needed: ReadonlySet<string>, beginnings: ReadonlySet<string>): Promise<number> {
  let freed = 0
  const remove = async (path: string): Promise<void> => {
    freed += (await stat(path).catch(() => undefined))?.size ?? 0
    await rm(path, { force: true })
  }
  for (const hex of await readdir(join(content.directory, 'blobs/sha256')))
    if (!needed.has(`sha256:${hex}`)) await remove(join(content.directory, 'blobs/sha256', hex))
  for (const name of await readdir(join(content.directory, 'ingest')))
    if (!needed.has(`sha256:${name}`) && !beginnings.has(name)) await remove(join(content.directory, 'ingest', name))
  return freed
}
