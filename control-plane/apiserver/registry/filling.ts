/** Filling a cache from what the stream holds, until nothing is left that was there when it began. */
import type { Following, StreamMessage } from './follow.ts'
import type { StreamState } from './stream.ts'

/** The stream, as filling needs it. */
export interface Source {
  state(): Promise<StreamState>
  /** The first sequence from `from` on that the stream holds; undefined when there is none. */
  nextSequence(from: number): Promise<number | undefined>
  /** As followStream. */
  follow(from: number, receive: (messages: StreamMessage[]) => void, idle: () => void): Following
}

export interface Filler {
  /** Called with the stream's last sequence before anything else; may throw. */
  begins(last: number): void
  /** Called with each message that the stream held, in order. */
  apply(m: StreamMessage): void
  /**
   * Called once when all are applied, with the sequence that is reached: behind the last applied one everything up to it was compacted.
   * What follows goes to `live`, in the same tick and later.
   */
  filled(version: number): void
  live(messages: StreamMessage[]): void
  readonly closed: boolean
}

/** Resolves when `filled` was called, with what goes on following. Rejects when that takes longer than `timeoutMs`, 0 for ever. */
export async function fill(source: Source, filler: Filler, timeoutMs: number): Promise<Following> {
  const end = timeoutMs > 0 ? performance.now() + timeoutMs : Infinity
  const { last_seq: last, messages } = await stateOf(source, filler, end)
  filler.begins(last)
  let at = messages === 0 ? last : 0
  let filling = true
  let asking = false
  const done = Promise.withResolvers<void>()
  const complete = (version: number): void => {
    filling = false
    filler.filled(Math.max(at, version))
    done.resolve()
  }
  // A count of what is pending may be wrong after a crash of the server, and a heartbeat says that nothing is: the stream itself is asked.
  const askWhatIsLeft = async (): Promise<void> => {
    if (asking) return
    asking = true
    const from = at + 1
    try {
      const next = await source.nextSequence(from)
      if (!filling || at + 1 !== from || filler.closed) return
      if (next === undefined) complete(last)
      else if (next > last) complete(next - 1)
      else following.restart(from)
    } catch {
      // The next heartbeat asks again.
    } finally {
      asking = false
    }
  }
  const receive = (received: StreamMessage[]): void => {
    for (const [i, m] of received.entries()) {
      if (!filling) return filler.live(received.slice(i))
      filler.apply(m)
      at = m.seq
      if (at >= last) complete(at)
    }
    if (filling && received.at(-1)?.pending === 0) void askWhatIsLeft()
  }
  if (filler.closed) throw new Error('the registry is closed')
  const following = source.follow(at + 1, receive, () => void (filling && askWhatIsLeft()))
  if (at >= last) complete(at)
  const timer =
    end === Infinity
      ? undefined
      : setTimeout(() => done.reject(new Error('the watch cache was not filled in time')), end - performance.now())
  try {
    await done.promise
    return following
  } catch (e) {
    following.stop()
    throw e
  } finally {
    clearTimeout(timer)
  }
}

async function stateOf(source: Source, filler: Filler, end: number): Promise<StreamState> {
  for (let wait = 50; ; wait = Math.min(wait * 2, 1000)) {
    try {
      return await source.state()
    } catch (e) {
      if (filler.closed || performance.now() > end) throw e
      await new Promise(resolve => setTimeout(resolve, wait))
    }
  }
}
