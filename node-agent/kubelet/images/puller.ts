/**
 * Pulls images for all pods of the node, one after the other (serializeImagePulls) or a few side by side (maxParallelImagePulls). Pods that
 * want the same image at the same time, with the same credentials, wait for one pull.
 */
import type { ImageConfig, ImageService, RegistryCredentials } from '../../runtime/imageservice.ts'

export interface Pulled {
  image: ImageConfig
  /** Of the pull itself, and with its wait for a turn. */
  pullMs: number
  totalMs: number
  /** Whether a registry was asked, and which of the credentials it let us in with; absent: as nobody. */
  asked: boolean
  credential?: number | undefined
}

export interface ImagePuller {
  /**
   * Rejects as ImageService.pull, or with the signal's reason, also while it waits for its turn. A pull that nobody waits for any more is
   * ended.
   */
  pull(image: string, credentials: readonly RegistryCredentials[], signal: AbortSignal): Promise<Pulled>
}

interface Shared {
  waiting: number
  stop: AbortController
  result: Promise<Pulled>
  /** When its turn came. */
  began?: number
}

/** `parallel`: how many at a time. */
export function imagePuller(service: ImageService, parallel: number): ImagePuller {
  const queue: (() => void)[] = []
  const shared = new Map<string, Shared>()
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
        queue.splice(queue.indexOf(go), 1)
        reject(signal.reason as Error)
      }
      queue.push(go)
      signal.addEventListener('abort', leave, { once: true })
    })
  }
  /** The place goes to the next that waits. */
  function leave(): void {
    const next = queue.shift()
    if (next) next()
    else running--
  }
  function start(key: string, name: string, credentials: readonly RegistryCredentials[]): Shared {
    const stop = new AbortController()
    const pull: Shared = { waiting: 0, stop, result: run() }
    async function run(): Promise<Pulled> {
      const asked = performance.now()
      try {
        await turn(stop.signal)
        const began = performance.now()
        pull.began = began
        try {
          const access: Pick<Pulled, 'asked' | 'credential'> = { asked: false }
          const onAccess = (credential: number | undefined): void => void Object.assign(access, { asked: true, credential })
          const image = await service.pull(name, { credentials, signal: stop.signal, onAccess })
          const now = performance.now()
          return { image, ...access, pullMs: now - began, totalMs: now - asked }
        } finally {
          leave()
        }
      } finally {
        shared.delete(key)
      }
    }
    pull.result.catch(() => {})
    shared.set(key, pull)
    return pull
  }
  return {
    async pull(name, credentials, signal) {
      signal.throwIfAborted()
      const asked = performance.now()
      const key = JSON.stringify([name, credentials])
      const one = shared.get(key) ?? start(key, name, credentials)
      one.waiting++
      const { promise: left, reject } = Promise.withResolvers<never>()
      const end = (): void => reject(signal.reason as Error)
      signal.addEventListener('abort', end, { once: true })
      try {
        const pulled = await Promise.race([one.result, left])
        const now = performance.now()
        return { ...pulled, pullMs: now - Math.max(asked, one.began ?? asked), totalMs: now - asked }
      } finally {
        signal.removeEventListener('abort', end)
        if (--one.waiting === 0) {
          one.stop.abort(signal.aborted ? signal.reason : new Error('context canceled'))
          if (shared.get(key) === one) shared.delete(key)
        }
      }
    },
  }
}
