/**
 * The fence of a leader: what it writes waits until its lease is known to be held. A process that was paused, or cut off from the API,
 * wakes up in the middle of whatever it did and may not know yet that another leads; no decision of its old life leaves it before it has
 * asked.
 */
import type { Transport } from '../bus/transport.ts'
import { StatusError } from '../machinery/status.ts'

export class Leadership {
  #until = -Infinity
  #longest = -Infinity
  readonly #waiting = new Set<() => void>()

  /** Held until then by performance.now(), and nobody else has led since it was acquired. */
  extend(until: number): void {
    this.#until = Math.max(this.#until, until)
    this.#longest = Math.max(this.#longest, until)
    const waiting = this.held ? [...this.#waiting] : []
    for (const go of waiting) go()
  }

  /** Not known to be held any more, until the next renewal: what is sent from now on may arrive much later. */
  suspend(): void {
    this.#until = -Infinity
  }

  /** For how long, ms, a lease that was held once has not been renewed in time; negative while it is held, and before. */
  get overdueMs(): number {
    return this.#longest === -Infinity ? -Infinity : performance.now() - this.#longest
  }

  get held(): boolean {
    return performance.now() < this.#until
  }

  /** Resolves when the lease is held; rejects with 503 after `timeoutMs`. */
  async confirmed(timeoutMs: number): Promise<void> {
    if (this.held) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(go)
        reject(new StatusError(503, 'ServiceUnavailable', 'the lease of this leader could not be renewed'))
      }, timeoutMs)
      const go = (): void => {
        this.#waiting.delete(go)
        clearTimeout(timer)
        resolve()
      }
      this.#waiting.add(go)
    })
  }
}

/** The same API for a leader: reads as they are, writes only while the lease is held. */
export function fenced(transport: Transport, leadership: Leadership): Transport {
  return {
    async request(request) {
      if (request.method !== 'GET' && !leadership.held) await leadership.confirmed(request.timeoutMs ?? 30_000)
      return transport.request(request)
    },
    close: () => transport.close(),
  }
}
