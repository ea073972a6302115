/** Between two of many there may be a moment in which nothing runs, ms. */
const quietMs = 100

/** A limit on how many things run at once; the others wait in the order in which they came. */
export class Slots {
  readonly #limit: number
  #used = 0
  readonly #waiting: (() => void)[] = []
  readonly #calm: (() => void)[] = []
  readonly #idle = new Set<() => void>()
  /** Runs while nothing does, until that is quiet. */
  #ending: NodeJS.Timeout | undefined
  #quiet = true

  constructor(limit: number) {
    this.#limit = limit
  }

  get used(): number {
    return this.#used
  }
  get waiting(): number {
    return this.#waiting.length
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#used >= this.#limit) await new Promise<void>(resolve => this.#waiting.push(resolve))
    else this.#used++
    this.#quiet = false
    clearTimeout(this.#ending)
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      // Whoever ends hands over the slot.
      if (next) next()
      else this.#used--
      if (this.#waiting.length === 0) for (const go of this.#calm.splice(0)) go()
      if (this.#used === 0) this.#ending = setTimeout(() => this.#rest(), quietMs)
    }
  }

  /** Resolves when nobody waits for a slot any more. */
  async calm(): Promise<void> {
    if (this.#waiting.length > 0) await new Promise<void>(resolve => this.#calm.push(resolve))
  }

  /** Nothing has run lately. */
  get quiet(): boolean {
    return this.#quiet
  }

  /** Resolves with true when nothing has run lately, with false after `maxMs`. */
  async idle(maxMs: number): Promise<boolean> {
    if (this.#quiet || maxMs <= 0) return this.#quiet
    return new Promise(resolve => {
      const go = (): void => {
        clearTimeout(timer)
        this.#idle.delete(go)
        resolve(this.#quiet)
      }
      const timer = setTimeout(go, maxMs)
      this.#idle.add(go)
    })
  }

  #rest(): void {
    this.#quiet = true
    for (const go of this.#idle) go()
  }
}
