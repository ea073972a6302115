/** A binary heap whose items are found by key too: to change one, or to take it out of the middle. */
export class Heap<T> {
  readonly #items: T[] = []
  readonly #at = new Map<string, number>()
  readonly #key: (item: T) => string
  readonly #less: (a: T, b: T) => boolean

  constructor(key: (item: T) => string, less: (a: T, b: T) => boolean) {
    this.#key = key
    this.#less = less
  }

  get size(): number {
    return this.#items.length
  }
  get(key: string): T | undefined {
    const i = this.#at.get(key)
    return i === undefined ? undefined : this.#items[i]
  }
  peek(): T | undefined {
    return this.#items[0]
  }
  values(): Iterable<T> {
    return this.#items
  }

  /** Adds the item, or puts it in the place of the one with its key. */
  push(item: T): void {
    const known = this.#at.get(this.#key(item))
    const i = known ?? this.#items.length
    this.#put(i, item)
    this.#down(this.#up(i))
  }
  pop(): T | undefined {
    const first = this.#items[0]
    return first === undefined ? undefined : this.delete(this.#key(first))
  }
  delete(key: string): T | undefined {
    const i = this.#at.get(key)
    if (i === undefined) return undefined
    const gone = this.#items[i]
    const last = this.#items.pop()!
    this.#at.delete(key)
    if (i < this.#items.length) {
      this.#put(i, last)
      this.#down(this.#up(i))
    }
    return gone
  }

  #put(i: number, item: T): void {
    this.#items[i] = item
    this.#at.set(this.#key(item), i)
  }
  #swap(i: number, j: number): void {
    const [a, b] = [this.#items[i]!, this.#items[j]!]
    this.#put(i, b)
    this.#put(j, a)
  }
  /** Moves the item up to where it belongs and says where that is. */
  #up(from: number): number {
    let i = from
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!this.#less(this.#items[i]!, this.#items[parent]!)) break
      this.#swap(i, parent)
      i = parent
    }
    return i
  }
  #down(from: number): void {
    for (let i = from; ;) {
      let least = i
      for (const child of [2 * i + 1, 2 * i + 2])
        if (child < this.#items.length && this.#less(this.#items[child]!, this.#items[least]!)) least = child
      if (least === i) return
      this.#swap(i, least)
      i = least
    }
  }
}
