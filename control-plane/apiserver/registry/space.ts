/**
 * Space on the disk of the store. A nats-server that meets a full disk answers nothing any more, reads neither, until it is started again:
 * so writes are refused while there is still space for those under way. What is left then is for removals, and for the compactor.
 */
import { statfsSync } from 'node:fs'
import { unavailable } from '#shared/machinery/status.ts'

/** So much is kept free, or so large a part of a small disk. */
const reserveBytes = 64 << 20
const reservePart = 1 / 4
/** The part of the reserve that removals leave. */
const lastPart = 1 / 4
/** What was measured counts for so long, ms: another process may fill a disk with 2 GB/s. */
const measuredMs = 5
/** What a message costs the store beside its data. */
const messageBytes = 1024

export class StoreSpace {
  readonly #dir: string
  #measuredAt = -Infinity
  #free = Infinity
  #reserve = 0
  /** Of writes that the store may not have made yet. */
  #underWay = 0

  /** `dir` is a directory of the store. */
  constructor(dir: string) {
    this.#dir = dir
  }

  /** Notes a write of so many bytes, 0 for a removal; returns the function that says that it is over. Throws 503 when there is no space. */
  take(bytes: number): () => void {
    const now = performance.now()
    if (now - this.#measuredAt > measuredMs) this.#measure(now)
    const wanted = bytes + messageBytes
    if (this.#free - this.#underWay - wanted < this.#reserve * (bytes === 0 ? lastPart : 1))
      throw unavailable('the store has no space left on its disk; what is stored can be read, and removed')
    this.#underWay += wanted
    let over = false
    return () => {
      if (!over) this.#underWay -= wanted
      over = true
    }
  }

  /** Whether the store may write of its own accord. */
  get canCompact(): boolean {
    this.#measure(performance.now())
    return this.#free >= this.#reserve * lastPart
  }

  #measure(now: number): void {
    try {
      const { bavail, blocks, bsize } = statfsSync(this.#dir)
      this.#free = bavail * bsize
      this.#reserve = Math.min(reserveBytes, blocks * bsize * reservePart)
    } catch {
      // A directory that nats-server has not made yet, or that this process may not see: nats-server has to tell by itself.
      this.#free = Infinity
    }
    this.#measuredAt = now
  }
}
