/** Who is watching what, indexed so that an event wakes its own watchers only: 5,000 kubelets do not compare 5,000 node names. */
import { setImmediate as turn } from 'node:timers/promises'
import { oldestOf, tableKey, type Cache } from './cache.ts'
import { indexAfter } from './history.ts'
import {
  VersionExpired,
  type Cursor,
  type CursorOwner,
  type IndexedFields,
  type RegistryEvent,
  type Stored,
  type Table,
  type WatchOptions,
} from './registry.ts'

/** Watches that are told of progress in one turn of the event loop. */
const toldAtOnce = 200

interface TableWatches {
  /** Bucket name -> watches: `` for all, `ns/<namespace>`, `name/<namespace|>/<name>`, `field/<path>/<value>`. */
  readonly buckets: Map<string, Set<Watch>>
  /** How many watches use each indexed field. */
  readonly used: Map<string, number>
}

/** One watch: where it is in the history, and whom to wake. As etcd's watchers it is either synced (`idle`) or behind. */
class Watch implements Cursor {
  readonly table: Table
  readonly options: WatchOptions
  readonly owner: CursorOwner
  /** Where it is kept: one set of the index. */
  readonly bucket: string
  readonly #watches: Watches
  /** Events up to here were taken or do not concern it. While it is idle that is true of everything in the cache. */
  at: number
  idle = false
  expired = false

  constructor(watches: Watches, table: Table, options: WatchOptions, owner: CursorOwner, bucket: string) {
    this.#watches = watches
    this.table = table
    this.options = options
    this.owner = owner
    this.bucket = bucket
    this.at = options.after
  }

  get version(): number {
    return this.idle ? this.#watches.cache.version : this.at
  }

  next(): RegistryEvent | undefined {
    if (this.expired) throw new VersionExpired(this.at, this.#watches.cache.version)
    if (this.idle) return undefined
    const { cache } = this.#watches
    const oldest = oldestOf(cache, this.table)
    if (this.at < oldest) throw new VersionExpired(this.at, oldest)
    const history = cache.tables.get(tableKey(this.table))?.history
    if (history) {
      const { events } = history
      for (let i = indexAfter(history, this.at); i < events.length; i++) {
        const event = events[i]!
        this.at = event.version
        if (concerns(this.options, event)) return event
      }
    }
    this.idle = true
    return undefined
  }

  stop(): void {
    this.#watches.remove(this)
  }
}

export class Watches {
  readonly #tables = new Map<string, TableWatches>()
  readonly #cache: () => Cache
  readonly #fieldsOf: (table: string) => IndexedFields | undefined
  /** `progress` is under way. */
  #telling = false

  /** `cache` gives what readers see now. */
  constructor(cache: () => Cache, fieldsOf: (table: string) => IndexedFields | undefined) {
    this.#cache = cache
    this.#fieldsOf = fieldsOf
  }

  get cache(): Cache {
    return this.#cache()
  }

  /** Starts a watch. Throws VersionExpired. */
  add(table: Table, given: WatchOptions, owner: CursorOwner): Cursor {
    const oldest = oldestOf(this.cache, table)
    if (given.after < oldest) throw new VersionExpired(given.after, oldest)
    const key = tableKey(table)
    const { index, ...rest } = given
    const options: WatchOptions = index && this.#fieldsOf(key)?.[index.path] ? given : rest
    const watch = new Watch(this, table, options, owner, bucketOf(options))
    const t = this.#table(key)
    const set = t.buckets.get(watch.bucket)
    if (set) set.add(watch)
    else t.buckets.set(watch.bucket, new Set([watch]))
    const path = options.index?.path
    if (path) t.used.set(path, (t.used.get(path) ?? 0) + 1)
    return watch
  }

  /** Wakes those whom events that the cache has just applied concern. */
  dispatch(events: readonly (readonly [table: string, event: RegistryEvent])[]): void {
    const woken: Watch[] = []
    for (const [key, event] of events) {
      const t = this.#tables.get(key)
      if (!t || t.buckets.size === 0) continue
      const { namespace, name } = event.stored
      const offer = (bucket: string) => {
        for (const watch of t.buckets.get(bucket) ?? []) {
          if (!watch.idle || !concerns(watch.options, event)) continue
          // What came before does not concern it.
          watch.at = event.version - 1
          watch.idle = false
          woken.push(watch)
        }
      }
      offer('')
      offer(`ns/${namespace}`)
      offer(`name/${namespace}/${name}`)
      if (namespace) offer(`name//${name}`)
      for (const path of t.used.keys()) {
        const now = valueOf(event.stored, path)
        const before = event.previous ? valueOf(event.previous, path) : now
        offer(`field/${path}/${now}`)
        if (before !== now) offer(`field/${path}/${before}`)
      }
    }
    for (const watch of woken) watch.owner.wake()
  }

  /**
   * Tells everybody who has nothing to take that the cache goes on; some at a time, as a tenth of them send a bookmark then: two watches of
   * each of 5,000 nodes kept all requests waiting for 50 ms.
   */
  async progress(): Promise<void> {
    if (this.#telling) return
    this.#telling = true
    let told = 0
    try {
      for (const watch of this.#each()) {
        if (watch.idle) watch.owner.progress?.()
        if (++told % toldAtOnce === 0) await turn()
      }
    } finally {
      this.#telling = false
    }
  }

  /** Another cache has taken the place of the one that was at `version`, with the same versions in it: all look where they stand in it. */
  replaced(version: number): void {
    for (const watch of [...this.#each()]) {
      if (watch.idle) watch.at = version
      else continue
      watch.idle = false
      watch.owner.wake()
    }
  }

  /** Ends all watches: their versions mean nothing any more. */
  expire(): void {
    for (const watch of [...this.#each()]) {
      watch.at = watch.version
      watch.idle = false
      watch.expired = true
      watch.owner.wake()
    }
  }

  /** Takes a watch out of the index. */
  remove(watch: Watch): void {
    const t = this.#table(tableKey(watch.table))
    const set = t.buckets.get(watch.bucket)
    if (!set?.delete(watch)) return
    if (set.size === 0) t.buckets.delete(watch.bucket)
    const path = watch.options.index?.path
    if (!path) return
    const left = (t.used.get(path) ?? 1) - 1
    if (left > 0) t.used.set(path, left)
    else t.used.delete(path)
  }

  /** Watches may come and go meanwhile. */
  *#each(): Generator<Watch> {
    for (const { buckets } of this.#tables.values()) for (const watches of buckets.values()) yield* watches
  }

  #table(key: string): TableWatches {
    let t = this.#tables.get(key)
    if (!t) this.#tables.set(key, (t = { buckets: new Map(), used: new Map() }))
    return t
  }
}

const valueOf = (stored: Stored, path: string): string => stored.indexed?.[path] ?? ''

function concerns({ namespace, name, index }: WatchOptions, { stored, previous }: RegistryEvent): boolean {
  if (namespace && stored.namespace !== namespace) return false
  if (name && stored.name !== name) return false
  if (!index) return true
  return valueOf(stored, index.path) === index.value || (previous !== undefined && valueOf(previous, index.path) === index.value)
}

/** `name//<name>` is a cluster-scoped object, or the name in any namespace. */
function bucketOf({ namespace, name, index }: WatchOptions): string {
  if (name) return `name/${namespace ?? ''}/${name}`
  if (index) return `field/${index.path}/${index.value}`
  return namespace ? `ns/${namespace}` : ''
}
