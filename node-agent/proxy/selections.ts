/**
 * Lists of which connections get one by chance, in the kernel's maps: each has a number of its own and its values are in slots from 0 on.
 */
import type { Selection } from './ruleset.ts'
import type { SelectionMap } from './table.ts'

interface State {
  id: number
  map: SelectionMap
  slots: string[]
  /** What the kernel holds. */
  kernel: string[]
}
export interface Selections {
  set(before: ReadonlyMap<string, Selection> | undefined, after: ReadonlyMap<string, Selection> | undefined): void
  /** The number that `<NAME>` stands for. */
  id(name: string): number
  /** By map: keys (`id . slot`) that go, and those that come with their values; a changed value is both. */
  changes(): Map<SelectionMap, { gone: string[]; fresh: [key: string, value: string][] }>
  written(): void
  lost(): void
}

export function newSelections(): Selections {
  const states = new Map<string, State>()
  const touched = new Set<string>()
  const free: number[] = []
  let last = 0

  function put(name: string, { map, values }: Selection): void {
    let state = states.get(name)
    // One that is in another map now keeps its number: what the kernel holds of it is gone from the former map below.
    if (!state) states.set(name, (state = { id: free.pop() ?? ++last, map, slots: [], kernel: [] }))
    state.slots = arranged(state.slots, values)
    touched.add(name)
  }
  return {
    set(before, after) {
      for (const name of before?.keys() ?? []) {
        if (after?.has(name)) continue
        states.get(name)!.slots = []
        touched.add(name)
      }
      for (const [name, selection] of after ?? []) if (!same(before?.get(name), selection)) put(name, selection)
    },
    id: name => states.get(name)!.id,
    changes() {
      const all = new Map<SelectionMap, { gone: string[]; fresh: [string, string][] }>()
      for (const name of touched) {
        const { id, map, slots, kernel } = states.get(name)!
        let of = all.get(map)
        if (!of) all.set(map, (of = { gone: [], fresh: [] }))
        for (let n = 0; n < Math.max(slots.length, kernel.length); n++) {
          if (slots[n] === kernel[n]) continue
          if (kernel[n] !== undefined) of.gone.push(`${id} . ${n}`)
          if (slots[n] !== undefined) of.fresh.push([`${id} . ${n}`, slots[n]!])
        }
      }
      return all
    },
    written() {
      for (const name of touched) {
        const state = states.get(name)!
        state.kernel = state.slots
        if (state.slots.length > 0) continue
        free.push(state.id)
        states.delete(name)
      }
      touched.clear()
    },
    lost() {
      for (const [name, state] of states) {
        state.kernel = []
        touched.add(name)
      }
    },
  }
}

const same = (a: Selection | undefined, b: Selection): boolean =>
  a !== undefined && a.values.length === b.values.length && a.values.every((v, i) => v === b.values[i])

/** `values`, each of them once, in slots without gaps, as many as possible where they were. */
export function arranged(slots: readonly string[], values: readonly string[]): string[] {
  if (slots.length === 0) return [...values]
  const missing = new Set(values)
  const next: (string | undefined)[] = slots.map(v => (missing.delete(v) ? v : undefined))
  for (const value of missing) {
    const gap = next.indexOf(undefined)
    if (gap < 0) next.push(value)
    else next[gap] = value
  }
  for (let gap = next.indexOf(undefined); gap >= 0; gap = next.indexOf(undefined, gap)) {
    const moved = next.pop()
    if (gap < next.length) next[gap] = moved
  }
  return next as string[]
}
