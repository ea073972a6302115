/** The last events of one table, oldest first: bounded in number, in bytes that nothing else holds, and in age. */
import type { RegistryEvent } from './registry.ts'

export interface History {
  /** Those before `first` were dropped, and are undefined. */
  events: RegistryEvent[]
  first: number
  /** What the events alone keep in memory. */
  bytes: number
  /** Events up to this version may be missing. */
  floor: number
}

export interface HistoryLimits {
  /** Events of a table. */
  readonly count: number
  /** Of one table. */
  readonly bytes: number
  /** Of all tables. */
  readonly totalBytes: number
  /** Older events go, ms; upstream's watch cache calls 75 s fresh. */
  readonly ageMs: number
  /** So many events of a table stay whatever their size and age. */
  readonly least: number
}

export const historyLimits: HistoryLimits = { count: 10_000, bytes: 64 << 20, totalBytes: 1 << 30, ageMs: 75_000, least: 100 }

export const newHistory = (): History => ({ events: [], first: 0, bytes: 0, floor: 0 })

/** What an event and its objects cost beside their JSON. */
const overhead = 400

/** The version that was replaced lives on in its event only; so does the object that a DELETED event shows. */
export const costOf = ({ type, stored, previous }: RegistryEvent): number =>
  overhead + (previous?.json.length ?? 0) + (type === 'DELETED' ? stored.json.length : 0)

export const lengthOf = (h: History): number => h.events.length - h.first

/** Appends an event. Returns by how many bytes the history has grown, negative when more was dropped. */
export function remember(h: History, event: RegistryEvent, limits: HistoryLimits): number {
  const cost = costOf(event)
  h.events.push(event)
  h.bytes += cost
  return cost - forget(h, limits, event.time)
}

/** Drops what is over the limits at `now`, ms since 1970. Returns how many bytes that were. */
export function forget(h: History, limits: HistoryLimits, now: number): number {
  const before = h.bytes
  const least = Math.min(limits.least, limits.count)
  for (let length = lengthOf(h); length > least; length--) {
    const oldest = h.events[h.first]!
    if (length <= limits.count && h.bytes <= limits.bytes && oldest.time >= now - limits.ageMs) break
    drop(h)
  }
  return before - h.bytes
}

function drop(h: History): void {
  const oldest = h.events[h.first]!
  h.events[h.first++] = undefined!
  h.bytes -= costOf(oldest)
  h.floor = Math.max(h.floor, oldest.version)
  if (h.first < 1024 || 2 * h.first < h.events.length) return
  h.events = h.events.slice(h.first)
  h.first = 0
}

/** Where in `events` the first one after a version is. */
export function indexAfter({ events, first }: History, version: number): number {
  let low = first
  let high = events.length
  // Most who ask are at the end.
  if (high > low && events[high - 1]!.version <= version) return high
  while (low < high) {
    const middle = (low + high) >> 1
    if (events[middle]!.version <= version) low = middle + 1
    else high = middle
  }
  return low
}
