/** The pod affinity terms of pods, and which of them the pods on every node have: few terms stand for many pods. */
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import type { PodAffinityTerm, WeightedPodAffinityTerm } from '#shared/api/core/podspec/affinity.ts'
import { formatSelector, matchesLabels, selectorOf, type Labels, type Selector } from '#shared/machinery/labels.ts'
import type { PodInfo } from './podinfo.ts'

export interface AffinityTerm {
  /** The same for the same term. */
  readonly key: string
  readonly topologyKey: string
  readonly selector: Selector
  /** Namespaces by name, and by their labels; an empty selector means all. */
  readonly namespaces: readonly string[]
  readonly namespaceSelector: Selector | undefined
  /** 0 for a required term. */
  readonly weight: number
}
export interface PodAffinity {
  readonly required: readonly AffinityTerm[]
  readonly requiredAnti: readonly AffinityTerm[]
  readonly preferred: readonly AffinityTerm[]
  readonly preferredAnti: readonly AffinityTerm[]
}
export const termKinds = ['required', 'requiredAnti', 'preferred', 'preferredAnti'] as const
export type TermKind = (typeof termKinds)[number]

/** Of a term without a selector: no pod is what it asks for. */
const nothing: Selector = [{ key: '', operator: 'in', values: [] }]

function termOf(term: PodAffinityTerm, namespace: string, weight: number): AffinityTerm {
  const selector = selectorOf(term.labelSelector) ?? nothing
  const namespaceSelector = selectorOf(term.namespaceSelector)
  const named = [...(term.namespaces ?? [])].sort()
  const namespaces = named.length === 0 && !namespaceSelector ? [namespace] : named
  const key = [weight, term.topologyKey, namespaces.join(','), namespaceSelector ? formatSelector(namespaceSelector) : '-', formatSelector(selector)].join(' ') // prettier-ignore
  return { key, topologyKey: term.topologyKey, selector, namespaces, namespaceSelector, weight }
}

/** Undefined for the many pods that ask for nothing. */
export function podAffinityOf({ spec, metadata: { namespace = '' } }: Pod): PodAffinity | undefined {
  const { podAffinity, podAntiAffinity } = spec.affinity ?? {}
  if (!podAffinity && !podAntiAffinity) return undefined
  const hard = (terms: readonly PodAffinityTerm[] = []) => terms.map(t => termOf(t, namespace, 0))
  const soft = (terms: readonly WeightedPodAffinityTerm[] = []) => terms.map(t => termOf(t.podAffinityTerm, namespace, t.weight))
  return {
    required: hard(podAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    requiredAnti: hard(podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    preferred: soft(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution),
    preferredAnti: soft(podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution),
  }
}

/** Labels of a namespace; undefined when it is not known. */
export type NamespaceLabels = (namespace: string) => Labels | undefined

/** Whether the term is about this pod. */
export function termMatches(
  term: AffinityTerm,
  { metadata: { namespace = '', labels } }: Pick<Pod, 'metadata'>,
  labelsOf: NamespaceLabels,
): boolean {
  const { namespaces, namespaceSelector, selector } = term
  const inNamespace =
    namespaces.includes(namespace) || (namespaceSelector !== undefined && matchesLabels(namespaceSelector, labelsOf(namespace)))
  return inNamespace && matchesLabels(selector, labels)
}

export interface TermCount {
  readonly term: AffinityTerm
  /** How many pods of each node have the term. */
  readonly nodes: ReadonlyMap<string, number>
}

export class AffinityTerms {
  readonly #terms: Readonly<Record<TermKind, Map<string, { term: AffinityTerm; nodes: Map<string, number> }>>> = {
    required: new Map(),
    requiredAnti: new Map(),
    preferred: new Map(),
    preferredAnti: new Map(),
  }

  of(kind: TermKind): Iterable<TermCount> {
    return this.#terms[kind].values()
  }

  add(pod: PodInfo, node: string): void {
    this.#change(pod, node, 1)
  }
  remove(pod: PodInfo, node: string): void {
    this.#change(pod, node, -1)
  }

  #change({ affinity }: PodInfo, node: string, by: number): void {
    if (!affinity) return
    for (const kind of termKinds)
      for (const term of affinity[kind]) {
        const terms = this.#terms[kind]
        let entry = terms.get(term.key)
        if (!entry) terms.set(term.key, (entry = { term, nodes: new Map() }))
        const n = (entry.nodes.get(node) ?? 0) + by
        if (n > 0) entry.nodes.set(node, n)
        else entry.nodes.delete(node)
        if (entry.nodes.size === 0) terms.delete(term.key)
      }
  }
}
