/** CycleState: what the plugins know of one scheduling cycle, by key; a dry run works on a clone. */
import type { Plugin } from './framework.ts'

/** Names an entry and says its type. */
export interface StateKey<T> {
  readonly name: string
  /** Carries T; never set. */
  readonly type?: T
}
export const stateKey = <T>(name: string): StateKey<T> => ({ name })

/** An entry that AddPod and RemovePod change has a clone method; others are shared between clones. */
interface Clonable {
  clone(): unknown
}
const isClonable = (value: unknown): value is Clonable => typeof (value as Partial<Clonable> | undefined)?.clone === 'function'

export class CycleState {
  readonly #entries = new Map<StateKey<unknown>, unknown>()
  /** Plugins whose Filter is asked in this cycle: all but those that PreFilter skipped. */
  filters: readonly Plugin[] = []

  get<T>(key: StateKey<T>): T | undefined {
    return this.#entries.get(key) as T | undefined
  }
  set<T>(key: StateKey<T>, value: T): void {
    this.#entries.set(key, value)
  }
  clone(): CycleState {
    const copy = new CycleState()
    copy.filters = this.filters
    for (const [key, value] of this.#entries) copy.#entries.set(key, isClonable(value) ? value.clone() : value)
    return copy
  }
}
