/** A limit on how much one client may have under way: more waits, far more is refused, so that nobody starves the others. */

export interface GateOptions {
  /** How many run at once for one key. */
  running: number
  /** How many wait for one key. */
  waiting: number
}

export class Gate {
  readonly #options: GateOptions
  readonly #keys = new Map<string, { running: number; waiting: (() => void)[] }>()

  constructor(options: GateOptions) {
    this.#options = options
  }

  /** Resolves with the function that gives the place back when there is one; undefined when too many wait already. */
  async enter(key: string): Promise<(() => void) | undefined> {
    let state = this.#keys.get(key)
    if (!state) this.#keys.set(key, (state = { running: 0, waiting: [] }))
    const mine = state
    if (mine.running >= this.#options.running) {
      if (mine.waiting.length >= this.#options.waiting) return undefined
      // Whoever leaves hands over the place: `running` stays as it is.
      await new Promise<void>(resolve => mine.waiting.push(resolve))
    } else {
      mine.running++
    }
    let left = false
    return () => {
      if (left) return
      left = true
      const next = mine.waiting.shift()
      if (next) return next()
      mine.running--
      if (mine.running === 0) this.#keys.delete(key)
    }
  }
}
