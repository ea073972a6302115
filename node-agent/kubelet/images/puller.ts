/** Pulls images for all pods of the node, one after the other (serializeImagePulls) or a few side by side (maxParallelImagePulls). */
import type { ImageConfig, ImageService, RegistryCredentials } from '../../runtime/imageservice.ts'

export interface Pulled {
  image: ImageConfig
  /** Of the pull itself, and with its wait for a turn. */
  pullMs: number
  totalMs: number
}

export interface ImagePuller {
  /** Rejects as ImageService.pull, or with the signal's reason, also while it waits for its turn. */
  pull(image: string, credentials: readonly RegistryCredentials[], signal: AbortSignal): Promise<Pulled>
}

/** `parallel`: how many at a time. */
export function imagePuller(service: ImageService, parallel: number): ImagePuller {
  const waiting: (() => void)[] = []
  let running = 0
  async function turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (running < parallel) return void running++
    await new Promise<void>((resolve, reject) => {
      const go = (): void => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = (): void => {
        waiting.splice(waiting.indexOf(go), 1)
        reject(signal.reason as Error)
      }
      waiting.push(go)
      signal.addEventListener('abort', leave, { once: true })
    })
  }
  /** The place goes to the next that waits. */
  function leave(): void {
    const next = waiting.shift()
    if (next) next()
    else running--
  }
  return {
    async pull(name, credentials, signal) {
      const asked = performance.now()
      await turn(signal)
      const began = performance.now()
      try {
        const image = await service.pull(name, { credentials, signal })
        const now = performance.now()
        return { image, pullMs: now - began, totalMs: now - asked }
      } finally {
        leave()
      }
    },
  }
}
