/**
 * How many requests are really worked on at a time. A request may hold a seat while its body comes or its client is slow; one process and
 * one store do not work on hundreds at once, they only keep them in line, heartbeats behind all others. So that line is kept here, a short
 * one for each level: each may always begin its share, what is left goes to the levels in turn. Nothing is turned away.
 */
import type { Level } from './level.ts'

interface Line {
  working: number
  readonly waiting: { readonly width: number; readonly start: () => void }[]
}

export class Work {
  readonly #most: number
  readonly #lines = new Map<Level, Line>()
  #working = 0
  #waiting = 0

  /** `most` is the sum of the widths of what is worked on at a time, give or take the shares. */
  constructor(most: number) {
    this.#most = most
  }

  /** Undefined when the request may begin; else it may when the promise resolves. */
  begin(level: Level, width: number): Promise<void> | undefined {
    let line = this.#lines.get(level)
    if (!line) this.#lines.set(level, (line = { working: 0, waiting: [] }))
    if (line.waiting.length === 0 && this.#may(level, line, width)) {
      line.working += width
      this.#working += width
      return undefined
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    line.waiting.push({ width, start: resolve })
    this.#waiting++
    return promise
  }

  end(level: Level, width: number): void {
    this.#lines.get(level)!.working -= width
    this.#working -= width
    while (this.#waiting > 0 && this.#startOne());
  }

  /** The next of the first level whose turn it is and that may begin one; the level goes to the end of the row. */
  #startOne(): boolean {
    for (const [level, line] of this.#lines) {
      const first = line.waiting[0]
      if (!first) {
        // Levels that are gone, or have nothing to do, need no line.
        if (line.working === 0) this.#lines.delete(level)
        continue
      }
      if (!this.#may(level, line, first.width)) continue
      line.waiting.shift()
      this.#waiting--
      line.working += first.width
      this.#working += first.width
      this.#lines.delete(level)
      this.#lines.set(level, line)
      first.start()
      return true
    }
    return false
  }

  #may(level: Level, line: Line, width: number): boolean {
    return line.working === 0 || line.working + width <= level.share * this.#most || this.#working + width <= this.#most
  }
}
