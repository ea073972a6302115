/**
 * Which events are counted up, which are gathered under one message, which are dropped: client-go's EventCorrelator with its default
 * numbers.
 */
import type { Event } from '../api/core/event.ts'

const cacheSize = 4096
const maxSimilar = 10
const similarWithinMs = 600_000
const burst = 25
const refillPerMs = 1 / 300_000

/** A map that forgets what was not used longest. */
class Lru<V> {
  readonly #map = new Map<string, V>()
  get(key: string): V | undefined {
    const value = this.#map.get(key)
    if (value !== undefined) this.set(key, value)
    return value
  }
  set(key: string, value: V): void {
    this.#map.delete(key)
    this.#map.set(key, value)
    if (this.#map.size > cacheSize) this.#map.delete(this.#map.keys().next().value!)
  }
}

/** Who says it, and about what object. */
function about({ source, involvedObject: o }: Event): string {
  return [source?.component, source?.host, o.kind, o.namespace, o.name, o.uid, o.apiVersion].join('\0')
}
const sourceKey = (e: Event): string => [about(e), e.involvedObject.fieldPath].join('\0')
const aggregateKey = (e: Event): string => [about(e), e.type, e.reason, e.reportingComponent, e.reportingInstance].join('\0')
const eventKey = (e: Event): string => [about(e), e.involvedObject.fieldPath, e.type, e.reason, e.message].join('\0')

export interface Correlator {
  /**
   * What to write for this occurrence: the event, whether it updates one that is there, and the key to report back under; undefined to drop
   * it.
   */
  next(event: Event, at: number): { event: Event; update: boolean; key: string } | undefined
  /** What the API answered: the next occurrence counts from it. */
  written(key: string, event: Event): void
}

export function correlator(): Correlator {
  const similar = new Lru<{ messages: Set<string>; last: number }>()
  const counted = new Lru<{ name: string; count: number; firstTimestamp: Event['firstTimestamp'] }>()
  const buckets = new Lru<{ tokens: number; at: number }>()

  /** More than ten different messages of one kind within ten minutes become one. */
  function aggregate(event: Event, at: number): { event: Event; key: string } {
    const key = aggregateKey(event)
    let group = similar.get(key)
    if (!group || at - group.last > similarWithinMs) group = { messages: new Set(), last: at }
    group.last = at
    group.messages.add(event.message ?? '')
    similar.set(key, group)
    if (group.messages.size < maxSimilar) return { event, key: eventKey(event) }
    // Bounded: enough are remembered to know that there are too many.
    const oldest = group.messages.values().next().value
    if (oldest !== undefined) group.messages.delete(oldest)
    return { event: { ...event, message: `(combined from similar events): ${event.message ?? ''}` }, key }
  }
  function allowed(event: Event, at: number): boolean {
    const key = sourceKey(event)
    const bucket = buckets.get(key) ?? { tokens: burst, at }
    const tokens = Math.min(burst, bucket.tokens + (at - bucket.at) * refillPerMs)
    buckets.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, at })
    return tokens >= 1
  }
  return {
    next(occurrence, at) {
      const { event, key } = aggregate(occurrence, at)
      if (!allowed(occurrence, at)) return undefined
      const before = counted.get(key)
      if (!before) return { event, update: false, key }
      const again: Event = {
        ...event,
        metadata: { ...event.metadata, name: before.name },
        firstTimestamp: before.firstTimestamp,
        count: before.count + (event.count ?? 1),
      }
      return { event: again, update: true, key }
    },
    written(key, event) {
      counted.set(key, { name: event.metadata.name ?? '', count: event.count ?? 1, firstTimestamp: event.firstTimestamp })
    },
  }
}
