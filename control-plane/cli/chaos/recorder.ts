/** Follows the cluster from the outside, as any client does over HTTPS, and writes its history. */
import { setTimeout as delay } from 'node:timers/promises'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { keyOf, type HistoryEvent } from './history.ts'
import { factOf, observedKinds, type Observed } from './observe.ts'
import { World } from './world.ts'

/** A watch that hangs is noticed after that long. */
const watchSeconds = 60

type Untimed<E> = E extends { at: number } ? Omit<E, 'at'> : never

export class Recorder {
  readonly history: HistoryEvent[] = []
  readonly world = new World()
  readonly #client: Client
  readonly #signal: AbortSignal
  readonly #began = performance.now()
  readonly #listeners = new Set<() => void>()
  #kinds: readonly Observed[] = []

  constructor(client: Client, signal: AbortSignal) {
    this.#client = client
    this.#signal = signal
  }

  /** ms since the start. */
  now(): number {
    return performance.now() - this.#began
  }

  record(event: Untimed<HistoryEvent>): void {
    const timed = { at: this.now(), ...event } as HistoryEvent
    this.history.push(timed)
    this.world.apply(timed)
    for (const listener of this.#listeners) listener()
  }

  /** Lists every kind and follows it until the signal aborts. Rejects when the API does not answer. */
  async start(): Promise<void> {
    const served = await this.#served()
    this.#kinds = observedKinds.filter(o => served.has(`${o.kind.group}/${o.kind.plural}`))
    await Promise.all(
      this.#kinds.map(async observed => {
        const version = await this.#list(observed, 'start')
        void this.#follow(observed, version)
      }),
    )
  }

  /** Resolves with true once `condition` holds, asked after every event; with false after `timeoutMs` or when `signal` aborts. */
  async until(condition: () => boolean, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    if (condition()) return true
    if (signal.aborted) return false
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const listener = (): void => void (condition() && resolve(true))
    const giveUp = (): void => resolve(condition())
    const timer = setTimeout(giveUp, timeoutMs)
    this.#listeners.add(listener)
    signal.addEventListener('abort', giveUp)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#listeners.delete(listener)
      signal.removeEventListener('abort', giveUp)
    }
  }

  /** Lists every kind once more, as soon as the watches have told what the lists show, at the latest after `timeoutMs`. */
  async finish(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs
    await Promise.all(this.#kinds.map(observed => this.#listAgain(observed, deadline)))
  }

  async #listAgain(observed: Observed, deadline: number): Promise<void> {
    for (let wait = 50; ; wait = Math.min(wait * 2, 1000)) {
      try {
        const { version, facts } = await this.#read(observed)
        const told = this.world.of(observed.kind.plural)
        const agrees = facts.length === told.size && facts.every(f => told.get(keyOf(f))?.version === f.version)
        if (agrees || performance.now() > deadline)
          return this.record({ type: 'list', kind: observed.kind.plural, version, facts, why: 'end' })
      } catch (e) {
        if (performance.now() > deadline) throw e
      }
      await delay(wait)
    }
  }

  async #served(): Promise<Set<string>> {
    const lists = await Promise.all(
      [...new Set(observedKinds.map(({ kind }) => `${kind.group}/${kind.version}`))].map(async gv => {
        const [group = '', version = ''] = gv.split('/')
        const list = await this.#client.raw<{ resources: { name: string }[] }>(
          'GET',
          group ? `/apis/${group}/${version}` : `/api/${version}`,
        )
        return list.resources.map(r => `${group}/${r.name}`)
      }),
    )
    return new Set(lists.flat())
  }

  async #read(observed: Observed) {
    const { kind, namespace = '', fieldSelector } = observed
    const list = await this.#client.list(kind, namespace, fieldSelector ? { fieldSelector } : {})
    return { version: Number(list.metadata.resourceVersion), facts: list.items.map(item => factOf(observed, item)) }
  }

  async #list(observed: Observed, why: 'start' | 'expired'): Promise<number> {
    const { version, facts } = await this.#read(observed)
    this.record({ type: 'list', kind: observed.kind.plural, version, facts, why })
    return version
  }

  async #follow(observed: Observed, from: number): Promise<void> {
    const { kind, namespace = '', fieldSelector } = observed
    const pause = backoff(50, 500)
    let version = from
    while (!this.#signal.aborted) {
      try {
        const options = {
          resourceVersion: String(version),
          allowWatchBookmarks: true,
          timeoutSeconds: watchSeconds,
          ...(fieldSelector ? { fieldSelector } : {}),
        }
        for await (const event of this.#client.watch<KubeObject>(kind, namespace, options, this.#signal)) {
          pause.reset()
          version = Number(event.object.metadata.resourceVersion)
          if (event.type !== 'BOOKMARK') this.record({ type: 'change', change: changes[event.type], fact: factOf(observed, event.object) })
        }
        continue
      } catch (e) {
        if (e instanceof StatusError && e.status.code === 410) version = await this.#list(observed, 'expired').catch(() => version)
      }
      await sleep(pause.next(), this.#signal)
    }
  }
}

const changes = { ADDED: 'added', MODIFIED: 'modified', DELETED: 'deleted' } as const
