/**
 * The watch cache's contents: every object, the tombstones that the stream still holds, and a bounded history per table. Fed with the
 * stream's messages in order; knows nothing of NATS.
 */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { StreamMessage } from './follow.ts'
import { forget, historyLimits, indexAfter, newHistory, remember, type History, type HistoryLimits } from './history.ts'
import { byKey, getFrom, listIndexed, listOf, newLists, removeFrom, setIn, type Lists } from './lists.ts'
import { internalError } from '#shared/machinery/status.ts'
import { VersionExpired, type IndexedFields, type IndexedValue, type RegistryEvent, type Stored, type Table } from './registry.ts'
import { newStored, restamped } from './stored.ts'
import { keyOf, replacesOf, type Key } from './stream.ts'

export interface TableCache {
  readonly group: string
  readonly plural: string
  readonly lists: Lists
  readonly indexed: IndexedFields | undefined
  readonly history: History
}

export interface Cache {
  /** The newest version applied. */
  version: number
  /** When the store took that, ms since 1970. */
  time: number
  readonly tables: Map<string, TableCache>
  /** Subjects whose newest message is a tombstone, with its sequence: a creation replaces that. */
  readonly tombstones: Map<string, number>
  /** The newest messages of subjects that hold an object which cannot be decrypted: it is neither there nor gone. */
  readonly unreadable: Map<string, StreamMessage>
  /** Subjects whose object would be encrypted otherwise now. */
  readonly stale: Set<string>
  /** Versions up to this may be missing, of any table. */
  floor: number
  readonly limits: HistoryLimits
  /** What all histories hold. */
  historyBytes: number
  readonly fieldsOf: (table: string) => IndexedFields | undefined
}

/** `fieldsOf` says by which fields the objects of a table are indexed. */
export const newCache = (limits: Partial<HistoryLimits> = {}, fieldsOf: Cache['fieldsOf'] = () => undefined): Cache => ({
  version: 0,
  time: 0,
  tables: new Map(),
  tombstones: new Map(),
  unreadable: new Map(),
  stale: new Set(),
  floor: 0,
  limits: { ...historyLimits, ...limits },
  historyBytes: 0,
  fieldsOf,
})

export const tableKey = (table: Table): string => `${table.group}/${table.plural}`

export function tableOf(cache: Cache, table: Table): TableCache {
  const key = tableKey(table)
  let found = cache.tables.get(key)
  if (!found) {
    const { group, plural } = table
    found = { group, plural, lists: newLists(), indexed: cache.fieldsOf(key), history: newHistory() }
    cache.tables.set(key, found)
  }
  return found
}

export const getCached = (cache: Cache, table: Table, namespace: string, name: string): Stored | undefined => {
  if (cache.unreadable.size > 0) refuseUnreadable(cache, table, namespace, name)
  const found = cache.tables.get(tableKey(table))
  return found && getFrom(found.lists, namespace, name)
}

/** Throws 500 when an object that is asked for cannot be read, as upstream does for all lists that it would be in. */
function refuseUnreadable(cache: Cache, table: Table, namespace?: string, name?: string): void {
  for (const [subject, { unreadable }] of cache.unreadable) {
    const key = keyOf(subject)
    if (key?.group !== table.group || key.plural !== table.plural || (namespace && key.namespace !== namespace)) continue
    if (name !== undefined && key.name !== name) continue
    const path = ['/registry', key.group, key.plural, key.namespace, key.name].filter(part => part !== '').join('/')
    throw internalError(`unable to transform key ${JSON.stringify(path)}: ${unreadable ?? ''}`)
  }
}

export interface Applied {
  readonly key: Key
  readonly table: TableCache
  /** Absent when nothing changed for readers. */
  readonly event: RegistryEvent | undefined
  /** The version of the subject's message before this one, a tombstone's too; 0 when there was none. */
  readonly replaced: number
}

/**
 * Applies the next message. `own` is the object behind a write of this process. While the stream's old part is read, sequences that are
 * missing were compacted; the caller sees to it that none is missing later.
 */
export function apply(cache: Cache, m: StreamMessage, own?: KubeObject): Applied | undefined {
  if (m.seq !== cache.version + 1) cache.floor = m.seq - 1
  cache.version = m.seq
  cache.time = m.time
  const key = keyOf(m.subject)
  if (!key) return undefined
  const table = tableOf(cache, key)
  const before = getFrom(table.lists, key.namespace, key.name)
  const replaced = before?.version ?? cache.tombstones.get(m.subject) ?? cache.unreadable.get(m.subject)?.seq ?? 0
  if (replacesOf(m.headers) !== (before?.version ?? 0)) table.history.floor = m.seq
  if (cache.unreadable.size > 0) cache.unreadable.delete(m.subject)
  if (m.stale) cache.stale.add(m.subject)
  else if (cache.stale.size > 0) cache.stale.delete(m.subject)
  if (m.unreadable === undefined && m.data.length > 0 && m.data[0] !== openObject) m.unreadable = 'no matching prefix found'
  if (m.unreadable !== undefined) {
    removeFrom(table.lists, key.namespace, key.name)
    cache.tombstones.delete(m.subject)
    cache.unreadable.set(m.subject, m)
    // Watches go on no further: whoever lists again is told why.
    table.history.floor = m.seq
    return { key, table, event: undefined, replaced }
  }
  const event = m.data.length === 0 ? buried(cache, table, key, m) : stored(cache, table, key, m, own)
  if (event) keep(cache, table, event)
  return { key, table, event, replaced }
}

const openObject = 0x7b

function stored(cache: Cache, table: TableCache, key: Key, m: StreamMessage, own: KubeObject | undefined): RegistryEvent {
  const now = newStored(key.namespace, key.name, m.seq, m.data, own, table.indexed)
  const { seq: version, time } = m
  cache.tombstones.delete(m.subject)
  const previous = setIn(table.lists, now)
  return previous ? { type: 'MODIFIED', stored: now, previous, version, time } : { type: 'ADDED', stored: now, version, time }
}

function buried(cache: Cache, table: TableCache, key: Key, m: StreamMessage): RegistryEvent | undefined {
  const { seq: version, time } = m
  cache.tombstones.set(m.subject, version)
  const previous = removeFrom(table.lists, key.namespace, key.name)
  return previous && { type: 'DELETED', stored: restamped(previous, version), previous, version, time }
}

function keep(cache: Cache, { history }: TableCache, event: RegistryEvent): void {
  cache.historyBytes += remember(history, event, cache.limits)
  if (cache.historyBytes <= cache.limits.totalBytes) return
  const largest = [...cache.tables.values()].reduce((a, b) => (b.history.bytes > a.history.bytes ? b : a)).history
  cache.historyBytes -= forget(largest, { ...cache.limits, bytes: largest.bytes / 2 }, event.time)
}

/** Drops from all histories what is too old by now. A cluster in which nothing is written keeps what it has. */
export function ageHistories(cache: Cache): void {
  for (const { history } of cache.tables.values()) cache.historyBytes -= forget(history, cache.limits, cache.time)
}

/** The version after which all events of a table are known. */
export const oldestOf = (cache: Cache, table: Table): number => oldestOfKey(cache, tableKey(table))
export const oldestOfKey = (cache: Cache, table: string): number => Math.max(cache.floor, cache.tables.get(table)?.history.floor ?? 0)

/** The events of a table after a version, oldest first. Throws VersionExpired. */
export function eventsAfter(cache: Cache, table: Table, version: number): readonly RegistryEvent[] {
  const oldest = oldestOf(cache, table)
  if (version < oldest) throw new VersionExpired(version, oldest)
  const history = cache.tables.get(tableKey(table))?.history
  return history ? history.events.slice(indexAfter(history, version)) : []
}

/** The list as it was: today's with the events since undone, newest first. */
export function listCachedAt(cache: Cache, version: number, table: Table, namespace?: string): readonly Stored[] {
  const now = listCached(cache, table, namespace)
  const since = eventsAfter(cache, table, version).filter(e => !namespace || e.stored.namespace === namespace)
  if (since.length === 0) return now
  const then = new Map<string, Stored | undefined>()
  const id = (s: Stored) => `${s.namespace}/${s.name}`
  for (const event of since.toReversed()) then.set(id(event.stored), event.previous)
  const kept = now.filter(s => !then.has(id(s)))
  const restored = [...then.values()].filter(s => s !== undefined)
  return restored.length === 0 ? kept : [...kept, ...restored].sort(byKey)
}

/** The objects of a table now, sorted; of one namespace when it is given, with a value of an indexed field when that is. */
export function listCached(cache: Cache, table: Table, namespace?: string, index?: IndexedValue): readonly Stored[] {
  if (cache.unreadable.size > 0) refuseUnreadable(cache, table, namespace)
  const found = cache.tables.get(tableKey(table))
  if (!found) return []
  return index && found.indexed?.[index.path] ? listIndexed(found.lists, index, namespace) : listOf(found.lists, namespace)
}
