/** A limit on how many things run at once; the others wait in the order in which they came. */
export class Slots {
  readonly #limit: number
  #used = 0
  readonly #waiting: (() => void)[] = []
  readonly #calm: (() => void)[] = []
  readonly #idle = new Set<() => void>()

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
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      // Whoever ends hands over the slot.
      if (next) next()
      else this.#used--
      if (this.#waiting.length === 0) for (const go of this.#calm.splice(0)) go()
      if (this.#used === 0) for (const go of this.#idle) go()
    }
  }

  /** Resolves when nobody waits for a slot any more. */
  async calm(): Promise<void> {
    if (this.#waiting.length > 0) await new Promise<void>(resolve => this.#calm.push(resolve))
  }

  /** Resolves when nothing runs, after `maxMs` whatever happens. */
  async idle(maxMs: number): Promise<void> {
    if (this.#used === 0 || maxMs <= 0) return
    await new Promise<void>(resolve => {
      const go = (): void => {
        clearTimeout(timer)
        this.#idle.delete(go)
        resolve()
      }
      const timer = setTimeout(go, maxMs)
      this.#idle.add(go)
    })
  }
}
