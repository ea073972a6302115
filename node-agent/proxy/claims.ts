/** Keys that several owners may want, each with a value: the owner whose name comes first has it. Knows what of it the kernel holds. */
export interface Claims {
  /** What an owner wants now instead of before; the same maps must not change afterwards. */
  set(owner: string, before: ReadonlyMap<string, string> | undefined, after: ReadonlyMap<string, string> | undefined): void
  /** What is to be taken away and to be added; a changed value is both. */
  changes(): { gone: string[]; fresh: [key: string, value: string][] }
  /** The kernel holds it all now. */
  written(): void
  /** The kernel holds nothing. */
  lost(): void
}

export function newClaims(): Claims {
  const owners = new Map<string, Map<string, string>>()
  const kernel = new Map<string, string>()
  const touched = new Set<string>()
  const winner = (key: string): string | undefined => {
    let first: string | undefined
    let value: string | undefined
    for (const [owner, wanted] of owners.get(key) ?? [])
      if (first === undefined || owner < first) {
        first = owner
        value = wanted
      }
    return value
  }
  return {
    set(owner, before, after) {
      for (const key of before?.keys() ?? []) {
        if (after?.has(key)) continue
        const all = owners.get(key)
        all?.delete(owner)
        if (all?.size === 0) owners.delete(key)
        touched.add(key)
      }
      for (const [key, value] of after ?? []) {
        if (before?.get(key) === value) continue
        const all = owners.get(key)
        if (all) all.set(owner, value)
        else owners.set(key, new Map([[owner, value]]))
        touched.add(key)
      }
    },
    changes() {
      const gone: string[] = []
      const fresh: [string, string][] = []
      for (const key of touched) {
        const [now, wanted] = [kernel.get(key), winner(key)]
        if (now === wanted) continue
        if (now !== undefined) gone.push(key)
        if (wanted !== undefined) fresh.push([key, wanted])
      }
      return { gone, fresh }
    },
    written() {
      for (const key of touched) {
        const wanted = winner(key)
        if (wanted === undefined) kernel.delete(key)
        else kernel.set(key, wanted)
      }
      touched.clear()
    },
    lost() {
      kernel.clear()
      touched.clear()
      for (const key of owners.keys()) touched.add(key)
    },
  }
}
