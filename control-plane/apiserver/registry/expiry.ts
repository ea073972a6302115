/**
 * Removes objects of tables with a time to live (Event) when nobody wrote them for that long, or when they are too many. Several API
 * servers race; one wins each.
 */
import { tableKey } from './cache.ts'
import type { Table } from './registry.ts'
import type { Key } from './stream.ts'

export interface ExpiryLimits extends Table {
  /** Tables without it are not looked at. */
  readonly ttlSeconds?: number
  readonly maxObjects?: number
}

interface Entry {
  readonly table: Table
  readonly namespace: string
  readonly name: string
  readonly version: number
  readonly time: number
}

export class Expiry {
  readonly #limits: ReadonlyMap<string, { ttlMs: number; maxObjects: number }>
  /** Per table, by subject; oldest first, since each write moves its entry to the end. */
  readonly #entries = new Map<string, Map<string, Entry>>()
  readonly #timer: NodeJS.Timeout

  constructor(tables: readonly ExpiryLimits[], remove: (entry: Entry) => Promise<unknown>) {
    this.#limits = new Map(
      tables.flatMap(t =>
        t.ttlSeconds === undefined ? [] : [[tableKey(t), { ttlMs: t.ttlSeconds * 1000, maxObjects: t.maxObjects ?? Infinity }]],
      ),
    )
    let busy = false
    const sweep = async () => {
      if (busy) return
      busy = true
      try {
        for (const entry of this.#due(Date.now())) await remove(entry).catch(() => {})
      } finally {
        busy = false
      }
    }
    const shortest = Math.min(60_000, ...[...this.#limits.values()].map(l => l.ttlMs))
    this.#timer = setInterval(() => void sweep(), Math.max(100, shortest / 10))
    this.#timer.unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  reset(): void {
    this.#entries.clear()
  }

  saw(table: string, subject: string, key: Key, version: number, time: number, gone: boolean): void {
    if (!this.#limits.has(table)) return
    let entries = this.#entries.get(table)
    if (!entries) this.#entries.set(table, (entries = new Map()))
    entries.delete(subject)
    if (!gone) entries.set(subject, { table: key, namespace: key.namespace, name: key.name, version, time })
  }

  #due(now: number): Entry[] {
    const due: Entry[] = []
    for (const [table, entries] of this.#entries) {
      const { ttlMs, maxObjects } = this.#limits.get(table)!
      let left = entries.size
      for (const entry of entries.values()) {
        if (entry.time > now - ttlMs && left-- <= maxObjects) break
        due.push(entry)
      }
    }
    return due
  }
}
