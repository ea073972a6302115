/** Removes objects of tables with a time to live (Event) when nobody wrote them for that long. Several API servers race; one wins each. */
import type { Key } from './stream.ts'
import type { Table } from './registry.ts'

interface Entry {
  readonly table: Table
  readonly namespace: string
  readonly name: string
  readonly version: number
  readonly time: number
}

export class Expiry {
  readonly #ttlMs: ReadonlyMap<string, number>
  /** Per table, by subject; oldest first, since each write moves its entry to the end. */
  readonly #entries = new Map<string, Map<string, Entry>>()
  readonly #timer: NodeJS.Timeout

  constructor(ttlMs: ReadonlyMap<string, number>, remove: (entry: Entry) => Promise<unknown>) {
    this.#ttlMs = ttlMs
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
    const shortest = Math.min(60_000, ...ttlMs.values())
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
    if (!this.#ttlMs.has(table)) return
    let entries = this.#entries.get(table)
    if (!entries) this.#entries.set(table, (entries = new Map()))
    entries.delete(subject)
    if (!gone) entries.set(subject, { table: key, namespace: key.namespace, name: key.name, version, time })
  }

  #due(now: number): Entry[] {
    const due: Entry[] = []
    for (const [table, entries] of this.#entries) {
      const limit = now - this.#ttlMs.get(table)!
      for (const entry of entries.values()) {
        if (entry.time > limit) break
        due.push(entry)
      }
    }
    return due
  }
}
