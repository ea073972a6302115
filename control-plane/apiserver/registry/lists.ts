/**
 * The objects of one table, by namespace, with sorted lists that are snapshots: copied only when one was handed out and then something
 * changes; and by the values of the table's indexed fields.
 */
import type { IndexedValue, Stored } from './registry.ts'

interface Bucket {
  readonly items: Map<string, Stored>
  /** Sorted by name; made on the first list, then kept. */
  sorted: Stored[] | undefined
  /** `sorted` was handed out: it must not be changed any more. */
  shared: boolean
}

export interface Lists {
  readonly buckets: Map<string, Bucket>
  /** Everything, sorted by namespace and name, until the next change. */
  all: readonly Stored[] | undefined
  /** Objects by path and value of each indexed field. */
  readonly indexes: Map<string, Map<string, Set<Stored>>>
}

export const newLists = (): Lists => ({ buckets: new Map(), all: undefined, indexes: new Map() })

const byName = (a: Stored, b: Stored): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
export const byKey = (a: Stored, b: Stored): number => (a.namespace < b.namespace ? -1 : a.namespace > b.namespace ? 1 : byName(a, b))

export const getFrom = (lists: Lists, namespace: string, name: string): Stored | undefined => lists.buckets.get(namespace)?.items.get(name)

/** Where `name` is, or belongs, in a sorted bucket. */
function indexIn(sorted: readonly Stored[], name: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const mid = (low + high) >> 1
    if (sorted[mid]!.name < name) low = mid + 1
    else high = mid
  }
  return low
}

function writable(bucket: Bucket): Stored[] | undefined {
  if (bucket.sorted && bucket.shared) {
    bucket.sorted = bucket.sorted.slice()
    bucket.shared = false
  }
  return bucket.sorted
}

/** Puts a version in; returns the one it takes the place of. */
export function setIn(lists: Lists, stored: Stored): Stored | undefined {
  let bucket = lists.buckets.get(stored.namespace)
  if (!bucket) lists.buckets.set(stored.namespace, (bucket = { items: new Map(), sorted: undefined, shared: false }))
  const previous = bucket.items.get(stored.name)
  bucket.items.set(stored.name, stored)
  if (previous) unindex(lists, previous)
  index(lists, stored)
  lists.all = undefined
  const sorted = writable(bucket)
  if (sorted) sorted.splice(indexIn(sorted, stored.name), previous ? 1 : 0, stored)
  return previous
}

/** Takes an object out; returns its last version. */
export function removeFrom(lists: Lists, namespace: string, name: string): Stored | undefined {
  const bucket = lists.buckets.get(namespace)
  const previous = bucket?.items.get(name)
  if (!bucket || !previous) return undefined
  bucket.items.delete(name)
  unindex(lists, previous)
  lists.all = undefined
  if (bucket.items.size === 0) lists.buckets.delete(namespace)
  else writable(bucket)?.splice(indexIn(bucket.sorted!, name), 1)
  return previous
}

function index({ indexes }: Lists, stored: Stored): void {
  for (const path in stored.indexed) {
    let values = indexes.get(path)
    if (!values) indexes.set(path, (values = new Map()))
    const value = stored.indexed[path]!
    const objects = values.get(value)
    if (objects) objects.add(stored)
    else values.set(value, new Set([stored]))
  }
}

function unindex({ indexes }: Lists, stored: Stored): void {
  for (const path in stored.indexed) {
    const value = stored.indexed[path]!
    const objects = indexes.get(path)?.get(value)
    if (objects?.delete(stored) && objects.size === 0) indexes.get(path)!.delete(value)
  }
}

/** Those with a value in an indexed field, sorted; of a namespace when one is given. */
export function listIndexed({ indexes }: Lists, { path, value }: IndexedValue, namespace?: string): readonly Stored[] {
  const objects = [...(indexes.get(path)?.get(value) ?? [])]
  return (namespace ? objects.filter(s => s.namespace === namespace) : objects).sort(byKey)
}

/** A sorted snapshot of a namespace, or of all when none is given. */
export function listOf(lists: Lists, namespace?: string): readonly Stored[] {
  if (namespace) {
    const bucket = lists.buckets.get(namespace)
    if (!bucket) return []
    bucket.sorted ??= [...bucket.items.values()].sort(byName)
    bucket.shared = true
    return bucket.sorted
  }
  if (!lists.all) {
    const namespaces = [...lists.buckets.keys()].sort()
    const parts = namespaces.map(ns => {
      const bucket = lists.buckets.get(ns)!
      return (bucket.sorted ??= [...bucket.items.values()].sort(byName))
    })
    lists.all = parts.length === 1 ? parts[0]!.slice() : parts.flat()
  }
  return lists.all
}

/** How many objects a namespace has, or all when none is given. */
export function countOf(lists: Lists, namespace?: string): number {
  if (namespace) return lists.buckets.get(namespace)?.items.size ?? 0
  let count = 0
  for (const { items } of lists.buckets.values()) count += items.size
  return count
}
