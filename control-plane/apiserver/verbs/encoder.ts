/** How one watch writes its events. What many watches write alike is written once. */
import type { Status } from '#shared/machinery/status.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Stored } from '../registry/registry.ts'

export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED'

/** The bytes of an event, in parts so that a large object's are not copied. */
export type Encoded = readonly Buffer[]

export interface Encoder {
  readonly contentType: string
  /** Throws, or rejects, when the object cannot be shown so. */
  event(type: EventType, stored: Stored): Encoded | Promise<Encoded>
  /** As an ADDED event of the beginning, which few others write at the same time. */
  initial(stored: Stored): Encoded | Promise<Encoded>
  bookmark(version: number, initialEventsEnd: boolean): Encoded
  error(status: Status): Encoded
}

type Write = (type: EventType, stored: Stored) => Encoded | Promise<Encoded>

/** Of each view the last events are kept for the other watches: not more than so many, nor than so many bytes beside the objects' own. */
const keptEvents = 256
const keptBytes = 4 << 20
interface Recent {
  readonly events: Map<Stored, { type: EventType; encoded: Encoded | Promise<Encoded>; bytes: number }>
  bytes: number
}
const recent = new WeakMap<Endpoint, Map<string, Recent>>()

/** `write`, done once for all watches of an endpoint in the same view that come to an event about the same time. */
export function shared(endpoint: Endpoint, view: string, write: Write): Write {
  let views = recent.get(endpoint)
  if (!views) recent.set(endpoint, (views = new Map()))
  let kept = views.get(view)
  if (!kept) views.set(view, (kept = { events: new Map(), bytes: 0 }))
  const { events } = kept
  const own = kept
  return (type, stored) => {
    const found = events.get(stored)
    if (found?.type === type) return found.encoded
    const encoded = write(type, stored)
    const bytes =
      encoded instanceof Promise ? stored.json.length : encoded.reduce((n, part) => n + (part === stored.json ? 0 : part.length), 0)
    if (found) own.bytes -= found.bytes
    events.set(stored, { type, encoded, bytes })
    own.bytes += bytes
    for (const [oldest, { bytes }] of events) {
      if (events.size <= keptEvents && own.bytes <= keptBytes) break
      events.delete(oldest)
      own.bytes -= bytes
    }
    return encoded
  }
}
