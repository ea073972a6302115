/**
 * The event loop's time, divided: what a server computes for its requests is done in slices, some milliseconds of them in each turn of the
 * loop, so that in between it reads what has come and sends what is done. Slices stand in lines (one for each priority level, one for
 * requests that are not begun); the line that had least of the time, by its weight, is next. So nobody's work is further away than the slice
 * that is being done, however much others have to do.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { endTurn } from '#shared/bus/endofturn.ts'
import { Bag, type Item } from '#shared/machinery/bag.ts'
import { Fifo } from '#shared/machinery/fifo.ts'

export interface Line extends Item {
  /** Of two lines that have work the one of twice the weight has twice the time. */
  weight: number
  /** What it has had, ms divided by its weight. What a line does not need is not saved up. */
  used: number
  readonly waiting: Fifo<() => void>
}

/**
 * How long slices are done in one turn of the event loop, ms, give or take the last one. What a turn does is written, synced and told
 * together, here and by all that hear of it: a turn that is shorter than sixteen creates costs each of them a third more.
 */
const turnMs = 8
/** After that long work that can be interrupted is. */
const sliceMs = 1

const resolved = Promise.resolve()

export const newLine = (weight = 1): Line => ({ at: -1, weight, used: 0, waiting: new Fifo() })

export class RunQueue {
  /** Lines in which somebody waits. */
  readonly #lines = new Bag<Line>()
  /** The line whose slice is being done, and since when. */
  #current: Line | undefined
  #since = 0
  #turnEnds = 0
  #scheduled = false
  /** What the line that was last had had: a line that comes back has no less. */
  #floor = 0
  readonly #now: () => number
  /** Goes on when all that follows from a slice without waiting is done: microtasks come before the next tick. */
  readonly #follow = (): void => void resolved.then(this.#tick)
  readonly #tick = (): void => process.nextTick(this.#step)
  readonly #step = (): void => this.#next()
  /** Slices are done as nobody's: who adds the first one of a turn may be in the middle of a request. */
  readonly #outside = AsyncLocalStorage.snapshot()

  /** `now` is the time in ms. */
  constructor(now = () => performance.now()) {
    this.#now = now
  }

  /** Calls `slice`, which must not throw, when it is the line's turn. A slice is what it does until it waits for something outside. */
  add(line: Line, slice: () => void): void {
    if (!this.#lines.has(line)) {
      this.#lines.add(line)
      if (line !== this.#current) line.used = Math.max(line.used, this.#floor)
    }
    line.waiting.push(slice)
    if (this.#scheduled) return
    this.#scheduled = true
    this.#outside(() => setImmediate(() => this.#turn()))
  }

  /** Undefined when a slice of the line may begin now, being the first of a turn or within another; else it may when the promise resolves. */
  begin(line: Line): Promise<void> | undefined {
    const now = this.#now()
    if (!this.#scheduled) {
      this.#scheduled = true
      this.#turnEnds = now + turnMs
      this.#since = now
      this.#current = line
      line.used = this.#floor = Math.max(line.used, this.#floor)
      this.#outside(this.#follow)
      return undefined
    }
    if (this.#current && now < this.#turnEnds && !this.#lines.has(line)) {
      this.#charge(now)
      line.used = Math.max(line.used, this.#floor)
      if (!this.#isBehind(line)) {
        this.#current = line
        return undefined
      }
    }
    return new Promise(resolve => this.add(line, resolve))
  }

  /** For work that can be interrupted: undefined when it may go on at once, being in a slice that is still short. */
  pause(line: Line): Promise<void> | undefined {
    if (this.#current === line && this.#now() - this.#since < sliceMs) return undefined
    return new Promise(resolve => this.add(line, resolve))
  }

  #turn(): void {
    this.#turnEnds = this.#now() + turnMs
    this.#since = this.#turnEnds - turnMs
    this.#next()
  }

  /** Does the next slice. */
  #next(): void {
    const now = this.#now()
    this.#charge(now)
    const line = now < this.#turnEnds ? this.#least() : undefined
    if (!line) {
      this.#current = undefined
      this.#scheduled = this.#lines.items.length > 0
      if (this.#scheduled) setImmediate(() => this.#turn())
      return endTurn()
    }
    this.#current = line
    this.#floor = line.used
    const slice = line.waiting.shift()!
    if (line.waiting.length === 0) this.#lines.delete(line)
    slice()
    this.#follow()
  }

  #charge(now: number): void {
    if (this.#current) this.#current.used += (now - this.#since) / this.#current.weight
    this.#since = now
  }

  #least(): Line | undefined {
    let least: Line | undefined
    for (const line of this.#lines.items) if (!least || line.used < least.used) least = line
    return least
  }

  /** Whether another line is to go before this one. */
  #isBehind(line: Line): boolean {
    for (const other of this.#lines.items) if (other.used < line.used) return true
    return false
  }
}
