/** Images of the machine's store: names, what they are, and their unpacked layers. */
import type { ContentStore, Lease } from './content.ts'
import type { Config, Descriptor } from './descriptor.ts'

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

export interface PutOptions {
  signal?: AbortSignal | undefined
  /** Called before a layer is unpacked, with its place and how many there are. */
  onUnpack?: ((layer: number, of: number) => void) | undefined
}

export interface ImageStore {
  readonly content: ContentStore
  /**
   * Gives canonical names to what a descriptor of a manifest or an index means on this machine, once its layers are unpacked; the blobs must
   * be there, by way of the lease. A name that another image had goes over. Rejects with ImageError.
   */
  put(lease: Lease, names: readonly string[], target: Descriptor, options?: PutOptions): Promise<StoredImage>
  /** By a name as users write it, or by an id; only what is there as a whole. Throws ImageError for what is no name. */
  find(name: string): Promise<StoredImage | undefined>
  list(): Promise<StoredImage[]>
  /** Directories of an image's files, the topmost first, and the file whose shared flock keeps them there. */
  layers(image: StoredImage): Promise<{ directories: string[]; lock: string }>
  /** Takes the names away; what nobody needs then goes with `prune`. Resolves with those that were there. */
  untag(names: readonly string[]): Promise<string[]>
  /** Whether a container of the machine has the image's files. */
  inUse(image: StoredImage): Promise<boolean>
  /** Removes what no name, no container and no lease needs. Resolves with bytes of the disk that are free again. */
  prune(): Promise<number>
  /** What the store takes of the disk. */
  usage(): Promise<{ usedBytes: number; inodesUsed: number }>
}
