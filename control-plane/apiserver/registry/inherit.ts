/** What a cache that was filled anew takes over from the former: the history of each table that has missed nothing, whose watches go on. */
import type { Cache, TableCache } from './cache.ts'
import { costOf, indexAfter, newHistory, type History } from './history.ts'
import { getFrom, newLists } from './lists.ts'

/**
 * The stream has a gap behind what the former cache had applied. A table has missed nothing when all its messages since then replace what
 * they say they replace, and no object has gone without one. Other tables know nothing of what was before the end of the gap.
 */
export function inherit(cache: Cache, former: Cache): void {
  const gap = cache.floor
  cache.floor = former.floor
  cache.historyBytes = 0
  for (const key of new Set([...cache.tables.keys(), ...former.tables.keys()])) {
    const [now, before] = [cache.tables.get(key), former.tables.get(key)]
    if (now && missedNothing(now, before, former.version)) goOn(now.history, before?.history, former.version)
    else if (now) now.history.floor = Math.max(now.history.floor, gap)
    else if (before) cache.tables.set(key, emptied(before, gap))
    cache.historyBytes += cache.tables.get(key)!.history.bytes
  }
}

function missedNothing({ lists, history }: TableCache, before: TableCache | undefined, version: number): boolean {
  if (history.floor > version) return false
  const deleted = new Set<string>()
  for (const { type, stored } of history.events.slice(indexAfter(history, version)))
    if (type === 'DELETED') deleted.add(`${stored.namespace}/${stored.name}`)
  for (const [namespace, { items }] of before?.lists.buckets ?? [])
    for (const name of items.keys()) if (!getFrom(lists, namespace, name) && !deleted.has(`${namespace}/${name}`)) return false
  return true
}

/** Puts what happened up to a version in front. */
function goOn(now: History, before: History | undefined, version: number): void {
  const former = before?.events.slice(before.first, indexAfter(before, version)) ?? []
  now.events = [...former, ...now.events.slice(indexAfter(now, version))]
  now.first = 0
  now.floor = before?.floor ?? 0
  now.bytes = now.events.reduce((bytes, event) => bytes + costOf(event), 0)
}

/** A table of which the stream holds nothing: it was empty, or objects have gone without a message. */
function emptied(before: TableCache, gap: number): TableCache {
  const { lists, history } = before
  const empty: TableCache = { ...before, lists: newLists(), history: { ...history } }
  if (lists.buckets.size === 0) return empty
  return { ...empty, history: { ...newHistory(), floor: gap } }
}
