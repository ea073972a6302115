/**
 * A bound on the writes that a component has under way. Upstream's components limit their rate (--kube-api-qps); a bound serves the same
 * end, that the queues of the API server and of the registry stay short for what goes before everything else, and slows nothing down.
 */
import type { Transport } from '../bus/transport.ts'
import { Fifo } from '../machinery/fifo.ts'
import { StatusError } from '../machinery/status.ts'

const defaultTimeoutMs = 30_000

interface Waiting {
  live: boolean
  readonly go: () => void
}

/**
 * The same API; at most `limit` writes are sent that have no answer yet, the others wait in order. One that does not get its turn before
 * its deadline rejects with 429: it was not sent. Reads are sent at once.
 */
export function boundedWrites(transport: Transport, limit: number): Transport {
  let running = 0
  const queue = new Fifo<Waiting>()

  function turn(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        entry.live = false
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
      }
      const entry = {
        live: true,
        go: () => {
          end()
          running++
          resolve()
        },
      }
      const abort = (): void => {
        end()
        reject(signal?.reason as Error)
      }
      const timer = setTimeout(() => {
        end()
        reject(new StatusError(429, 'TooManyRequests', `this client has ${limit} writes under way, and this one had no turn in time`))
      }, timeoutMs)
      signal?.addEventListener('abort', abort)
      queue.push(entry)
    })
  }
  function next(): void {
    running--
    while (queue.length > 0 && running < limit) {
      const entry = queue.shift()!
      if (entry.live) entry.go()
    }
  }
  return {
    async request(request) {
      if (request.method === 'GET') return transport.request(request)
      const { timeoutMs = defaultTimeoutMs, signal } = request
      const end = performance.now() + timeoutMs
      signal?.throwIfAborted()
      if (running < limit) running++
      else await turn(timeoutMs, signal)
      try {
        return await transport.request({ ...request, timeoutMs: Math.max(1, end - performance.now()) })
      } finally {
        next()
      }
    },
    close: () => transport.close(),
  }
}
