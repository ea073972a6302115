/** An informer's copy of the objects: by name, by namespace and by declared indexes. */
import type { KubeObject } from '../api/meta/objectmeta.ts'

export class Cache<T extends KubeObject> {
  readonly #objects = new Map<string, T>()
  readonly #indexes = new Map<string, { keys: (object: T) => string[]; entries: Map<string, Set<string>> }>()

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
    this.#unindex(key)
    this.#objects.set(key, object)
    for (const index of this.#indexes.values()) {
      for (const value of index.keys(object)) {
        const entry = index.entries.get(value)
        if (entry) entry.add(key)
        else index.entries.set(value, new Set([key]))
      }
    }
  }
  delete(key: string): void {
    this.#unindex(key)
    this.#objects.delete(key)
  }
  addIndex(name: string, keys: (object: T) => string[]): void {
    if (this.#indexes.has(name)) return
    this.#indexes.set(name, { keys, entries: new Map() })
    for (const object of this.all()) this.set(object)
  }
  byIndex(name: string, value: string): T[] {
    const index = this.#indexes.get(name)
    if (!index) throw new Error(`no index ${name}`)
    return [...(index.entries.get(value) ?? [])].map(key => this.#objects.get(key)!)
  }
  #unindex(key: string): void {
    const old = this.#objects.get(key)
    if (!old) return
    for (const index of this.#indexes.values()) {
      for (const value of index.keys(old)) {
        const entry = index.entries.get(value)
        entry?.delete(key)
        if (entry?.size === 0) index.entries.delete(value)
      }
    }
  }
}
