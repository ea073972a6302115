/**
 * Sets of pods that a selector describes, and how many pods of each set every node has: counting them in each cycle is most of its time.
 */
import { formatSelector, matchesLabels, type Labels, type Selector } from '#shared/machinery/labels.ts'
import type { NodeInfo } from './nodeinfo.ts'
import type { PodInfo } from './podinfo.ts'

/** Pods of these namespaces, all when undefined, that the selector selects. */
export interface PodSelection {
  readonly namespaces: readonly string[] | undefined
  readonly selector: Selector
}
export interface PodSet {
  /** The same for the same set. */
  readonly key: string
  /** A pod has to be in all of them; at least one. */
  readonly selections: readonly PodSelection[]
  /** Pods that are going do not count. */
  readonly living: boolean
}

export const selects = ({ namespaces, selector }: PodSelection, namespace: string, labels: Labels | undefined): boolean =>
  (!namespaces || namespaces.includes(namespace)) && matchesLabels(selector, labels)

export function podSet(selections: readonly PodSelection[], living: boolean): PodSet {
  const texts = selections.map(({ namespaces, selector }) => `${namespaces?.join(',') ?? '*'} ${formatSelector(selector)}`)
  return { key: `${living ? 'living' : 'all'} ${texts.join(' & ')}`, selections, living }
}

export const isIn = (set: PodSet, { pod: { metadata }, terminating }: PodInfo): boolean =>
  !(set.living && terminating) && set.selections.every(s => selects(s, metadata.namespace ?? '', metadata.labels))

interface Entry {
  readonly set: PodSet
  readonly counts: Map<string, number>
  readonly places: readonly string[]
}

/** With more sets than this those go that were not asked for longest. */
const maxSets = 5_000

/** A label that every pod of the set has, `key=value`; `''` when the selector names none. */
function anchorOf({ selector }: PodSelection): string {
  const one = selector.find(r => (r.operator === '=' || r.operator === '==' || r.operator === 'in') && r.values.length === 1)
  return one ? `${one.key}=${one.values[0]}` : ''
}
const placeOf = (namespace: string, anchor: string): string => `${namespace} ${anchor}`

export class PodCounts {
  /** By key; the one asked last is the last. */
  readonly #entries = new Map<string, Entry>()
  /** Those that a pod with a namespace and label can be in. */
  readonly #places = new Map<string, Set<Entry>>()

  /** By name of node, only of nodes that have some. `nodes` are all that there are, for a set that was not asked for before. */
  of(set: PodSet, nodes: Iterable<NodeInfo>): ReadonlyMap<string, number> {
    const known = this.#entries.get(set.key)
    if (known) {
      this.#entries.delete(set.key)
      this.#entries.set(set.key, known)
      return known.counts
    }
    const counts = new Map<string, number>()
    for (const node of nodes) {
      let n = 0
      for (const pod of node.pods.values()) if (isIn(set, pod)) n++
      if (n > 0) counts.set(node.name, n)
    }
    const [first] = set.selections
    const anchor = anchorOf(first!)
    const entry = { set, counts, places: (first!.namespaces ?? ['']).map(namespace => placeOf(namespace, anchor)) }
    this.#entries.set(set.key, entry)
    for (const place of entry.places) this.#places.set(place, (this.#places.get(place) ?? new Set()).add(entry))
    if (this.#entries.size > maxSets) this.#forget(this.#entries.values().next().value!)
    return counts
  }

  add(pod: PodInfo, node: string): void {
    this.#change(pod, node, 1)
  }
  remove(pod: PodInfo, node: string): void {
    this.#change(pod, node, -1)
  }

  #change(pod: PodInfo, node: string, by: number): void {
    if (this.#entries.size === 0) return
    const { namespace = '', labels = {} } = pod.pod.metadata
    const anchors = ['', ...Object.entries(labels).map(([key, value]) => `${key}=${value}`)]
    for (const own of [namespace, ''])
      for (const anchor of anchors)
        for (const { set, counts } of this.#places.get(placeOf(own, anchor)) ?? []) {
          if (!isIn(set, pod)) continue
          const n = (counts.get(node) ?? 0) + by
          if (n > 0) counts.set(node, n)
          else counts.delete(node)
        }
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry.set.key)
    for (const place of entry.places) {
      const there = this.#places.get(place)
      there?.delete(entry)
      if (there?.size === 0) this.#places.delete(place)
    }
  }
}
