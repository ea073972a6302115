/**
 * Removes from the stream what no watcher needs any more: versions that were replaced longer ago than the watch window, or too many ago.
 * Keeps, of each subject, the newest version at or before that point, so that history after it is complete. Every API server does what its
 * own writes left behind, what it finds at its start, and after a while what others have not done.
 *
 * A crash of nats-server may bring back what was deleted not long before. A newer version hides it, and so does a tombstone, which
 * therefore stays until what it hides has settled.
 */
import { createInbox } from 'nats'
import type { BusConnection } from '#shared/bus/connection.ts'
import { inboxPrefix } from '#shared/bus/subjects.ts'
import type { Logger } from '#shared/component/log.ts'
import { deleteMessages } from './stream.ts'

export interface CompactorOptions {
  /** How long a replaced version stays, ms. */
  windowMs: number
  /** How many of the stream's newest versions stay whatever their age is not more than this. */
  maxVersions: number
  /** How long a tombstone stays after what it hides was deleted, ms. */
  settleMs: number
  /** Whether what is deleted is erased from the store's files: it may have been stored before it was to be encrypted. */
  erase: boolean
  /** Whether the store has the space that a deletion takes. */
  possible: () => boolean
}

interface Version {
  readonly seq: number
  readonly time: number
}
interface Trail {
  /** Oldest first; the last one is the newest of the subject. */
  versions: Version[]
  /** The newest one is a tombstone. */
  buried: boolean
  /** This server cleans up. Another's trails are left to it for much longer: it may be gone for good. */
  mine: boolean
  /** Since when a tombstone hides nothing more, ms since 1970; 0 when it does. */
  alone: number
}

interface Job {
  readonly subject: string
  readonly trail: Trail
  /** To be deleted. */
  readonly seqs: readonly number[]
  /** What is older goes from the trail. Undefined: it is the tombstone that is deleted. */
  readonly keep: Version | undefined
}

/** Deletions that a crash of the server may still undo. */
interface Deletions {
  readonly seqs: readonly number[]
  readonly at: number
}

/** How many windows a server has to clean up after itself before others do. */
const patience = 3
/** Deletions that nats-server is asked for at once. It answers the requests of a connection in turn, and writes wait behind these. */
const atOnce = 16
/** Deletions that are remembered: 8 bytes each. */
const mostUnsettled = 500_000

export class Compactor {
  readonly #connection: BusConnection
  readonly #log: Logger
  readonly #options: CompactorOptions
  readonly #trails = new Map<string, Trail>()
  readonly #timer: NodeJS.Timeout
  readonly #stopListening: () => void
  #running = false
  #newest = 0
  /** Versions replaced since the last run. */
  #fresh = 0
  #closed = false
  #unsettled: Deletions[] = []
  #remembered = 0
  /** What was deleted up to then, ms since 1970, is not remembered: another process did it, or it was too much. */
  #unknownUntil = Date.now()
  /** To be deleted once more. */
  #again: number[] = []
  /** Something may be there that no trail knows, so that tombstones stay until the whole stream is read again. */
  #blind = false
  /** Told of subjects whose tombstone is gone. */
  readonly #forget: (subject: string, seq: number) => void

  constructor(connection: BusConnection, log: Logger, options: CompactorOptions, forget: (subject: string, seq: number) => void) {
    this.#connection = connection
    this.#log = log
    this.#options = options
    this.#forget = forget
    this.#timer = setInterval(() => void this.run().catch(() => {}), Math.min(30_000, Math.max(1_000, options.windowMs / 10)))
    this.#timer.unref()
    this.#stopListening = connection.onChange(connected => connected && this.#reconnected())
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
    this.#stopListening()
  }

  /** What was collected belongs to a cache that is loaded anew, from all that the stream holds. */
  reset(): void {
    this.#trails.clear()
    this.#unknownUntil = Date.now()
    this.#blind = false
  }

  /** A message was applied that replaced `replaced` (0: nothing). `mine`: this server cleans up after it. */
  saw(subject: string, seq: number, time: number, replaced: number, buried: boolean, mine: boolean): void {
    this.#newest = seq
    if (replaced !== 0) this.#fresh++
    this.#runIfMuch()
    const trail = this.#trails.get(subject)
    if (trail) {
      trail.versions.push({ seq, time })
      trail.buried = buried
      trail.mine ||= mine
      trail.alone = 0
    } else if (replaced !== 0 || buried) {
      const before = replaced === 0 ? [] : [{ seq: replaced, time: 0 }]
      this.#trails.set(subject, { versions: [...before, { seq, time }], buried, mine, alone: 0 })
    }
  }

  /** One pass over what is old enough now. Resolves with the number of subjects cleaned. */
  async run(now = Date.now()): Promise<number> {
    if (this.#running || !this.#connection.connected || !this.#options.possible()) return 0
    this.#running = true
    this.#fresh = 0
    let done = false
    try {
      this.#settle(now)
      while (this.#again.length > 0 && !this.#closed) {
        const seqs = this.#again.slice(-atOnce)
        await this.#delete(seqs, now)
        this.#again.splice(-seqs.length)
      }
      const work = this.#work(now)
      for (let first = 0, end = 0; first < work.length && !this.#closed; first = end) {
        for (let seqs = 0; end < work.length && seqs < atOnce; end++) seqs += work[end]!.seqs.length
        const jobs = work.slice(first, end)
        await this.#delete(
          jobs.flatMap(j => j.seqs),
          now,
        )
        for (const job of jobs) this.#deleted(job)
      }
      done = true
      return work.length
    } catch (e) {
      // What was not deleted keeps its trail for the next pass.
      if (!this.#closed) this.#log.warn({ error: (e as Error).message }, 'compaction was interrupted')
      return 0
    } finally {
      this.#running = false
      // What came meanwhile, unless the store is in trouble: then the timer comes back to it.
      if (done) this.#runIfMuch()
    }
  }

  async #delete(seqs: readonly number[], now: number): Promise<void> {
    await deleteMessages(this.#connection.nats, createInbox(inboxPrefix(this.#connection.identity)), seqs, this.#options.erase)
    this.#unsettled.push({ seqs, at: now })
    this.#remembered += seqs.length
  }

  /** What can be deleted now, neighbours in the stream together: nats-server reads whole blocks of it. */
  #work(now: number): Job[] {
    const { windowMs, maxVersions, settleMs } = this.#options
    const work: Job[] = []
    for (const [subject, trail] of this.#trails) {
      const windows = trail.mine ? 1 : patience
      const old = (v: Version) => v.time < now - windows * windowMs || v.seq <= this.#newest - windows * maxVersions
      const { versions } = trail
      const at = versions.findLastIndex(old)
      if (at < 0) continue
      const keep = versions[at]!
      if (at > 0) work.push({ subject, trail, seqs: versions.slice(0, at).map(v => v.seq), keep })
      else if (versions.length > 1) continue
      else if (!trail.buried) this.#trails.delete(subject)
      else if (trail.alone === 0) trail.alone = now
      else if (now - trail.alone >= settleMs && !this.#blind) work.push({ subject, trail, seqs: [keep.seq], keep: undefined })
    }
    return work.sort((a, b) => a.seqs[0]! - b.seqs[0]!)
  }

  /** Takes what was deleted off its trail, to which more may have come meanwhile. */
  #deleted({ subject, trail, seqs, keep }: Job): void {
    if (!keep) this.#forget(subject, seqs[0]!)
    if (this.#trails.get(subject) !== trail) return
    trail.versions = trail.versions.filter(v => (keep ? v.seq >= keep.seq : v.seq > seqs[0]!))
    if (trail.versions.length === 0 || (trail.versions.length === 1 && !trail.buried)) this.#trails.delete(subject)
  }

  /** Forgets the deletions that no crash undoes any more. */
  #settle(now: number): void {
    const { settleMs } = this.#options
    let settled = 0
    for (const { seqs, at } of this.#unsettled) {
      if (now - at <= settleMs && this.#remembered <= mostUnsettled) break
      if (now - at <= settleMs) this.#unknownUntil = at
      this.#remembered -= seqs.length
      settled++
    }
    this.#unsettled.splice(0, settled)
  }

  /** The server may have crashed, and what was deleted and has not settled may be there again. */
  #reconnected(): void {
    const now = Date.now()
    this.#settle(now)
    this.#blind ||= now - this.#unknownUntil <= this.#options.settleMs
    // In front: who deletes takes them from the end.
    this.#again = [...this.#unsettled.flatMap(d => d.seqs), ...this.#again]
    this.#unsettled = []
    this.#remembered = 0
    for (const trail of this.#trails.values()) trail.alone = 0
  }

  #runIfMuch(): void {
    if (this.#fresh > this.#options.maxVersions / 4 && !this.#running && !this.#closed) void this.run().catch(() => {})
  }
}
