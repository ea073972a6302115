/** A set whose elements several may want: each stays until the last has let go of it. It knows what changed since it was last written. */
export interface CountedSet {
  readonly elements: ReadonlyMap<string, number>
  /** What somebody who knows the former state lacks, and has too much. */
  readonly added: ReadonlySet<string>
  readonly removed: ReadonlySet<string>
  add(element: string): void
  remove(element: string): void
  /** What there is now is known. */
  written(): void
}

export function counted(): CountedSet {
  const elements = new Map<string, number>()
  const added = new Set<string>()
  const removed = new Set<string>()
  return {
    elements,
    added,
    removed,
    add(element) {
      const count = elements.get(element) ?? 0
      elements.set(element, count + 1)
      if (count === 0 && !removed.delete(element)) added.add(element)
    },
    remove(element) {
      const count = elements.get(element) ?? 0
      if (count > 1) elements.set(element, count - 1)
      else if (elements.delete(element) && !added.delete(element)) removed.add(element)
    },
    written() {
      added.clear()
      removed.clear()
    },
  }
}
