/**
 * The store of objects, as the handlers see it: reads come from the watch cache, writes are compare-and-swap on the stream.
 * Versions are the stream's sequence numbers: one total order over the cluster.
 */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'

/** Where objects of one resource live. */
export interface Table {
  readonly group: string
  readonly plural: string
}

/** Fields that a table is indexed by: path -> value of an object. */
export type IndexedFields = { readonly [path: string]: (object: any) => string } // any: each function knows its own kind

/** An indexed field and what it shall be. */
export interface IndexedValue {
  readonly path: string
  readonly value: string
}

/** One version of an object. Immutable: `object` is shared by all readers, who copy (structuredClone) before they change it. */
export interface Stored {
  readonly namespace: string
  readonly name: string
  readonly version: number
  /** The JSON that clients get, with metadata.resourceVersion in it. */
  readonly json: Buffer
  /** `json` parsed; only those that were asked for lately stay parsed. */
  readonly object: KubeObject
  /** metadata.labels, for selectors: no need to parse the rest. */
  readonly labels: KubeObject['metadata']['labels']
  /** The values of the table's indexed fields by path; absent when there are none. */
  readonly indexed: Readonly<Record<string, string>> | undefined
}

export interface RegistryEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  /** For DELETED: the last object, carrying the version of its deletion. */
  readonly stored: Stored
  /** The version before, absent for ADDED: selectors see entering and leaving. */
  readonly previous?: Stored
  readonly version: number
  /** When the store took it, ms since 1970. */
  readonly time: number
}

/** What a watcher within the server is handed. Called in version order, never concurrently, from one tick of the cache. */
export interface Watcher {
  /** Several events at once when they arrived at once. Must not wait; when it throws, the watch ends and `expired` is called. */
  events(events: readonly RegistryEvent[]): void
  /** The cache has passed this version without an event for this watcher; called now and then. */
  progress(version: number): void
  /** The watch cannot go on without a gap: whoever watches lists again. Nothing follows. */
  expired(): void
}

/**
 * A watch's place in the history of its table, from which it takes events at its own pace: nothing is kept for it but this. Stands still
 * while there is nothing that concerns it.
 */
export interface Cursor {
  /** All events up to this version were taken, or do not concern the watch. */
  readonly version: number
  /**
   * Takes the next event that concerns the watch; undefined when there is none yet, `wake` is called when there is. Throws VersionExpired
   * when it is gone from the history.
   */
  next(): RegistryEvent | undefined
  /** Ends the watch. */
  stop(): void
}

/** Called from the tick of the cache: must neither throw nor wait. */
export interface CursorOwner {
  /** There is something to take, or the cursor has expired. Called once until all is taken. */
  wake(): void
  /** Nothing is left to take, and the cache goes on: every five seconds, for bookmarks. */
  progress?(): void
}

export interface WatchOptions {
  namespace?: string
  name?: string
  /** Only objects whose indexed field has, or had, this value. */
  index?: IndexedValue
  /** Events after this version. The caller has seen everything up to it. */
  after: number
}

/** Thrown by writes: someone else wrote first. `current` is the newest version when it is known, absent when there is none. */
export class WriteConflict extends Error {
  readonly current: Stored | undefined
  constructor(current: Stored | undefined) {
    super('write conflict')
    this.name = 'WriteConflict'
    this.current = current
  }
}

/** Thrown when a version is older than the history that is kept. */
export class VersionExpired extends Error {
  readonly oldest: number
  constructor(version: number, oldest: number) {
    super(`too old resource version: ${version} (${oldest})`)
    this.name = 'VersionExpired'
    this.oldest = oldest
  }
}

export interface Registry {
  /** The newest version that the cache has applied. */
  readonly version: number
  /** Resolves when the cache has applied every write that was acknowledged, by any API server, before the call. Batched. */
  fresh(signal?: AbortSignal): Promise<void>
  /** Resolves when the cache has applied `version`; rejects with a timeout after `timeoutMs` (default 3000). */
  reached(version: number, timeoutMs?: number): Promise<void>
  /** Resolves when the caches of all API servers that are there have applied `version` (see peers.ts). */
  reachedEverywhere(version: number): Promise<void>
  get(table: Table, namespace: string, name: string): Stored | undefined
  /** Whether an object is stored otherwise than it would be now (its encryption): an update that changes nothing writes it anew. */
  isStale(table: Table, namespace: string, name: string): boolean
  /**
   * Everything of a table, or of one namespace in it, sorted by namespace and name; a snapshot of `version`. With an index only what has
   * that value; for a field by which the table is not indexed that is everything.
   */
  list(table: Table, namespace?: string, index?: IndexedValue): readonly Stored[]
  /** How many objects there are of a table, or of one namespace in it. */
  count(table: Table, namespace?: string): number
  /**
   * The same list (without an index) as it was at a version, for continue tokens; the caller may know it. Throws VersionExpired.
   */
  listAt(version: number, table: Table, namespace?: string, known?: readonly Stored[]): readonly Stored[]
  /**
   * Writes. `object` has no resourceVersion in it; `expected` is the version that it replaces, 0 for none. Resolves when the write is
   * durable and applied to this server's cache. Throws WriteConflict, or an Error when the outcome could not be learnt in time.
   */
  put(table: Table, namespace: string, name: string, object: KubeObject, expected: number): Promise<Stored>
  /** Removes; resolves with the last object carrying the deletion's version. */
  remove(table: Table, namespace: string, name: string, expected: number): Promise<Stored>
  /** Begins a watch whose owner takes the events after `options.after`. Throws VersionExpired. */
  cursor(table: Table, options: WatchOptions, owner: CursorOwner): Cursor
  /**
   * Calls `watcher` with all events after `options.after`, then with new ones, until the returned function is called. Throws
   * VersionExpired.
   */
  watch(table: Table, options: WatchOptions, watcher: Watcher): () => void
  /**
   * Whether the cache holds every acknowledged write of the tables whose writes wait for all API servers; when not, `fresh` makes it so.
   * False for a moment after the start and after a silence.
   */
  readonly current: boolean
  /** Whether this server is the first of the API servers that are there: it does what only one shall do, such as writing a status. */
  readonly first: boolean
  /** Calls `listener` when it becomes that. Returns how to stop. */
  onFirst(listener: () => void): () => void
  /** Whether the cache is filled and following the stream. */
  readonly healthy: boolean
  /** False when the store does not answer writes, whatever else it answers. */
  readonly answersWrites: boolean
  close(): Promise<void>
}
