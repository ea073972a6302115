/** The node-agent's side of image-puller: started for the first image, and gone when there has been none for a while. */
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Logger } from '#shared/component/log.ts'
import { spawnOnMachine } from '../machinenamespaces.ts'
import type { ImageStore } from '../runtime/images/imagestore.ts'
import type { ImageSources } from '../runtime/images/service.ts'
import { ImageError, type ImageFailure, type PullOptions, type RegistryCredentials } from '../runtime/imageservice.ts'

/** What image-puller is told: to get an image, or to leave off. */
export type Order = { id: number; image: string; credentials: readonly RegistryCredentials[] } | { id: number }
/** What it says in the end; without `message` the image is in the store. */
export interface Answer {
  id: number
  /** The place of the credentials that were good. */
  credential?: number | undefined
  message?: string
  reason?: ImageFailure
}

export interface RegistryPuller {
  /** Resolves when the store has the image. Rejects with ImageError in containerd's words, or with the signal's reason. */
  pull(image: string, options: PullOptions): Promise<void>
}

export interface RegistryPullerOptions {
  /** The directory of the machine's images. */
  store: string
  /** A registries.yaml. */
  registries?: string | undefined
  log?: Logger | undefined
}

/** As the image service wants it. */
export function registryFetch(store: ImageStore, options: Omit<RegistryPullerOptions, 'store'>): NonNullable<ImageSources['fetch']> {
  const puller = registryPuller({ ...options, store: store.content.directory })
  return async (reference, pull) => {
    await puller.pull(reference.canonical, pull)
    const found = await store.find(reference.canonical)
    if (found === undefined) throw new ImageError(`image ${JSON.stringify(reference.canonical)} was removed while it was pulled`)
    return found
  }
}

const program = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './image-puller.js', import.meta.url))
const idleMs = 30_000

export function registryPuller({ store, registries, log }: RegistryPullerOptions): RegistryPuller {
  const waiting = new Map<number, (answer: Answer) => void>()
  let child: ChildProcess | undefined
  let idle: NodeJS.Timeout | undefined
  let last = 0

  function start(): ChildProcess {
    const args = [program, '--store', store, ...(registries === undefined ? [] : ['--registries', registries])]
    const made = spawnOnMachine(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'], ipc: true })
    const ended = (why: string): void => {
      if (child !== made) return
      child = undefined
      if (waiting.size > 0) log?.warn({ err: why }, 'the image puller ended')
      for (const [id, tell] of waiting) tell({ id, message: `the image puller ended: ${why}`, reason: 'ErrImagePull' })
    }
    made.on('message', (answer: Answer) => waiting.get(answer.id)?.(answer))
    made.once('error', error => ended(error.message))
    made.once('exit', (code, signal) => ended(signal ?? `exit code ${code}`))
    // It is no reason for the node-agent not to end.
    made.unref()
    made.channel?.unref()
    return made
  }
  function rest(): void {
    idle = setTimeout(() => {
      const old = child
      child = undefined
      old?.disconnect()
    }, idleMs)
    idle.unref()
  }

  return {
    async pull(image, { credentials = [], signal, onAccess }) {
      signal.throwIfAborted()
      clearTimeout(idle)
      const to = (child ??= start())
      to.channel?.ref()
      const id = ++last
      const answer = await new Promise<Answer>(resolve => {
        waiting.set(id, resolve)
        const cancel = (): void => void (to.connected && to.send({ id } satisfies Order))
        signal.addEventListener('abort', cancel, { once: true })
        to.send({ id, image, credentials } satisfies Order, error => error && resolve({ id, message: error.message }))
      })
      waiting.delete(id)
      if (waiting.size === 0) {
        to.channel?.unref()
        rest()
      }
      signal.throwIfAborted()
      if (answer.message === undefined) onAccess?.(answer.credential)
      else throw new ImageError(answer.message, answer.reason)
    },
  }
}
