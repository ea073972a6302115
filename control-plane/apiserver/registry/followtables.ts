/** Hearing of what changes in some tables, from within the server. */
import type { Registry, Stored, Table } from './registry.ts'

/**
 * Calls `changed` with each object of the tables that changed or is gone, as it was last, and with nothing but the table when changes may
 * have been missed. In the tick of the cache: it must neither throw nor wait. Returns how to stop.
 */
export function followTables<T extends Table>(
  registry: Registry,
  tables: readonly T[],
  changed: (table: T, stored: Stored | undefined) => void,
): () => void {
  const stops = new Map<T, () => void>()
  const follow = (table: T): void => {
    const watcher = {
      events: (events: readonly { stored: Stored }[]): void => {
        for (const { stored } of events) changed(table, stored)
      },
      progress: () => {},
      expired() {
        follow(table)
        changed(table, undefined)
      },
    }
    stops.set(table, registry.watch(table, { after: registry.version }, watcher))
  }
  tables.forEach(follow)
  return () => {
    for (const stop of stops.values()) stop()
  }
}
