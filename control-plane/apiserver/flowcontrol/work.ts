/**
 * How many requests are really worked on at a time. A request may hold a seat while its body comes or its client is slow; one process and
 * one store do not work on hundreds at once, they only keep them in line, heartbeats behind all others. So that line is kept here, a short
 * one for each level: each may always begin its share, what is left goes to the levels in turn. Nothing is turned away.
 */
import { Fifo } from '#shared/machinery/fifo.ts'
import type { Level } from './level.ts'

interface Line {
  readonly level: Level
  working: number
  readonly waiting: Fifo<{ readonly width: number; readonly start: () => void }>
}

export class Work {
  readonly #most: number
  /** A handful; the first is the one whose turn it is. */
  readonly #lines: Line[] = []
  #working = 0
  #waiting = 0

  /** `most` is the sum of the widths of what is worked on at a time, give or take the shares. */
  constructor(most: number) {
    this.#most = most
  }

  /** Undefined when the request may begin; else it may when the promise resolves. */
  begin(level: Level, width: number): Promise<void> | undefined {
    let line = this.#lineOf(level)
    if (!line) this.#lines.push((line = { level, working: 0, waiting: new Fifo() }))
    if (line.waiting.length === 0 && this.#may(line, width)) {
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
    this.#lineOf(level)!.working -= width
    this.#working -= width
    while (this.#waiting > 0 && this.#startOne());
  }

  /** The next of the first level whose turn it is and that may begin one; the level goes to the end of the row. */
  #startOne(): boolean {
    for (let i = 0; i < this.#lines.length; i++) {
      const line = this.#lines[i]!
      const { first } = line.waiting
      // Levels that are gone, or have nothing to do, need no line.
      if (!first && line.working === 0) this.#lines.splice(i--, 1)
      if (!first || !this.#may(line, first.width)) continue
      line.waiting.shift()
      this.#waiting--
      line.working += first.width
      this.#working += first.width
      this.#lines.splice(i, 1)
      this.#lines.push(line)
      first.start()
      return true
    }
    return false
  }

  #lineOf(level: Level): Line | undefined {
    return this.#lines.find(line => line.level === level)
  }

  #may(line: Line, width: number): boolean {
    return line.working === 0 || line.working + width <= line.level.share * this.#most || this.#working + width <= this.#most
  }
}
