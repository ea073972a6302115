/**
 * The event loop's time, divided: what a server computes for its requests is done in slices, some milliseconds of them in each turn of the
 * loop, so that in between it reads what has come and sends what is done. Slices stand in lines (one for each priority level, one for
 * requests that are not begun); the line that had least of the time, by its weight, is next. So nobody's work is further away than the
 * slice that is being done, however much others have to do.
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
/**
 * Slices that are begun together, at most. They go on in step: what one awaits that is there already lets the others come as far. So each
 * stage of the work is done for all of them in a row, with its code and data in the processor's caches; a create that is done from its
 * beginning to its end before the next one takes half as long again.
 */
const together = 16

/** Awaited between two stages of a request: those that were begun with it come as far. */
export const stage: Promise<void> = Promise.resolve()

export const newLine = (weight = 1): Line => ({ at: -1, weight, used: 0, waiting: new Fifo() })

export class RunQueue {
  /** Lines in which somebody waits. */
  readonly #lines = new Bag<Line>()
  /** The lines whose slices are being done, one for each slice, and since when. */
  readonly #current: Line[] = []
  #since = 0
  /** When those were begun; how long one takes, ms, of the last ones rather the longest; what they were charged for beforehand. */
  #begun = 0
  #expected = 0
  #advance = 0
  #turnEnds = 0
  #scheduled = false
  /** What the line that was last had had: a line that comes back has no less. */
  #floor = 0
  readonly #now: () => number
  /** Goes on when all that follows from a slice without waiting is done: microtasks come before the next tick. */
  readonly #follow = (): void => void stage.then(this.#tick)
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
      if (!this.#current.includes(line)) line.used = Math.max(line.used, this.#floor)
    }
    line.waiting.push(slice)
    if (this.#scheduled) return
    this.#scheduled = true
    this.#outside(() => setImmediate(() => this.#turn()))
  }

  /**
   * Undefined when a slice of the line may begin now, being the first of a turn or within another; else it may when the promise resolves.
   */
  begin(line: Line): Promise<void> | undefined {
    const now = this.#now()
    if (!this.#scheduled) {
      this.#scheduled = true
      this.#turnEnds = now + turnMs
      this.#since = this.#begun = now
      this.#current.push(line)
      line.used = this.#floor = Math.max(line.used, this.#floor)
      this.#outside(this.#follow)
      return undefined
    }
    if (this.#current.length > 0 && now < this.#turnEnds && !this.#lines.has(line)) {
      this.#charge(now)
      line.used = Math.max(line.used, this.#floor)
      if (!this.#isBehind(line)) {
        // What calls is the slice that was begun last, unless it has waited for somebody.
        this.#current[this.#current.length - 1] = line
        return undefined
      }
    }
    return new Promise(resolve => this.add(line, resolve))
  }

  /** For work that can be interrupted: undefined when it may go on at once, being in a slice that is still short. */
  pause(line: Line): Promise<void> | undefined {
    if (this.#current.includes(line) && this.#now() - this.#since < sliceMs) return undefined
    return new Promise(resolve => this.add(line, resolve))
  }

  #turn(): void {
    this.#since = this.#now()
    this.#turnEnds = this.#since + turnMs
    this.#next()
  }

  /** Begins the next slices: as many as are expected to end within the turn. */
  #next(): void {
    let now = this.#now()
    this.#end(now)
    const n = Math.min(together, (2 * turnMs) / this.#expected)
    for (; now < this.#turnEnds; now = this.#now()) {
      const line = this.#least()
      if (!line) break
      this.#current.push(line)
      this.#floor = line.used
      line.used += this.#advance / line.weight
      const slice = line.waiting.shift()!
      if (line.waiting.length === 0) this.#lines.delete(line)
      slice()
      if (this.#current.length + 1 > n) break
    }
    if (this.#current.length > 0) return this.#follow()
    this.#scheduled = this.#lines.items.length > 0
    if (this.#scheduled) setImmediate(() => this.#turn())
    endTurn()
  }

  /** The slices that were begun have ended. */
  #end(now: number): void {
    this.#charge(now)
    const n = this.#current.length
    if (n > 0) this.#expected = Math.max((now - this.#begun) / n, 0.9 * this.#expected)
    this.#current.length = 0
    this.#begun = now
    this.#advance = this.#expected
  }

  /** Shares the time that has passed among the slices that are being done. */
  #charge(now: number): void {
    const each = (now - this.#since) / this.#current.length - this.#advance
    for (const line of this.#current) line.used += each / line.weight
    this.#advance = 0
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
