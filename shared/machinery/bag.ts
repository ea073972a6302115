/**
 * A set of what comes and goes many times a second. A Set or Map leaves a table behind whenever it is rehashed, and that one points to its
 * successor (V8's OrderedHashTable): once one of them is old, all that follow it survive, with what was in them, until the next full
 * collection. Under load that made young collections take tens of milliseconds.
 */
export interface Item {
  /** Where it is in its bag; -1 when it is in none. */
  at: number
}

export class Bag<T extends Item> {
  readonly #items: T[] = []

  /** In no order. Who removes while walking walks from the last to the first. */
  get items(): readonly T[] {
    return this.#items
  }

  has(item: T): boolean {
    return this.#items[item.at] === item
  }

  /** One that is there already stays there. */
  add(item: T): void {
    if (this.has(item)) return
    item.at = this.#items.length
    this.#items.push(item)
  }

  /** Whether it was there. The last one takes its place. */
  delete(item: T): boolean {
    const { at } = item
    if (this.#items[at] !== item) return false
    const last = this.#items.pop()!
    if (last !== item) {
      this.#items[at] = last
      last.at = at
    }
    item.at = -1
    return true
  }
}
