/** The image service of a node: the machine's store, then the catalogue of host images, then registries. */
import { ImageError, type ImageConfig, type ImageService, type PullOptions } from '../imageservice.ts'
import type { ImageStore, StoredImage } from './imagestore.ts'
import { parseReference, type ImageReference } from './reference.ts'

export interface ImageSources {
  store: ImageStore
  host: ImageService
  /** Gets an image from its registry into the store. Rejects with ImageError. */
  fetch?: ((reference: ImageReference, options: PullOptions) => Promise<StoredImage>) | undefined
}
/** https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#ContainerStatus: what an image was pulled as. */
export function imageID({ id, names }: Pick<StoredImage, 'id' | 'names'>, reference?: Pick<ImageReference, 'registry' | 'path'>): string {
  const byDigest = names.filter(name => name.includes('@'))
  const repository = reference && `${reference.registry}/${reference.path}@`
  return byDigest.find(name => repository !== undefined && name.startsWith(repository)) ?? byDigest[0] ?? id
}

/** Of the store: what a registry gave is asked for anew by imagePullPolicy Always; what somebody loaded is what its name means. */
const wasPulled = ({ names }: StoredImage): boolean => names.some(name => name.includes('@'))

/** An image error is an answer, too. */
const refused = (error: unknown): ImageError => {
  if (error instanceof ImageError) return error
  throw error
}

export function imageService({ store, host, fetch }: ImageSources): ImageService {
  async function configOf(image: string, stored: StoredImage): Promise<ImageConfig> {
    const { config } = stored.config
    const reference = /^sha256:/.test(image) ? undefined : parseReference(image)
    return {
      image,
      id: imageID(stored, reference),
      entrypoint: config?.Entrypoint ?? [],
      cmd: config?.Cmd ?? [],
      env: config?.Env ?? [],
      workingDir: config?.WorkingDir || '/',
      user: config?.User ?? '',
      root: await store.layers(stored),
      volumes: Object.keys(config?.Volumes ?? {}),
      ...(config?.StopSignal ? { stopSignal: config.StopSignal } : {}),
      sizeBytes: stored.sizeBytes,
    }
  }
  return {
    async status(image) {
      const stored = await store.find(image)
      return stored ? await configOf(image, stored) : await host.status(image)
    },
    async pull(image, options) {
      const reference = parseReference(image)
      const stored = await store.find(image)
      if (stored && (fetch === undefined || !wasPulled(stored))) return await configOf(image, stored)
      const refusal = stored ? undefined : await host.pull(image, options).catch(refused)
      if (refusal !== undefined && !(refusal instanceof ImageError)) return refusal
      if (fetch === undefined) throw refusal
      try {
        return await configOf(image, await fetch(reference, options))
      } catch (error) {
        // Who has no way to the registry may do with what the node has.
        if (!(error instanceof ImageError) || refusal === undefined || !error.message.includes(': dial tcp')) throw error
        throw new ImageError(`${error.message}; ${refusal.message}`, error.reason)
      }
    },
    async list() {
      const [stored, others] = await Promise.all([store.list(), host.list()])
      return [...stored.map(({ id, names, sizeBytes }) => ({ id, names, sizeBytes })), ...others]
    },
    async remove(id) {
      const stored = (await store.list()).find(image => image.id === id)
      if (stored === undefined) return await host.remove(id)
      if (await store.inUse(stored)) return
      await store.untag(stored.names)
      await store.prune()
    },
    usage: () => store.usage(),
  }
}
