/**
 * Removes from the stream what no watcher needs any more: versions that were replaced longer ago than the watch window, or too many ago.
 * Keeps, of each subject, the newest version at or before that point, so that history after it is complete. Works subject by subject; every
 * API server does what its own writes left behind, what it finds at its start, and after a while what others have not done.
 */
import type { BusConnection } from '#shared/bus/connection.ts'
import type { Logger } from '#shared/component/log.ts'
import { purgeBefore } from './stream.ts'

export interface CompactorOptions {
  /** How long a replaced version stays, ms. */
  windowMs: number
  /** How many of the stream's newest versions stay whatever their age is not more than this. */
  maxVersions: number
  /** Whether a purge of tombstones survives a crash of this server version. */
  tombstones: boolean
  /** Whether the store has the space that a purge takes. */
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
}

interface Job {
  readonly subject: string
  readonly trail: Trail
  /** What comes before it goes. */
  readonly keep: Version
  /** It goes too, being a tombstone. */
  readonly gone: boolean
}

/** How many windows a server has to clean up after itself before others do. */
const patience = 3

/**
 * From 2.10 on a nats-server that is killed may bring back what was purged (issue 8505). Old versions may come back: a newer one hides
 * them. An object whose tombstone was purged with it must not; seen with 2.10.27 and 2.15.1 by the crash test, never with 2.9.10. Elsewhere
 * tombstones stay, about 100 bytes each.
 */
export function tombstonesCanGo(serverVersion: string): boolean {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(serverVersion) ?? []
  return Number(major) === 2 && Number(minor) <= 9
}

export class Compactor {
  readonly #connection: BusConnection
  readonly #log: Logger
  readonly #options: CompactorOptions
  readonly #trails = new Map<string, Trail>()
  readonly #timer: NodeJS.Timeout
  #running = false
  #newest = 0
  /** Versions replaced since the last run. */
  #fresh = 0
  #closed = false
  /** Told of subjects whose tombstone is gone. */
  readonly #forget: (subject: string, seq: number) => void

  constructor(connection: BusConnection, log: Logger, options: CompactorOptions, forget: (subject: string, seq: number) => void) {
    this.#connection = connection
    this.#log = log
    this.#options = options
    this.#forget = forget
    this.#timer = setInterval(() => void this.run().catch(() => {}), Math.min(30_000, Math.max(1_000, options.windowMs / 10)))
    this.#timer.unref()
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
  }

  /** What was collected belongs to a cache that is loaded anew. */
  reset(): void {
    this.#trails.clear()
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
    } else if (replaced !== 0 || buried) {
      const before = replaced === 0 ? [] : [{ seq: replaced, time: 0 }]
      this.#trails.set(subject, { versions: [...before, { seq, time }], buried, mine })
    }
  }

  /** One pass over what is old enough now. Resolves with the number of subjects cleaned. */
  async run(now = Date.now()): Promise<number> {
    if (this.#running || !this.#connection.connected || !this.#options.possible()) return 0
    this.#running = true
    this.#fresh = 0
    let done = false
    try {
      const { windowMs, maxVersions } = this.#options
      const work: Job[] = []
      for (const [subject, trail] of this.#trails) {
        const windows = trail.mine ? 1 : patience
        const old = (v: Version) => v.time < now - windows * windowMs || v.seq <= this.#newest - windows * maxVersions
        const keep = trail.versions.findLastIndex(old)
        if (keep < 0) continue
        const gone = keep === trail.versions.length - 1 && trail.buried && this.#options.tombstones
        if (keep > 0 || gone) work.push({ subject, trail, keep: trail.versions[keep]!, gone })
        else if (trail.versions.length === 1) this.#trails.delete(subject)
      }
      let next = 0
      const worker = async () => {
        for (let job = work[next++]; job && !this.#closed; job = work[next++]) {
          const { seq } = job.keep
          await purgeBefore(this.#connection.nats, job.subject, seq + (job.gone ? 1 : 0))
          if (job.gone) this.#forget(job.subject, seq)
          this.#purged(job)
        }
      }
      await Promise.all(Array.from({ length: 4 }, worker))
      done = true
      return work.length
    } catch (e) {
      // What was not purged keeps its trail for the next pass.
      if (!this.#closed) this.#log.warn({ error: (e as Error).message }, 'compaction was interrupted')
      return 0
    } finally {
      this.#running = false
      // What came meanwhile, unless the store is in trouble: then the timer comes back to it.
      if (done) this.#runIfMuch()
    }
  }

  /** Takes what was purged off its trail, to which more may have come meanwhile. */
  #purged({ subject, trail, keep }: Job): void {
    if (this.#trails.get(subject) !== trail) return
    trail.versions = trail.versions.filter(v => v.seq >= keep.seq)
    if (trail.versions.length === 1) this.#trails.delete(subject)
  }

  #runIfMuch(): void {
    if (this.#fresh > this.#options.maxVersions / 4 && !this.#running && !this.#closed) void this.run().catch(() => {})
  }
}
