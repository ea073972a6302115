/** An informer's copy of the objects: by name, by namespace and by declared indexes. */
import type { KubeObject } from '../api/meta/objectmeta.ts'

export class Cache<T extends KubeObject> {
  readonly #objects = new Map<string, T>()
  readonly #indexes = new Map<string, Index<T>>()

  constructor() {
    this.addIndex('namespace', o => [o.metadata.namespace ?? ''])
  }
  static key(namespace: string, name: string): string {
    return `${namespace}/${name}`
  }
  static keyOf(object: KubeObject): string {
    return Cache.key(object.metadata.namespace ?? '', object.metadata.name ?? '')
  }
  get(key: string): T | undefined {
    return this.#objects.get(key)
  }
  all(): T[] {
    return [...this.#objects.values()]
  }
  keys(): string[] {
    return [...this.#objects.keys()]
  }
  set(object: T): void {
    const key = Cache.keyOf(object)
    const old = this.#objects.get(key)
    this.#objects.set(key, object)
    for (const { keys, entries } of this.#indexes.values()) {
      const [before, now] = [old ? keys(old) : [], keys(object)]
      // Most changes move nothing: an entry that is taken out of a Set and put in again costs more than to see that.
      if (old && before.length === now.length && before.every((value, i) => value === now[i])) continue
      for (const value of before) leave(entries, value, key)
      for (const value of now) enter(entries, value, key)
    }
  }
  delete(key: string): void {
    const old = this.#objects.get(key)
    if (!old) return
    for (const { keys, entries } of this.#indexes.values()) for (const value of keys(old)) leave(entries, value, key)
    this.#objects.delete(key)
  }
  addIndex(name: string, keys: (object: T) => string[]): void {
    if (this.#indexes.has(name)) return
    const entries = new Map<string, Set<string>>()
    this.#indexes.set(name, { keys, entries })
    for (const [key, object] of this.#objects) for (const value of keys(object)) enter(entries, value, key)
  }
  byIndex(name: string, value: string): T[] {
    const index = this.#indexes.get(name)
    if (!index) throw new Error(`no index ${name}`)
    return [...(index.entries.get(value) ?? [])].map(key => this.#objects.get(key)!)
  }
  /** How many objects byIndex would give. */
  countByIndex(name: string, value: string): number {
    return this.#indexes.get(name)?.entries.get(value)?.size ?? 0
  }
}

interface Index<T> {
  readonly keys: (object: T) => string[]
  /** Keys of objects by what the index has of them. */
  readonly entries: Map<string, Set<string>>
}
function enter(entries: Index<never>['entries'], value: string, key: string): void {
  const entry = entries.get(value)
  if (entry) entry.add(key)
  else entries.set(value, new Set([key]))
}
function leave(entries: Index<never>['entries'], value: string, key: string): void {
  const entry = entries.get(value)
  entry?.delete(key)
  if (entry?.size === 0) entries.delete(value)
}
