/** startInformer: the implementation of informer.ts. */
import type { KubeObject } from '../api/meta/objectmeta.ts'
import type { Kind } from '../api/resource.ts'
import { logger, type Logger } from '../component/log.ts'
import { StatusError } from '../machinery/status.ts'
import { backoff, sleep } from './backoff.ts'
import { Cache } from './cache.ts'
import type { Client } from './client.ts'
import type { Informer, InformerEvent } from './informer.ts'

export interface InformerOptions<T> {
  /** All namespaces when absent. */
  namespace?: string
  labelSelector?: string
  fieldSelector?: string
  /** Only the object of this name. */
  name?: string
  /** Keep metadata only. */
  metadataOnly?: boolean
  /** Takes away what nobody who asks this informer reads, before the object is kept and handed out. */
  strip?: (object: T) => void
  log?: Logger
}

const versionOf = (object: { metadata: { resourceVersion?: string | undefined } }): number => Number(object.metadata.resourceVersion ?? 0)

/**
 * What turns the cache into `items`: removals first, then what is new or changed. An object replaced under its name is a removal and an
 * addition.
 */
export function replacement<T extends KubeObject>(cache: Cache<T>, items: readonly T[]): InformerEvent<T>[] {
  const fresh = new Map(items.map(item => [Cache.keyOf(item), item]))
  const events: InformerEvent<T>[] = []
  for (const old of cache.all()) {
    const now = fresh.get(Cache.keyOf(old))
    if (now?.metadata.uid !== old.metadata.uid || !now) events.push({ type: 'DELETED', object: old, previous: old })
  }
  for (const [key, item] of fresh) {
    const old = cache.get(key)
    if (!old || old.metadata.uid !== item.metadata.uid) events.push({ type: 'ADDED', object: item })
    else if (old.metadata.resourceVersion !== item.metadata.resourceVersion) events.push({ type: 'MODIFIED', object: item, previous: old })
  }
  return events
}

class Reflector<T extends KubeObject> implements Informer<T> {
  readonly kind: Kind<T>
  readonly synced: Promise<void>
  version = 0
  lastHeard = 0
  readonly #client: Client
  readonly #options: InformerOptions<T>
  readonly #log: Logger
  readonly #cache = new Cache<T>()
  readonly #handlers = new Set<(event: InformerEvent<T>) => void>()
  readonly #waiters = new Set<(older: boolean) => void>()
  #markSynced = () => {}

  constructor(client: Client, kind: Kind<T>, options: InformerOptions<T>) {
    this.#client = client
    this.kind = kind
    this.#options = options
    this.#log = options.log ?? logger('informer')
    this.synced = new Promise(resolve => (this.#markSynced = resolve))
  }
  get(namespace: string, name: string): T | undefined {
    return this.#cache.get(Cache.key(namespace, name))
  }
  list(namespace?: string): T[] {
    return namespace ? this.#cache.byIndex('namespace', namespace) : this.#cache.all()
  }
  addIndex(name: string, keys: (object: T) => string[]): void {
    this.#cache.addIndex(name, keys)
  }
  byIndex(name: string, key: string): T[] {
    return this.#cache.byIndex(name, key)
  }
  subscribe(handler: (event: InformerEvent<T>) => void): () => void {
    for (const object of this.#cache.all()) this.#call(handler, { type: 'ADDED', object })
    // Wrapped, so that the same function may subscribe twice.
    const own = (event: InformerEvent<T>) => handler(event)
    this.#handlers.add(own)
    return () => void this.#handlers.delete(own)
  }
  async reached(version: number, timeoutMs?: number): Promise<void> {
    if (this.version >= version) return
    await new Promise<void>(resolve => {
      const timer = timeoutMs === undefined ? undefined : setTimeout(() => finish(), timeoutMs)
      const finish = () => {
        clearTimeout(timer)
        this.#waiters.delete(check)
        resolve()
      }
      const check = (older: boolean) => {
        if (older || this.version >= version) finish()
      }
      this.#waiters.add(check)
    })
  }

  async run(signal: AbortSignal): Promise<void> {
    const pause = backoff(100, 1_000)
    let listed = false
    while (!signal.aborted) {
      try {
        if (!listed) await this.#list()
        listed = true
        this.#markSynced()
        for await (const event of this.#client.watch<T>(this.kind, this.#options.namespace ?? '', this.#watchOptions(), signal)) {
          this.#heard()
          pause.reset()
          if (event.type === 'BOOKMARK') this.#advance(Number(event.object.metadata.resourceVersion))
          else {
            this.#apply(event.type === 'DELETED', this.#kept(event.object))
            this.#advance(versionOf(event.object))
          }
        }
      } catch (e) {
        if (signal.aborted) return
        // 410 is ordinary: the history that the watch needs is gone. What is missing from it shows in a fresh list.
        if (e instanceof StatusError && (e.code === 410 || e.reason === 'Expired' || e.reason === 'Gone')) {
          if (listed) {
            listed = false
            continue
          }
        }
        this.#log.warn({ kind: this.kind.kind, version: this.version, err: (e as Error).message }, 'list or watch failed')
      }
      if (!signal.aborted) await sleep(pause.next(), signal)
    }
  }

  #watchOptions() {
    return {
      ...this.#selection(),
      resourceVersion: String(this.version),
      allowWatchBookmarks: true,
      omitManagedFields: true,
      // As client-go: spread, so that watches do not end all at once.
      timeoutSeconds: Math.round(300 * (1 + Math.random())),
      onAlive: () => this.#heard(),
    }
  }
  #selection() {
    const { labelSelector, fieldSelector, name, metadataOnly } = this.#options
    const fields = [...(fieldSelector ? [fieldSelector] : []), ...(name ? [`metadata.name=${name}`] : [])].join(',')
    return {
      ...(labelSelector ? { labelSelector } : {}),
      ...(fields ? { fieldSelector: fields } : {}),
      ...(metadataOnly ? { metadataOnly } : {}),
    }
  }
  async #list(): Promise<void> {
    const { items, metadata } = await this.#client.list<T>(this.kind, this.#options.namespace ?? '', this.#selection())
    this.#heard()
    for (const event of replacement(
      this.#cache,
      items.map(item => this.#kept(item)),
    ))
      this.#publish(event)
    // A registry that was replaced by an older one starts again below: the version follows it.
    const version = Number(metadata.resourceVersion ?? 0)
    const older = version < this.version
    this.version = version
    this.#advance(version, older)
  }
  /** Managed fields are a third of most objects, and no component reads them: an update without them keeps what the server has. */
  #kept(object: T): T {
    if (object.metadata.managedFields) object.metadata.managedFields = undefined
    this.#options.strip?.(object)
    return object
  }
  #apply(gone: boolean, object: T): void {
    const previous = this.#cache.get(Cache.keyOf(object))
    if (gone) {
      if (previous) this.#publish({ type: 'DELETED', object, previous })
    } else if (!previous) this.#publish({ type: 'ADDED', object })
    else this.#publish({ type: 'MODIFIED', object, previous })
  }
  #publish(event: InformerEvent<T>): void {
    if (event.type === 'DELETED') this.#cache.delete(Cache.keyOf(event.object))
    else this.#cache.set(event.object)
    for (const handler of this.#handlers) this.#call(handler, event)
  }
  #call(handler: (event: InformerEvent<T>) => void, event: InformerEvent<T>): void {
    try {
      handler(event)
    } catch (e) {
      this.#log.error({ err: e, kind: this.kind.kind, object: Cache.keyOf(event.object) }, 'an event handler failed')
    }
  }
  /** `older`: the versions that are waited for belonged to another registry, and the list shows what became of them. */
  #advance(version: number, older = false): void {
    if (version > this.version) this.version = version
    for (const check of this.#waiters) check(older)
  }
  #heard(): void {
    this.lastHeard = performance.now()
  }
}

/** Follows a kind until `signal` aborts. Starts at once; wait for `synced` before reading. */
export function startInformer<T extends KubeObject>(
  client: Client,
  kind: Kind<T>,
  options: InformerOptions<T>,
  signal: AbortSignal,
): Informer<T> {
  const informer = new Reflector<T>(client, kind, options)
  // run() catches what it calls; a failure beyond that is a bug. Without its informer a component would go on blind: it ends instead, and
  // its supervisor starts it again.
  informer.run(signal).catch((e: unknown) => {
    ;(options.log ?? logger('informer')).fatal({ err: e, kind: kind.kind }, 'informer stopped')
    setImmediate(() => {
      throw e
    })
  })
  return informer
}
