/** What the kubelet asks about images, as the ImageService of CRI. */
import type { ImageRoot } from './images/imagestore.ts'
import type { ContainerMount } from './runtime.ts'

export interface ImageConfig {
  /** The name that was asked for. */
  image: string
  /** A stable id for status.imageID, `host-image://busybox@sha256:...`. */
  id: string
  entrypoint: string[]
  cmd: string[]
  env: string[]
  workingDir: string
  user: string
  /** What asks its containers to end, `SIGQUIT`; absent: SIGTERM. */
  stopSignal?: string
  /** Of an image of the store: its own root, in the place of the node's. */
  root?: ImageRoot
  /** Directories of files laid over the node's root, the first on top; made by `pull`. */
  layers?: string[]
  /** Directories of the node that its containers see, beside those that all see. What they write there is theirs alone. */
  trees?: string[]
  /** What every container of this image sees beside its own mounts. */
  mounts?: ContainerMount[]
  /** Directories that are writable whatever the root is, and begin with what the image has there. */
  volumes?: string[]
  /** What it takes of the disk; absent when nothing of its own. */
  sizeBytes?: number
}

export type ImageFailure = 'ErrImagePull' | 'InvalidImageName' | 'RegistryUnavailable'

/** Thrown by `pull`: why an image cannot be had, for ErrImagePull's message. */
export class ImageError extends Error {
  /** What a container's status says; InvalidImageName when the name itself is wrong: no later pull can help. */
  readonly reason: ImageFailure
  constructor(message: string, reason: ImageFailure = 'ErrImagePull') {
    super(message)
    this.reason = reason
  }
}

/** What a registry wants to know: of an imagePullSecret, for the registry of the image. */
export interface RegistryCredentials {
  username?: string
  password?: string
  identityToken?: string
  registryToken?: string
}

/** An image that the node has, as node.status.images lists it. */
export interface ImageSummary {
  id: string
  names: string[]
  sizeBytes: number
}

export interface PullOptions {
  /** Tried in turn; without any, as nobody. */
  credentials?: readonly RegistryCredentials[]
  signal: AbortSignal
  /** Called when a registry has let us in: with the place of the credentials, or undefined as nobody. */
  onAccess?: (credential: number | undefined) => void
}

export interface ImageService {
  /** The image, when the node has it. Asks nobody else. */
  status(image: string): Promise<ImageConfig | undefined>
  /** Gets the image, or what is newer of it. Throws ImageError; ends with the signal's reason when that aborts. */
  pull(image: string, options: PullOptions): Promise<ImageConfig>
  list(): Promise<ImageSummary[]>
  /** Removes an image by its id; one that is in use, or not there, stays as it is. */
  remove(id: string): Promise<void>
  /** What all images take of their disk. */
  usage(): Promise<{ usedBytes: number; inodesUsed: number }>
}
