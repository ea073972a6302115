/** What the cluster looks like at a point of the history. */
import { keyOf, type Fact, type HistoryEvent } from './history.ts'

export class World {
  readonly #kinds = new Map<string, Map<string, Fact>>()
  #byUid = new Map<string, Fact>()
  readonly #open = new Set<number>()
  #at = 0
  /** ms in which nothing was broken or recovering: only these count against a component that is late. */
  calmMs = 0

  of(kind: string): ReadonlyMap<string, Fact> {
    return this.#map(kind)
  }
  /** Pods by UID. */
  pods(): ReadonlyMap<string, Fact> {
    return this.#byUid
  }
  get calm(): boolean {
    return this.#open.size === 0
  }

  /** Moves on by one event. */
  apply(event: HistoryEvent): void {
    if (this.calm) this.calmMs += Math.max(0, event.at - this.#at)
    this.#at = Math.max(this.#at, event.at)
    if (event.type === 'change') {
      const { fact } = event
      const map = this.#map(fact.kind)
      const was = map.get(keyOf(fact))
      if (fact.kind === 'pods' && was) this.#byUid.delete(was.uid)
      if (event.change === 'deleted') map.delete(keyOf(fact))
      else {
        map.set(keyOf(fact), fact)
        if (fact.kind === 'pods') this.#byUid.set(fact.uid, fact)
      }
    } else if (event.type === 'list') {
      this.#kinds.set(event.kind, new Map(event.facts.map(f => [keyOf(f), f])))
      if (event.kind === 'pods') this.#byUid = new Map(event.facts.map(f => [f.uid, f]))
    } else if (event.type === 'action') this.#open.add(event.id)
    else if (event.type === 'recovered') this.#open.delete(event.id)
  }

  #map(kind: string): Map<string, Fact> {
    let map = this.#kinds.get(kind)
    if (!map) this.#kinds.set(kind, (map = new Map()))
    return map
  }
}

/** Objects that changed with an event: new facts with what was known before (undefined: nothing), and objects that are gone. */
export interface Delta {
  was: Fact | undefined
  is: Fact | undefined
}

/** What an event changes, against the world before it. */
export function deltas(world: World, event: HistoryEvent): Delta[] {
  if (event.type === 'change') {
    const was = world.of(event.fact.kind).get(keyOf(event.fact))
    return [{ was, is: event.change === 'deleted' ? undefined : event.fact }]
  }
  if (event.type !== 'list') return []
  const now = new Map(event.facts.map(f => [keyOf(f), f]))
  const before = world.of(event.kind)
  const gone = [...before].filter(([key]) => !now.has(key)).map(([, was]): Delta => ({ was, is: undefined }))
  return [...gone, ...[...now].map(([key, is]): Delta => ({ was: before.get(key), is }))]
}

/** The UID of the pod that has a container of this id; empty when nobody knows. */
export function ownerOf(world: World, id: string): string {
  for (const pod of world.of('pods').values()) if (pod.pod?.containers.some(c => c.id === id || c.last?.id === id)) return pod.uid
  return ''
}
