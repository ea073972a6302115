/** Watches within the server: events are handed over in the tick that brings them. */
import type { Cursor, CursorOwner, RegistryEvent, Watcher } from './registry.ts'
import { VersionExpired } from './registry.ts'

/**
 * Hands a cursor's events to a watcher as they come. Those that are there already come in a microtask, so that the caller has its stop
 * function first. What the watcher throws goes to `failed` and ends this watch.
 */
export function pushEvents(begin: (owner: CursorOwner) => Cursor, watcher: Watcher, failed: (e: Error) => void): () => void {
  let stopped = false
  let told = 0
  const end = (): void => {
    stopped = true
    cursor.stop()
  }
  const take = (): void => {
    if (stopped) return
    const events: RegistryEvent[] = []
    try {
      for (let event = cursor.next(); event; event = cursor.next()) events.push(event)
      told = cursor.version
      if (events.length > 0) watcher.events(events)
    } catch (e) {
      if (!(e instanceof VersionExpired)) failed(e as Error)
      if (!stopped) {
        end()
        watcher.expired()
      }
    }
  }
  const progress = (): void => {
    if (stopped || told >= cursor.version) return
    told = cursor.version
    watcher.progress(told)
  }
  const cursor = begin({ wake: take, progress })
  queueMicrotask(take)
  return end
}
