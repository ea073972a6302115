/** Opens the registry: creates the stream, fills the watch cache from it and keeps it following. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { BusConnection } from '#shared/bus/connection.ts'
import { logger, type Logger } from '#shared/component/log.ts'
import type { Encryption } from '../encryption/transformer.ts'
import { ageHistories, apply, getCached, listCached, listCachedAt, newCache, oldestOf, oldestOfKey, tableKey, type Cache } from './cache.ts'
import { Compactor } from './compactor.ts'
import { EncryptedObjects } from './decrypt.ts'
import { Expiry } from './expiry.ts'
import { fill, type Source } from './filling.ts'
import { followStream, type Following, type StreamMessage } from './follow.ts'
import { Newest, Reached } from './freshness.ts'
import type { HistoryLimits } from './history.ts'
import { inherit } from './inherit.ts'
import { countOf } from './lists.ts'
import { Peers } from './peers.ts'
import { pushEvents } from './pushed.ts'
import {
  VersionExpired,
  type Cursor,
  type CursorOwner,
  type IndexedFields,
  type IndexedValue,
  type Registry,
  type RegistryEvent,
  type Stored,
  type Table,
  type Watcher,
  type WatchOptions,
} from './registry.ts'
import { StoreLost, type VersionRecord } from './record.ts'
import { Snapshots } from './snapshots.ts'
import { StoreSpace } from './space.ts'
import { encode, release } from './stored.ts'
import { storeFiles, type StoreFiles } from './storefiles.ts'
import { createStream, deletesSettleMs, nextSequence, streamState, subjectOf, writeIdOf } from './stream.ts'
import { Watches } from './watches.ts'
import { Writer, type WriterView } from './write.ts'

/** What the registry must know of a resource beyond its name. */
export interface TableOptions extends Table {
  /** Fields that watches are indexed by: path -> value of an object. */
  readonly indexed?: IndexedFields
  /** Objects go when nobody wrote them for that long. */
  readonly ttlSeconds?: number
  /** Of more than so many objects those go that were not written for longest; only with `ttlSeconds`. */
  readonly maxObjects?: number
  /** A write is acknowledged when all API servers have it: decisions are made by what their caches hold. */
  readonly everywhere?: boolean
}

export interface RegistryOptions {
  /** As the identity `registry`. */
  connection: BusConnection
  tables?: readonly TableOptions[]
  log?: Logger
  /** Events kept per table; default 10,000. They are bounded in bytes and age too, see history.ts. */
  history?: number
  /** How long replaced versions stay in the stream, ms; default 5 minutes, as etcd's compaction in Kubernetes. */
  windowMs?: number
  /** Of how many of the stream's newest messages replaced versions stay at most; default 100,000. */
  maxVersions?: number
  /** How long tombstones stay after what they hide was deleted, ms; default `deletesSettleMs`. Less risks objects that come back. */
  settleMs?: number
  /** Copies of the stream, when there are several nats-servers; default 1. */
  replicas?: number
  /** nats-server's `store_dir`, when it is on this machine and does not sync by itself: what is read is synced before it is used. */
  storeDir?: string | undefined
  /** What is known of the store from before. Opening rejects with StoreLost; when it happens later, the process ends. */
  record?: VersionRecord | undefined
  /** How objects are encrypted, those of the resources that it knows. */
  encryption?: Encryption | undefined
  /** How long a write may take before its outcome counts as unknown, ms; default 10,000. */
  writeTimeoutMs?: number
  /** How long to wait for JetStream and the first fill, ms; default 60,000. */
  openTimeoutMs?: number
}

/** Resolves when the cache is filled. Rejects when JetStream is not to be had in time. */
export async function openRegistry(options: RegistryOptions): Promise<Registry> {
  const log = options.log ?? logger('registry')
  const end = performance.now() + (options.openTimeoutMs ?? 60_000)
  const registry = new JetStreamRegistry(options, log)
  try {
    for (;;) {
      try {
        await createStream(options.connection.nats, options.replicas ?? 1)
        break
      } catch (e) {
        if (performance.now() > end) throw new Error(`cannot create the registry's stream: ${(e as Error).message}`)
        await new Promise(resolve => setTimeout(resolve, 100))
      }
    }
    await registry.load(end - performance.now())
    registry.join()
    return registry
  } catch (e) {
    await registry.close()
    throw e
  }
}

/** A store that keeps its connections but gives no sign of life for that long is not there. */
const silentMs = 5000

class JetStreamRegistry implements Registry {
  readonly #connection: BusConnection
  readonly #log: Logger
  readonly #limits: Partial<HistoryLimits>
  readonly #fieldsOf: (table: string) => IndexedFields | undefined
  readonly #watches: Watches
  readonly #writer: Writer
  readonly #reached = new Reached()
  readonly #compactor: Compactor
  readonly #expiry: Expiry
  readonly #newest: Newest
  readonly #snapshots = new Snapshots()
  readonly #progress: NodeJS.Timeout
  /** That it has ticked. */
  #seconds = 0
  readonly #storeFiles: StoreFiles | undefined
  readonly #space: StoreSpace | undefined
  readonly #record: VersionRecord | undefined
  readonly #encrypted: EncryptedObjects | undefined
  readonly #prepare: ((messages: readonly StreamMessage[]) => Promise<void>) | undefined
  readonly #everywhere: readonly Table[]
  #peers: Peers | undefined
  /** What readers see. While a new one is loaded, the old one goes on serving. */
  #cache: Cache
  #following: Following | undefined
  #loading = true
  #closed = false
  /** Markers of reads have no key; the last of each subject. */
  readonly #markers = new Map<string, number>()
  /** Own writes met while loading: they are settled when readers see them. */
  #late: (() => void)[] = []

  constructor(options: RegistryOptions, log: Logger) {
    const { connection, tables = [] } = options
    this.#connection = connection
    this.#log = log
    this.#limits = options.history === undefined ? {} : { count: options.history }
    const fields = new Map(tables.map(t => [tableKey(t), t.indexed]))
    this.#fieldsOf = table => fields.get(table)
    this.#everywhere = tables.filter(t => t.everywhere)
    this.#cache = newCache(this.#limits, this.#fieldsOf)
    this.#watches = new Watches(() => this.#cache, this.#fieldsOf)
    const files = options.storeDir === undefined ? undefined : storeFiles(options.storeDir)
    this.#storeFiles = files
    this.#record = options.record
    this.#space = options.storeDir === undefined ? undefined : new StoreSpace(options.storeDir)
    const sync = files && (() => files.sync().catch(e => this.#diskFailed(e as Error)))
    const view = {
      unreadable: () => this.#cache.unreadable.values().next().value,
      loading: () => this.#loading || this.#closed,
      load: () => this.load(),
    }
    this.#encrypted = options.encryption && new EncryptedObjects(options.encryption, view, log)
    const decrypt = this.#encrypted?.decrypt
    this.#prepare = sync && decrypt ? async messages => void (await Promise.all([sync(), decrypt(messages)])) : (sync ?? decrypt)
    this.#writer = new Writer(connection, options.writeTimeoutMs ?? 10_000)
    const compaction = {
      windowMs: options.windowMs ?? 300_000,
      maxVersions: options.maxVersions ?? 100_000,
      settleMs: options.settleMs ?? deletesSettleMs,
      erase: options.encryption !== undefined,
      possible: () => this.#space?.canCompact ?? true,
    }
    this.#compactor = new Compactor(connection, log, compaction, (subject, seq) => {
      const { tombstones } = this.#cache
      if ((tombstones.get(subject) ?? Infinity) <= seq) tombstones.delete(subject)
    })
    this.#expiry = new Expiry(tables, e => this.remove(e.table, e.namespace, e.name, e.version))
    this.#newest = new Newest(connection, options.replicas ?? 1, 5_000)
    this.#progress = setInterval(() => {
      if (this.#loading) return
      void this.#record?.save(this.#cache.version)
      ageHistories(this.#cache)
      this.#snapshots.expire(table => oldestOfKey(this.#cache, table))
      if (++this.#seconds % 5 === 0) void this.#watches.progress()
      void this.#encrypted?.readAgain()
    }, 1_000)
    this.#progress.unref()
  }

  /** Fills a new cache from the whole stream and goes on following. The old cache serves until then. */
  async load(timeoutMs = 0, wentBack = false): Promise<void> {
    this.#loading = true
    this.#following?.stop()
    const cache = newCache(this.#limits, this.#fieldsOf)
    const began = performance.now()
    const { nats } = this.#connection
    this.#compactor.reset()
    this.#expiry.reset()
    const registry = this
    const source: Source = {
      state: () => streamState(nats),
      nextSequence: from => nextSequence(nats, from),
      follow: (from, receive, idle) => (this.#following = followStream(this.#connection, this.#log, from, receive, idle, this.#prepare)),
    }
    await fill(
      source,
      {
        begins: last => this.#record?.check(last),
        apply: m => void this.#apply(cache, m, true),
        filled(version) {
          if (cache.version < version) cache.version = cache.floor = version
          registry.#serve(cache, wentBack)
          registry.#log.info({ version, ms: Math.round(performance.now() - began) }, 'the watch cache is filled')
        },
        live: messages => this.#live(messages),
        get closed() {
          return registry.#closed
        },
      },
      timeoutMs,
    )
  }

  /** Others wait for this server with what `everywhere` says. */
  join(): void {
    this.#peers = new Peers(this.#connection, this, this.#everywhere)
  }

  /** Readers see a new cache from here on. */
  #serve(cache: Cache, wentBack: boolean): void {
    const former = this.#cache
    const expire = wentBack || cache.version < former.version
    if (!expire) inherit(cache, former)
    this.#cache = cache
    this.#loading = false
    if (expire) {
      this.#snapshots.clear()
      this.#watches.expire()
    } else this.#watches.replaced(former.version)
    for (const settle of this.#late.splice(0)) settle()
    this.#reached.passed(cache.version)
  }

  #live(messages: readonly StreamMessage[]): void {
    const events: (readonly [string, RegistryEvent])[] = []
    const cache = this.#cache
    for (const m of messages) {
      if (m.seq !== cache.version + 1) {
        this.#publish(events)
        // Only what a new consumer does not deliver either is really missing.
        if (m.seq > cache.version && !m.first) return this.#following?.restart(cache.version + 1)
        return this.#reload(m.seq <= cache.version, m.seq)
      }
      const event = this.#apply(cache, m, false)
      if (event) events.push(event)
    }
    this.#publish(events)
  }

  #publish(events: (readonly [string, RegistryEvent])[]): void {
    if (events.length > 0) {
      this.#watches.dispatch(events)
      // After those who were woken have read.
      setImmediate(() => {
        for (const [, { stored, previous }] of events) {
          release(stored)
          if (previous) release(previous)
        }
      })
    }
    this.#reached.passed(this.#cache.version)
  }

  /** The stream went back, or versions are missing from it. */
  #reload(wentBack: boolean, seq: number): void {
    if (this.#loading || this.#closed) return
    const why = wentBack ? 'the stream went back' : 'versions are missing'
    this.#log.warn({ why, version: this.#cache.version, seq }, 'the watch cache is loaded anew')
    this.load(0, wentBack).catch((e: Error) => {
      if (this.#closed) return
      this.#log.fatal({ error: e.message }, 'the watch cache cannot be loaded')
      // Its supervisor starts it again, and a store that has lost something is told at the start.
      if (e instanceof StoreLost) process.exit(1)
    })
  }

  #apply(cache: Cache, m: StreamMessage, filling: boolean): readonly [string, RegistryEvent] | undefined {
    const writeId = writeIdOf(m.headers)
    try {
      const applied = apply(cache, m, this.#writer.objectOf(writeId))
      const mine = filling || writeId.startsWith(this.#writer.id)
      if (!applied) {
        this.#compactor.saw(m.subject, m.seq, m.time, this.#markers.get(m.subject) ?? 0, true, true)
        this.#markers.set(m.subject, m.seq)
        return undefined
      }
      const { key, event } = applied
      if (m.unreadable !== undefined)
        this.#log.error({ subject: m.subject, seq: m.seq, error: m.unreadable }, 'an object cannot be decrypted')
      const table = tableKey(key)
      const gone = m.data.length === 0
      this.#compactor.saw(m.subject, m.seq, m.time, applied.replaced, gone, mine)
      this.#expiry.saw(table, m.subject, key, m.seq, m.time, gone)
      if (!event) return undefined
      if (!filling) this.#writer.applied(writeId, event.stored)
      else if (this.#writer.isPending(writeId)) this.#late.push(() => this.#writer.applied(writeId, event.stored))
      return [table, event]
    } catch (e) {
      this.#log.error({ subject: m.subject, seq: m.seq, error: (e as Error).message }, 'a message of the registry cannot be read')
      return undefined
    }
  }

  /** After a failed fsync nobody knows what is on disk, and the next one would succeed: the process ends, as etcd's does. */
  #diskFailed(error: Error): void {
    if (this.#closed) return
    this.#log.fatal({ error: error.message }, 'the store cannot be synced')
    process.exit(1)
  }

  get version(): number {
    return this.#cache.version
  }

  get healthy(): boolean {
    return !this.#loading && !this.#closed && this.#connection.connected && (this.#following?.silentMs() ?? 0) < silentMs
  }

  get answersWrites(): boolean {
    return this.#writer.answered
  }

  get current(): boolean {
    return this.#peers?.current === true
  }

  get first(): boolean {
    return this.#peers?.first !== false
  }

  onFirst(listener: () => void): () => void {
    return this.#peers?.onFirst(listener) ?? (() => {})
  }

  async fresh(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    const before = this.#cache.version
    const work = this.#newest.sequence().then(version => {
      if (version < before) this.#reload(true, version)
      return this.reached(version)
    })
    if (!signal) return work
    const aborted = Promise.withResolvers<never>()
    const abort = () => aborted.reject(signal.reason)
    signal.addEventListener('abort', abort)
    try {
      await Promise.race([work, aborted.promise])
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  reached(version: number, timeoutMs = 3000): Promise<void> {
    return this.#cache.version >= version ? Promise.resolve() : this.#reached.wait(version, timeoutMs)
  }

  async reachedEverywhere(version: number): Promise<void> {
    await this.reached(version)
    await this.#peers?.reached(version)
  }

  get(table: Table, namespace: string, name: string): Stored | undefined {
    return getCached(this.#cache, table, namespace, name)
  }

  isStale(table: Table, namespace: string, name: string): boolean {
    return this.#cache.stale.size > 0 && this.#cache.stale.has(subjectOf(table, namespace, name))
  }

  list(table: Table, namespace?: string, index?: IndexedValue): readonly Stored[] {
    return listCached(this.#cache, table, namespace, index)
  }

  count(table: Table, namespace?: string): number {
    const lists = this.#cache.tables.get(tableKey(table))?.lists
    return lists ? countOf(lists, namespace) : 0
  }

  listAt(version: number, table: Table, namespace?: string, known?: readonly Stored[]): readonly Stored[] {
    const oldest = oldestOf(this.#cache, table)
    if (version < oldest) throw new VersionExpired(version, oldest)
    return this.#snapshots.get(tableKey(table), namespace, version, () => known ?? listCachedAt(this.#cache, version, table, namespace))
  }

  put(table: Table, namespace: string, name: string, object: KubeObject, expected: number): Promise<Stored> {
    const json = encode(object)
    const data = this.#encrypted ? this.#encrypted.encrypt(table, namespace, name, json) : json
    return this.#write(table, namespace, name, data, object, expected)
  }

  remove(table: Table, namespace: string, name: string, expected: number): Promise<Stored> {
    return this.#write(table, namespace, name, new Uint8Array(), undefined, expected)
  }

  async #write(
    table: Table,
    namespace: string,
    name: string,
    data: Uint8Array,
    object: KubeObject | undefined,
    expected: number,
  ): Promise<Stored> {
    if (this.#closed) throw new Error('the registry is closed')
    const subject = subjectOf(table, namespace, name)
    const view: WriterView = {
      current: () => this.get(table, namespace, name),
      tombstone: () => this.#cache.tombstones.get(subject) ?? 0,
      fresh: () => this.fresh(),
    }
    const over = this.#space?.take(data.length)
    try {
      const stored = await this.#writer.write(subject, data, object, expected, view)
      await this.#peers?.wrote(table, stored.version)
      return stored
    } finally {
      over?.()
    }
  }

  cursor(table: Table, options: WatchOptions, owner: CursorOwner): Cursor {
    return this.#watches.add(table, options, owner)
  }

  watch(table: Table, options: WatchOptions, watcher: Watcher): () => void {
    const failed = (e: Error) => this.#log.error({ err: e, table: tableKey(table) }, 'a watcher within the server failed')
    return pushEvents(owner => this.cursor(table, options, owner), watcher, failed)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#progress)
    await this.#peers?.close()
    this.#following?.stop()
    this.#compactor.close()
    this.#expiry.close()
    this.#writer.close()
    this.#newest.close()
    await this.#storeFiles?.close()
    if (!this.#loading) await this.#record?.save(this.#cache.version)
  }
}
