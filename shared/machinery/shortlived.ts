interface Box<V> {
  value: V | undefined
}

/**
 * A Map of what comes and goes many times a second: its values are in boxes, which are emptied when they are removed, so that the tables
 * that V8 leaves behind (see Bag) hold next to nothing.
 */
export class ShortLived<K, V extends object> {
  readonly #boxes = new Map<K, Box<V>>()

  get size(): number {
    return this.#boxes.size
  }

  get(key: K): V | undefined {
    return this.#boxes.get(key)?.value
  }

  has(key: K): boolean {
    return this.#boxes.has(key)
  }

  set(key: K, value: V): void {
    const box = this.#boxes.get(key)
    if (box) box.value = value
    else this.#boxes.set(key, { value })
  }

  /** Whether it was there. */
  delete(key: K): boolean {
    const box = this.#boxes.get(key)
    if (!box) return false
    box.value = undefined
    return this.#boxes.delete(key)
  }

  /** In the order of their coming. Those removed meanwhile are left out. */
  *values(): Generator<V> {
    for (const { value } of this.#boxes.values()) if (value !== undefined) yield value
  }

  *[Symbol.iterator](): Generator<[K, V]> {
    for (const [key, { value }] of this.#boxes) if (value !== undefined) yield [key, value]
  }
}
