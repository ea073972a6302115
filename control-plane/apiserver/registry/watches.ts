/** Who is watching what, indexed so that an event costs its own watchers only: 5,000 kubelets do not compare 5,000 node names. */
import { tableKey } from './cache.ts'
import type { RegistryEvent, Stored, Table, Watcher, WatchOptions } from './registry.ts'

interface Watch {
  readonly options: WatchOptions
  readonly watcher: Watcher
  /** Where it is kept: one set of the index. */
  readonly bucket: string
  readonly table: string
  /** Events that are not handed over yet. */
  waiting: RegistryEvent[]
  /** The newest version it was told, by an event or as progress. */
  told: number
}

export type IndexedFields = { readonly [path: string]: (object: any) => string } // any: each function knows its own kind

interface TableWatches {
  /** Bucket name -> watches: `` for all, `ns/<namespace>`, `name/<namespace|>/<name>`, `field/<path>/<value>`. */
  readonly buckets: Map<string, Set<Watch>>
  readonly fields: IndexedFields
  /** How many watches use each indexed field: none, and objects need not be parsed. */
  readonly used: Map<string, number>
}

export class Watches {
  readonly #tables = new Map<string, TableWatches>()
  readonly #fieldsOf: (table: string) => IndexedFields

  constructor(fieldsOf: (table: string) => IndexedFields) {
    this.#fieldsOf = fieldsOf
  }

  /** Starts a watch whose events so far are `past`. They are handed over in a microtask, so that the caller has its stop function first. */
  add(table: Table, options: WatchOptions, watcher: Watcher, past: readonly RegistryEvent[]): () => void {
    const key = tableKey(table)
    const t = this.#table(key)
    const bucket = bucketOf(options, t.fields)
    const watch: Watch = {
      options,
      watcher,
      bucket,
      table: key,
      waiting: past.filter(e => this.#concerns(t, options, e)),
      told: options.after,
    }
    const set = t.buckets.get(bucket)
    if (set) set.add(watch)
    else t.buckets.set(bucket, new Set([watch]))
    const path = options.index?.path
    if (path) t.used.set(path, (t.used.get(path) ?? 0) + 1)
    if (watch.waiting.length > 0) queueMicrotask(() => this.#handOver(watch))
    return () => this.#remove(watch)
  }

  /** Hands events, all of one table or not, to whom they concern. */
  dispatch(events: readonly (readonly [table: string, event: RegistryEvent])[]): void {
    const touched = new Set<Watch>()
    for (const [key, event] of events) {
      const t = this.#tables.get(key)
      if (!t || t.buckets.size === 0) continue
      const { namespace, name } = event.stored
      const offer = (bucket: string) => {
        for (const watch of t.buckets.get(bucket) ?? []) {
          if (event.version <= watch.options.after || !this.#concerns(t, watch.options, event)) continue
          watch.waiting.push(event)
          touched.add(watch)
        }
      }
      offer('')
      offer(`ns/${namespace}`)
      offer(`name/${namespace}/${name}`)
      if (namespace) offer(`name//${name}`)
      for (const path of t.used.keys()) {
        const now = this.#value(t, path, event.stored)
        const before = event.previous ? this.#value(t, path, event.previous) : now
        offer(`field/${path}/${now}`)
        if (before !== now) offer(`field/${path}/${before}`)
      }
    }
    for (const watch of touched) this.#handOver(watch)
  }

  /** Tells everybody who has nothing waiting how far the cache is. */
  progress(version: number): void {
    for (const t of this.#tables.values()) {
      for (const set of t.buckets.values()) {
        for (const watch of [...set]) {
          if (watch.waiting.length > 0 || watch.told >= version) continue
          watch.told = version
          watch.watcher.progress(version)
        }
      }
    }
  }

  /** Ends all watches: nobody can go on without a gap. */
  expire(): void {
    const all = [...this.#tables.values()].flatMap(t => [...t.buckets.values()].flatMap(set => [...set]))
    for (const t of this.#tables.values()) {
      t.buckets.clear()
      t.used.clear()
    }
    for (const watch of all) {
      watch.waiting = []
      watch.watcher.expired()
    }
  }

  #table(key: string): TableWatches {
    let t = this.#tables.get(key)
    if (!t) this.#tables.set(key, (t = { buckets: new Map(), fields: this.#fieldsOf(key), used: new Map() }))
    return t
  }

  #handOver(watch: Watch): void {
    const events = watch.waiting
    if (events.length === 0) return
    watch.waiting = []
    watch.told = events[events.length - 1]!.version
    watch.watcher.events(events)
  }

  #remove(watch: Watch): void {
    watch.waiting = []
    const t = this.#table(watch.table)
    const set = t.buckets.get(watch.bucket)
    if (!set?.delete(watch)) return
    if (set.size === 0) t.buckets.delete(watch.bucket)
    const path = watch.options.index?.path
    if (!path) return
    const left = (t.used.get(path) ?? 1) - 1
    if (left > 0) t.used.set(path, left)
    else t.used.delete(path)
  }

  #value(t: TableWatches, path: string, stored: Stored): string {
    return t.fields[path]?.(stored.object) ?? ''
  }

  #concerns(t: TableWatches, { namespace, name, index }: WatchOptions, { stored, previous }: RegistryEvent): boolean {
    if (namespace && stored.namespace !== namespace) return false
    if (name && stored.name !== name) return false
    if (!index || !t.fields[index.path]) return true
    return (
      this.#value(t, index.path, stored) === index.value || (previous !== undefined && this.#value(t, index.path, previous) === index.value)
    )
  }
}

/** `name//<name>` is a cluster-scoped object, or the name in any namespace. */
function bucketOf({ namespace, name, index }: WatchOptions, fields: IndexedFields): string {
  if (name) return `name/${namespace ?? ''}/${name}`
  if (index && fields[index.path]) return `field/${index.path}/${index.value}`
  return namespace ? `ns/${namespace}` : ''
}
