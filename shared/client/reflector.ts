/** startInformer: the implementation of informer.ts. */
import type { KubeObject } from '../api/meta/objectmeta.ts'
import type { Kind } from '../api/resource.ts'
import { logger, type Logger } from '../component/log.ts'
import { StatusError, isExpired } from '../machinery/status.ts'
import { backoff, sleep } from './backoff.ts'
import { Cache } from './cache.ts'
import { endsInitialEvents, type Client, type WatchEvent } from './client.ts'
import type { Informer, InformerEvent } from './informer.ts'
import { turns } from './turns.ts'

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
  /** The longest pause between attempts to list or watch, ms; 1000 when absent. */
  maxPauseMs?: number
  /** Called when a list or watch fails otherwise than by falling behind. */
  onFailure?: (error: unknown) => void
  log?: Logger
}

/** Of lists, where what is there does not come by a watch. */
const pageSize = 1000
/** A watch that begins with what is there and is silent for so long, ms, is of a server that does not say when that was all. */
const silentMs = 5_000

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

/** Aborts a watch when it is silent for too long, or with the reflector. */
class Silence {
  readonly #quiet = new AbortController()
  readonly signal: AbortSignal
  #timer: NodeJS.Timeout | undefined

  constructor(parent: AbortSignal) {
    this.signal = AbortSignal.any([parent, this.#quiet.signal])
  }
  get tooLong(): boolean {
    return this.#quiet.signal.aborted
  }
  begins(): void {
    if (this.#timer) this.#timer.refresh()
    else this.#timer = setTimeout(() => this.#quiet.abort(), silentMs).unref()
  }
  ends(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
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
  #isSynced = false

  constructor(client: Client, kind: Kind<T>, options: InformerOptions<T>) {
    this.#client = client
    this.kind = kind
    this.#options = options
    this.#log = options.log ?? logger('informer')
    this.synced = new Promise(resolve => (this.#markSynced = () => resolve(void (this.#isSynced = true))))
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
  countByIndex(name: string, key: string): number {
    return this.#cache.countByIndex(name, key)
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
    const pause = backoff(100, this.#options.maxPauseMs ?? 1_000)
    // Many lose their place at the same time: they do not all list again at once, nor again and again.
    const relist = backoff(400, 10_000)
    let listed = false
    let listedAt = 0
    let streaming = true
    while (!signal.aborted) {
      try {
        if (!listed && !streaming) {
          await this.#replace(...(await this.#list()))
          listed = true
          listedAt = performance.now()
        }
        const initial = listed ? undefined : new Map<string, T>()
        if (!initial) this.#markSynced()
        const silence = new Silence(signal)
        if (initial) silence.begins()
        for await (const event of this.#client.watch<T>(
          this.kind,
          this.#options.namespace ?? '',
          this.#watchOptions(!listed),
          silence.signal,
        )) {
          this.#heard()
          pause.reset()
          if (!listed) silence.begins()
          if (listed) this.#follow(event)
          else if (endsInitialEvents(event)) {
            silence.ends()
            await this.#replace([...initial!.values()], versionOf(event.object))
            initial!.clear()
            this.#markSynced()
            listed = true
            listedAt = performance.now()
          } else this.#collect(initial!, event)
        }
        silence.ends()
        if (silence.tooLong && !listed) {
          streaming = false
          continue
        }
      } catch (e) {
        if (signal.aborted) return
        if (!listed && streaming && e instanceof StatusError && (e.code === 400 || e.code === 422)) {
          // A server that does not send what is there by a watch.
          streaming = false
          continue
        }
        if (!isExpired(e)) {
          this.#log.warn({ kind: this.kind.kind, version: this.version, err: (e as Error).message }, 'list or watch failed')
          this.#options.onFailure?.(e)
        } else {
          // Ordinary: the history that the watch needs is gone. What is missing from it shows in a fresh list.
          listed = false
          if (performance.now() - listedAt > 60_000) relist.reset()
          await sleep(relist.next(), signal)
          continue
        }
      }
      if (!signal.aborted) await sleep(pause.next(), signal)
    }
  }

  #watchOptions(initial: boolean) {
    return {
      ...this.#selection(),
      ...(initial ? { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' as const } : { resourceVersion: String(this.version) }),
      allowWatchBookmarks: true,
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
      omitManagedFields: true,
    }
  }
  /** Everything, a part at a time, as it was at the version of the first part. */
  async #list(): Promise<[items: T[], version: number]> {
    const items: T[] = []
    for (let next = ''; ;) {
      const part = { ...this.#selection(), limit: pageSize, ...(next ? { continue: next } : {}) }
      const list = await this.#client.list<T>(this.kind, this.#options.namespace ?? '', part)
      this.#heard()
      for (const item of list.items) items.push(this.#kept(item))
      next = list.metadata.continue ?? ''
      if (!next) return [items, Number(list.metadata.resourceVersion ?? 0)]
    }
  }
  /** An event before all that was there at first has come. */
  #collect(items: Map<string, T>, event: WatchEvent<T>): void {
    if (event.type === 'BOOKMARK') return
    const object = this.#kept(event.object)
    if (event.type === 'DELETED') items.delete(Cache.keyOf(object))
    else items.set(Cache.keyOf(object), object)
  }
  #follow(event: WatchEvent<T>): void {
    if (event.type !== 'BOOKMARK') this.#apply(event.type === 'DELETED', this.#kept(event.object))
    this.#advance(versionOf(event.object))
  }
  /**
   * At once for those who have read what was there before; at first nobody has, and it comes in turns: hundreds of thousands of objects
   * keep a process busy for seconds.
   */
  async #replace(items: readonly T[], version: number): Promise<void> {
    const turnEnds = turns()
    for (const event of replacement(this.#cache, items)) {
      this.#publish(event)
      const end = this.#isSynced ? undefined : turnEnds()
      if (end) await end
    }
    // A registry that was replaced by an older one starts again below: the version follows it.
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
