/** Waiting for the cache to pass a point of the stream, and finding the point that makes a read current. */
import { nuid, type NatsConnection } from 'nats'
import type { BusConnection } from '#shared/bus/connection.ts'
import { timeout } from '#shared/machinery/status.ts'
import { streamState } from './stream.ts'

interface Waiter {
  readonly version: number
  readonly resolve: () => void
  readonly timer: NodeJS.Timeout
}

/** Those who wait for the cache. */
export class Reached {
  #waiters: Waiter[] = []
  #lowest = Infinity

  wait(version: number, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter(w => w !== waiter)
        reject(timeout(`the watch cache did not reach version ${version} in time`))
      }, timeoutMs)
      const waiter: Waiter = { version, resolve, timer }
      this.#waiters.push(waiter)
      this.#lowest = Math.min(this.#lowest, version)
    })
  }

  passed(version: number): void {
    if (version < this.#lowest) return
    const waiters = this.#waiters
    this.#waiters = []
    this.#lowest = Infinity
    for (const w of waiters) {
      if (w.version > version) {
        this.#waiters.push(w)
        this.#lowest = Math.min(this.#lowest, w.version)
        continue
      }
      clearTimeout(w.timer)
      w.resolve()
    }
  }
}

/**
 * The newest sequence, for any number of readers at once: one question serves all who asked before it was put. With several servers the one that
 * answers may be behind, so a marker is published instead: what was acknowledged before it comes before it.
 */
export function currentVersion(connection: BusConnection, replicas: number, deadlineMs: number): () => Promise<number> {
  let next: Promise<number> | undefined
  let busy: Promise<unknown> | undefined
  const ask = async () => {
    const end = performance.now() + deadlineMs
    for (;;) {
      try {
        return replicas > 1 ? await publishMarker(connection.nats) : (await streamState(connection.nats, 1000)).last_seq
      } catch (e) {
        if (performance.now() > end || connection.nats.isClosed()) throw timeout(`the store did not answer in time: ${(e as Error).message}`)
        await new Promise(resolve => setTimeout(resolve, 50))
      }
    }
  }
  return () => {
    if (next) return next
    // All readers whose requests are read in this turn of the event loop are in time for the question that ends it.
    const mine = (busy ?? Promise.resolve()).then(endOfTurn).then(() => {
      next = undefined
      const answer = ask()
      busy = answer.catch(() => {})
      return answer
    })
    return (next = mine)
  }
}

const endOfTurn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

const markerSubject = `registry.marker.${nuid.next()}`

async function publishMarker(nats: NatsConnection): Promise<number> {
  const answer = (await nats.request(markerSubject, '', { timeout: 1000 })).json<{ seq?: number; error?: { description: string } }>()
  if (answer.seq === undefined) throw new Error(answer.error?.description ?? 'no sequence')
  return answer.seq
}
