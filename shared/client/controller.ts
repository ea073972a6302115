/**
 * The controller runtime: informers' events become keys in a work queue, workers call `reconcile` for one key at a time. A key whose
 * reconcile wrote something is held back until the informers have seen those writes, so that no decision is made on a cache that lacks them
 * (upstream's expectations).
 */
import type { KubeObject } from '../api/meta/objectmeta.ts'
import { logger, type Logger } from '../component/log.ts'
import { StatusError, timeout } from '../machinery/status.ts'
import type { Client } from './client.ts'
import type { Informer, InformerEvent } from './informer.ts'
import { recordingClient, type Recording, type SeenBy, type UnknownCreates } from './recording.ts'
import { turns } from './turns.ts'
import { workQueue, type QueueOptions, type WorkQueue } from './workqueue.ts'

/** An informer that the controller reads; its events give keys when `keys` is there. */
export interface Source {
  readonly informer: Informer<any> // any: sources of one controller are of several kinds; `source` checks each
  readonly keys?: (event: InformerEvent<any>) => Iterable<string> // any: as above
}
/** A source whose mapping is checked against the informer's kind. */
export const source = <T extends KubeObject>(informer: Informer<T>, keys?: (event: InformerEvent<T>) => Iterable<string>): Source =>
  keys ? { informer, keys } : { informer }

export interface ControllerOptions {
  readonly name: string
  readonly client: Client
  readonly sources: readonly Source[]
  /** Further informers that it reads; their events give no keys. */
  readonly reads?: Iterable<Informer<any>> // any: as above
  /** Keys reconciled at the same time. Default 4. */
  readonly workers?: number
  /**
   * Moves the world one step. Writes go through `client`. May ask to be called again. An exception is logged and the key retried with
   * back-off.
   */
  readonly reconcile: (key: string, client: Client) => Promise<void | { requeueAfterMs: number }>
  /** After this many ms a reconcile may write no more and its worker goes on to other keys. Default 5 minutes. */
  readonly deadlineMs?: number
  readonly queue?: QueueOptions
  readonly log?: Logger
  /** Called with the queue before workers start, for keys that do not come from events. */
  readonly start?: (queue: WorkQueue) => void
}

/** `namespace/name`, or `/name` for cluster-scoped objects. */
export const keyOf = (object: { metadata: { namespace?: string | undefined; name?: string | undefined } }): string =>
  `${object.metadata.namespace ?? ''}/${object.metadata.name ?? ''}`
export function splitKey(key: string): [namespace: string, name: string] {
  const slash = key.indexOf('/')
  return [key.slice(0, slash), key.slice(slash + 1)]
}

/** Runs until `signal` aborts and the reconciles under way have ended. `started` is given the queue, for metrics. */
export async function runController(options: ControllerOptions, signal: AbortSignal, started?: (queue: WorkQueue) => void): Promise<void> {
  const { name, sources, deadlineMs = 300_000 } = options
  const log = (options.log ?? logger(name)).child({ controller: name })
  const informers = [...new Set([...sources.map(s => s.informer), ...(options.reads ?? [])])]
  const aborted = new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))
  await Promise.race([Promise.all(informers.map(i => i.synced)), aborted])
  if (signal.aborted) return
  const queue = workQueue(options.queue)
  started?.(queue)
  const seen = watchers(informers)
  const unsubscribe = sources.flatMap(({ informer, keys }) =>
    keys
      ? [
          informer.subscribe(event => {
            for (const key of keys(event)) queue.add(key)
          }),
        ]
      : [],
  )
  signal.addEventListener('abort', () => queue.shutDown(), { once: true })
  options.start?.(queue)
  /** By key, until an attempt succeeds. */
  const unknown = new Map<string, UnknownCreates>()

  // Many keys need nothing but a look, thousands of them when a process starts.
  const turnEnds = turns()
  async function work(): Promise<void> {
    for (let key = await queue.next(); key !== undefined; key = await queue.next()) {
      await one(key)
      const end = turnEnds()
      if (end) await end
    }
  }
  async function one(key: string): Promise<void> {
    const lost = unknown.get(key) ?? []
    const recording = recordingClient(options.client, seen, signal, lost)
    const attempt = reconcile(key, recording, lost)
    // The worker goes on; only this key waits.
    void attempt
      .then(() => recording.settled())
      .catch((e: unknown) => log.error({ key, err: e }, 'cannot tell whether the writes of a reconcile were seen'))
      .then(() => queue.done(key))
    await new Promise<void>(resolve => {
      const deadline = setTimeout(() => {
        log.error({ key, deadlineMs }, 'a reconcile exceeds its deadline: it may write no more')
        recording.close(timeout(`the reconcile did not complete within ${deadlineMs} ms`))
        resolve()
      }, deadlineMs)
      void attempt.then(() => {
        clearTimeout(deadline)
        resolve()
      })
    })
  }
  /** Never rejects. */
  async function reconcile(key: string, recording: Recording, lost: UnknownCreates): Promise<void> {
    try {
      const result = await options.reconcile(key, recording.client)
      unknown.delete(key)
      queue.forget(key)
      if (result) queue.addAfter(key, result.requeueAfterMs)
    } catch (e) {
      if (lost.length) unknown.set(key, lost)
      if (!signal.aborted) {
        // Conflicts are how optimistic concurrency looks; anything else deserves a look.
        const level = e instanceof StatusError && e.code === 409 ? 'debug' : 'warn'
        // The API's failures speak for themselves; of others the stack is wanted.
        log[level]({ key, err: e instanceof StatusError ? e.message : e }, 'reconcile failed, will retry')
      }
      queue.addRateLimited(key)
    }
  }
  await Promise.all(Array.from({ length: options.workers ?? 4 }, work))
  for (const stop of [...unsubscribe, seen.stop]) stop()
}

/** Says when the informers of a kind have seen a write. */
function watchers(informers: readonly Informer<any>[]): SeenBy & { stop: () => void } {
  const pending = new Map<Informer<any>, Map<string, Set<() => void>>>()
  const stops = informers.map(informer => {
    const waits = new Map<string, Set<() => void>>()
    pending.set(informer, waits)
    return informer.subscribe(event => {
      if (waits.size > 0) for (const check of waits.get(keyOf(event.object)) ?? []) check()
    })
  })
  const of = (kind: { group: string; plural: string }) =>
    informers.filter(i => i.kind.group === kind.group && i.kind.plural === kind.plural)
  return {
    async version(kind, version) {
      await Promise.all(of(kind).map(i => i.reached(version)))
    },
    async deleted(kind, namespace, name) {
      await Promise.all(
        of(kind).map(informer => {
          const before = informer.get(namespace, name) as KubeObject | undefined
          const passed = () => {
            const now = informer.get(namespace, name) as KubeObject | undefined
            return !now || now.metadata.deletionTimestamp !== undefined || now.metadata.uid !== before?.metadata.uid
          }
          if (passed()) return
          return new Promise<void>(resolve => {
            const waits = pending.get(informer)!
            const key = `${namespace}/${name}`
            const checks = waits.get(key) ?? new Set()
            waits.set(key, checks)
            const check = () => {
              if (!passed()) return
              checks.delete(check)
              if (checks.size === 0) waits.delete(key)
              resolve()
            }
            checks.add(check)
          })
        }),
      )
    },
    stop: () => stops.forEach(stop => stop()),
  }
}
