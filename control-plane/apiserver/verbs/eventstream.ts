/** The body of a watch: takes events from the registry when its reader wants more, and keeps none. */
import { StatusError, expired, internalError } from '#shared/machinery/status.ts'
import { type Maybe } from '#shared/machinery/maybe.ts'
import type { Pause } from '../chain/turn.ts'
import type { Lifetime } from '../objects/endpoint.ts'
import { VersionExpired, type Cursor, type RegistryEvent, type Stored } from '../registry/registry.ts'
import { restamped } from '../registry/stored.ts'
import type { Encoded, Encoder, EventType } from './encoder.ts'

export interface EventStreamOptions {
  /** Begins the watch; called once, at once. */
  readonly begin: (owner: { wake(): void; progress(): void }) => Cursor
  readonly encoder: Encoder
  /** Whether an object is selected; absent when all are. */
  readonly matches?: ((stored: Stored) => boolean) | undefined
  /** To be waited for before objects are given to `matches`. */
  readonly ready?: ((stored: readonly Stored[]) => Maybe<void>) | undefined
  /** What is there at first, not yet selected. */
  readonly initial: readonly Stored[]
  /** The version of `initial`, told in a bookmark behind it. */
  readonly initialEventsEnd?: number | undefined
  /** A bookmark at most that often, ms; absent: none. */
  readonly bookmarkEveryMs?: number | undefined
  /** How long the watch lasts, ms. */
  readonly lastsMs: number
  /** It ends before that when its kind is served no more. */
  readonly lifetime: Lifetime
  /** Called when much was looked at that is not selected. */
  readonly pause: Pause
  /** Told why the watch ends when an object could not be selected or encoded. */
  readonly failed: (e: unknown) => void
}

/** Pieces are at most this long. */
const maxPiece = 64 * 1024
/**
 * Smaller parts are put together up to this length: memory of one reader's own, which it keeps while it does not read. Larger ones are
 * handed over as they are, being the same for all readers.
 */
const joinedPiece = 16 * 1024
/** Others have their turn after so many objects that are not selected. */
const turn = 200

/** What `#produce` gives: bytes, nothing for now, or that it has skipped much and wants to go on later. */
type Produced = Encoded | Promise<Encoded | 'later'> | undefined | 'later'

const none: readonly never[] = []

/** What becomes of an event for one who sees only part of the objects. */
function seen(matches: (stored: Stored) => boolean, event: RegistryEvent): { type: EventType; stored: Stored } | undefined {
  const before = event.previous !== undefined && matches(event.previous)
  const after = event.type !== 'DELETED' && matches(event.stored)
  if (after) return { type: before ? 'MODIFIED' : 'ADDED', stored: event.stored }
  if (!before) return undefined
  // Leaving: the object as it was seen last, with the version at which it left.
  return { type: 'DELETED', stored: event.type === 'DELETED' ? event.stored : restamped(event.previous!, event.version) }
}

export class EventStream implements AsyncIterableIterator<Uint8Array> {
  readonly #options: EventStreamOptions
  readonly #cursor: Cursor
  readonly #timer: NodeJS.Timeout
  /** Its kind may end without it. */
  readonly #outlive: () => void
  #initial: readonly Stored[]
  /** Where in `#initial` it is. */
  #at = 0
  #initialEventsEnd: number | undefined
  #lastBookmark = Date.now()
  /** Encoded, but not yet handed over: the rest of one event. */
  #rest: Buffer[] = []
  #timeIsUp = false
  /** Nothing is produced any more; `#rest` is still handed over. */
  #finished = false
  #wake: (() => void) | undefined

  /** Throws VersionExpired when the watch cannot begin. */
  constructor(options: EventStreamOptions) {
    this.#options = options
    this.#initial = options.initial
    this.#initialEventsEnd = options.initialEventsEnd
    this.#cursor = options.begin({ wake: () => this.#wake?.(), progress: () => this.#bookmarkIsDue() && this.#wake?.() })
    const timeIsUp = (): void => {
      this.#timeIsUp = true
      this.#wake?.()
    }
    this.#timer = setTimeout(timeIsUp, options.lastsMs)
    this.#timer.unref()
    this.#outlive = options.lifetime.onEnd(timeIsUp)
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    const parts: Buffer[] = []
    let size = 0
    for (;;) {
      const part = this.#rest[0]
      if (part) {
        if (parts.length > 0 && size + part.length > joinedPiece) break
        if (part.length > maxPiece) {
          this.#rest[0] = part.subarray(maxPiece)
          return { done: false, value: part.subarray(0, maxPiece) }
        }
        this.#rest.shift()
        parts.push(part)
        size += part.length
        continue
      }
      if (this.#finished) break
      const produced = this.#produce()
      const more = produced instanceof Promise ? await produced.catch((e: unknown) => this.#failure(e)) : produced
      if (more === 'later') await this.#options.pause()
      else if (more) this.#rest.push(...more)
      else if (parts.length > 0 || this.#finished) break
      else {
        await new Promise<void>(resolve => (this.#wake = resolve))
        this.#wake = undefined
      }
    }
    if (parts.length === 0) return { done: true, value: undefined }
    return { done: false, value: parts.length === 1 ? parts[0]! : Buffer.concat(parts, size) }
  }

  /** Ends at once, whoever waits for the next piece learns it. */
  drop(): void {
    this.#rest = []
    this.#end(none)
    this.#wake?.()
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.drop()
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  #produce(): Produced {
    try {
      if (this.#timeIsUp) return this.#end(this.#started() && this.#options.bookmarkEveryMs !== undefined ? this.#bookmark() : none)
      return this.#beginning() ?? this.#following()
    } catch (e) {
      return this.#failure(e)
    }
  }

  /** What was there when the watch began. */
  #beginning(): Produced {
    const { encoder, matches, ready } = this.#options
    for (let n = 0; this.#at < this.#initial.length; n++) {
      if (n === turn) return 'later'
      const stored = this.#initial[this.#at++]!
      const waiting = ready?.([stored])
      if (waiting) return waiting.then(() => (matches?.(stored) ? encoder.initial(stored) : 'later'))
      if (!matches || matches(stored)) return encoder.initial(stored)
    }
    this.#initial = none
    const version = this.#initialEventsEnd
    if (version === undefined) return undefined
    this.#initialEventsEnd = undefined
    return encoder.bookmark(version, true)
  }

  #following(): Produced {
    const { encoder, matches, ready } = this.#options
    for (let n = 0; n < turn; n++) {
      const event = this.#cursor.next()
      if (!event) return this.#bookmarkIsDue() ? this.#bookmark() : undefined
      const waiting = ready?.(event.previous ? [event.stored, event.previous] : [event.stored])
      if (waiting && matches)
        return waiting.then(() => {
          const shown = seen(matches, event)
          return shown ? encoder.event(shown.type, shown.stored) : 'later'
        })
      const shown = matches ? seen(matches, event) : event
      if (shown) return encoder.event(shown.type, shown.stored)
    }
    return 'later'
  }

  #started(): boolean {
    return this.#at >= this.#initial.length && this.#initialEventsEnd === undefined
  }

  #bookmarkIsDue(): boolean {
    const { bookmarkEveryMs } = this.#options
    return bookmarkEveryMs !== undefined && this.#started() && Date.now() - this.#lastBookmark >= bookmarkEveryMs
  }

  #bookmark(): Encoded {
    this.#lastBookmark = Date.now()
    return this.#options.encoder.bookmark(this.#cursor.version, false)
  }

  /** The last event of a watch that cannot go on. */
  #failure(e: unknown): Encoded {
    if (this.#finished) return none
    if (e instanceof VersionExpired) return this.#end(this.#options.encoder.error(expired(e.message).status))
    this.#options.failed(e)
    const status = e instanceof StatusError ? e.status : internalError((e as Error).message).status
    return this.#end(this.#options.encoder.error(status))
  }

  #end(last: Encoded): Encoded {
    this.#finished = true
    this.#initial = none
    clearTimeout(this.#timer)
    this.#outlive()
    this.#cursor.stop()
    return last
  }
}
