/** Lists as they were at versions that continue tokens name: kept, so that each part of a list costs what it holds. */
import type { Stored } from './registry.ts'

interface Snapshot {
  readonly table: string
  readonly version: number
  readonly list: readonly Stored[]
}

/** So many places in all their lists together: 32 MiB. Their objects are held by lists and histories anyway. */
const mostItems = 4 << 20

export class Snapshots {
  /** The one that was asked for last is last. */
  readonly #kept = new Map<string, Snapshot>()
  readonly #most: number
  #items = 0

  constructor(most = mostItems) {
    this.#most = most
  }

  /** The list of a table, or of a namespace in it, at a version: the kept one or else what `make` gives. */
  get(table: string, namespace: string | undefined, version: number, make: () => readonly Stored[]): readonly Stored[] {
    const key = `${version} ${table} ${namespace ?? ''}`
    const kept = this.#kept.get(key)
    const list = kept?.list ?? make()
    if (kept) this.#kept.delete(key)
    else this.#items += list.length
    this.#kept.set(key, { table, version, list })
    for (const oldest of this.#kept.keys()) {
      if (this.#items <= this.#most && this.#kept.size <= 1000) break
      this.#drop(oldest)
    }
    return list
  }

  /** Drops those that are older than the history of their table. */
  expire(oldestOf: (table: string) => number): void {
    for (const [key, { table, version }] of this.#kept) if (version < oldestOf(table)) this.#drop(key)
  }

  clear(): void {
    this.#kept.clear()
    this.#items = 0
  }

  #drop(key: string): void {
    this.#items -= this.#kept.get(key)?.list.length ?? 0
    this.#kept.delete(key)
  }
}
