/** `cox image pull`: gets an image from its registry as a node does, with the passwords of whoever asks. */
import { dockerConfigCredentials, dockerConfigPaths } from '../kubelet/images/dockerconfig.ts'
import { pullImage } from '../registry/pull.ts'
import { readRegistries } from '../registry/registries.ts'
import type { ImageStore, StoredImage } from '../runtime/images/imagestore.ts'
import { parseReference } from '../runtime/images/reference.ts'
import { ImageError } from '../runtime/imageservice.ts'

/** A line of progress on a terminal, written over. */
function progressLine(name: string): { onProgress?: (bytes: number, of: number) => void; end(): void } {
  if (!process.stderr.isTTY) return { end: () => {} }
  let shown = -1
  return {
    onProgress(bytes, of) {
      const percent = of === 0 ? 100 : Math.floor((100 * bytes) / of)
      if (percent === shown) return
      shown = percent
      process.stderr.write(`\r\x1b[K${name}: ${percent} % of ${(of / (1 << 20)).toFixed(1)}MiB`)
    },
    end: () => void (shown >= 0 && process.stderr.write('\r\x1b[K')),
  }
}

/**
 * `registries`: a registries.yaml. Resolves when the store has the image. Rejects with ImageError in containerd's words; with Ctrl-C what
 * came is kept for the next time.
 */
export async function pull(store: ImageStore, name: string, registries: string | undefined): Promise<StoredImage> {
  const reference = parseReference(name)
  const stop = new AbortController()
  const interrupt = (): void => stop.abort(new Error('interrupted; the next pull goes on from here'))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt)
  const credentials = await dockerConfigCredentials(reference, dockerConfigPaths(store.content.directory))
  const progress = progressLine(name)
  const options = { store, registries: readRegistries(registries), signal: stop.signal, onProgress: progress.onProgress }
  let refusal: unknown
  try {
    // Each until one is good, as the kubelet; without any, as nobody.
    for (const one of credentials.length === 0 ? [undefined] : credentials) {
      try {
        return await pullImage(reference, { ...options, credentials: one })
      } catch (e) {
        refusal ??= e
        if (!(e instanceof ImageError) || e.reason === 'RegistryUnavailable') throw e
      }
    }
    throw refusal
  } finally {
    progress.end()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupt)
  }
}
