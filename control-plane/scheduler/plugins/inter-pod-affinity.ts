/**
 * Affinity and anti-affinity between pods: a pod goes where its terms and those of the pods that are there allow it, and rather where they
 * prefer it. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity
 */
import { namespaces, nodes, pods } from '#shared/api/kinds.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { matchesLabels } from '#shared/machinery/labels.ts'
import { Action } from '../clusterevent.ts'
import type { InterPodAffinityArgs } from '../config/pluginargs.ts'
import { stateKey } from '../cyclestate.ts'
import { maxNodeScore, skip, unresolvable, unschedulable, type PluginFactory, type Snapshot } from '../framework.ts'
import type { NodeInfo } from '../nodeinfo.ts'
import { podAffinityOf, termMatches, type AffinityTerm, type NamespaceLabels } from '../podaffinity.ts'
import type { PodInfo } from '../podinfo.ts'
import { podSet, type PodSelection } from '../podset.ts'

const notNear = unresolvable("node(s) didn't match pod affinity rules")
const near = unschedulable("node(s) didn't match pod anti-affinity rules")
const unwanted = unschedulable("node(s) didn't satisfy existing pods anti-affinity rules")

/** Numbers by topology key and domain. */
class Domains {
  readonly keys: Map<string, Map<string, number>>

  constructor(keys = new Map<string, Map<string, number>>()) {
    this.keys = keys
  }
  clone(): Domains {
    return new Domains(new Map([...this.keys].map(([key, domains]) => [key, new Map(domains)])))
  }
  get empty(): boolean {
    return this.keys.size === 0
  }
  add({ node }: NodeInfo, key: string, by: number): void {
    const domain = node.metadata.labels?.[key]
    if (domain === undefined) return
    let domains = this.keys.get(key)
    if (!domains) this.keys.set(key, (domains = new Map()))
    const n = (domains.get(domain) ?? 0) + by
    if (n !== 0) domains.set(domain, n)
    else if (domains.delete(domain) && domains.size === 0) this.keys.delete(key)
  }
  addAll(counts: ReadonlyMap<string, number>, snapshot: Snapshot, key: string, weight: number): void {
    for (const [name, count] of counts) {
      const node = snapshot.get(name)
      if (node) this.add(node, key, count * weight)
    }
  }
  at({ node }: NodeInfo, key: string): number {
    const domain = node.metadata.labels?.[key]
    return domain === undefined ? 0 : (this.keys.get(key)?.get(domain) ?? 0)
  }
}

/** What Filter needs to know, by which pods are where. */
class Required {
  /** Pods that all required terms of the pod are about. */
  readonly affinity: Domains
  /** Pods that a required anti-affinity term of the pod is about. */
  readonly anti: Domains
  /** Pods with a required anti-affinity term that is about the pod. */
  readonly existing: Domains

  constructor(affinity = new Domains(), anti = new Domains(), existing = new Domains()) {
    this.affinity = affinity
    this.anti = anti
    this.existing = existing
  }
  clone(): Required {
    return new Required(this.affinity.clone(), this.anti.clone(), this.existing.clone())
  }
}
const required = stateKey<Required>('PreFilterInterPodAffinity')
const preferred = stateKey<Domains>('PreScoreInterPodAffinity')

export const interPodAffinity =
  (args: InterPodAffinityArgs): PluginFactory =>
  ({ informer, snapshot }) => {
    /** What a required term of a pod that is there counts in the score. */
    const { hardPodAffinityWeight = 1, ignorePreferredTermsOfExistingPods: ignorePreferred = false } = args
    const known = informer(namespaces)
    const labelsOf: NamespaceLabels = name => known.get('', name)?.metadata.labels
    const selectionOf = ({ selector, namespaces, namespaceSelector }: AffinityTerm): PodSelection => {
      if (!namespaceSelector) return { namespaces, selector }
      if (namespaceSelector.length === 0) return { namespaces: undefined, selector }
      const selected = known.list().flatMap(n => (matchesLabels(namespaceSelector, n.metadata.labels) ? [n.metadata.name ?? ''] : []))
      return { namespaces: [...new Set([...namespaces, ...selected])].sort(), selector }
    }
    const matchesAll = (terms: readonly AffinityTerm[], pod: Pod): boolean => terms.every(t => termMatches(t, pod, labelsOf))

    const change = (
      state: Parameters<NonNullable<ReturnType<PluginFactory>['addPod']>>[0],
      pod: PodInfo,
      other: PodInfo,
      node: NodeInfo,
      by: 1 | -1,
    ): void => {
      const counts = state.get(required)
      if (!counts) return
      const { required: terms = [], requiredAnti = [] } = pod.affinity ?? {}
      if (terms.length > 0 && matchesAll(terms, other.pod)) for (const t of terms) counts.affinity.add(node, t.topologyKey, by)
      for (const t of requiredAnti) if (termMatches(t, other.pod, labelsOf)) counts.anti.add(node, t.topologyKey, by)
      for (const t of other.affinity?.requiredAnti ?? [])
        if (termMatches(t, pod.pod, labelsOf)) counts.existing.add(node, t.topologyKey, by)
    }

    /** Upstream forgets of others' terms that they end with their pods; whom they keep out would wait for minutes. */
    function podHelps(pod: Pod, before: Pod | undefined, now: Pod | undefined): boolean {
      if (before && now?.metadata.uid === pod.metadata.uid) return true
      const { required: terms = [], requiredAnti = [] } = podAffinityOf(pod) ?? {}
      const isNear = (other: Pod | undefined): boolean => other !== undefined && terms.length > 0 && matchesAll(terms, other)
      if (isNear(now) && !isNear(before)) return true
      if (!before) return false
      if (requiredAnti.some(t => termMatches(t, before, labelsOf) && !(now && termMatches(t, now, labelsOf)))) return true
      return !now && (podAffinityOf(before)?.requiredAnti ?? []).some(t => termMatches(t, pod, labelsOf))
    }
    /** Whether the node joins a domain that may do, or leaves one that may not. */
    function nodeHelps(pod: Pod, before: Node | undefined, now: Node): boolean {
      const { required: terms = [], requiredAnti = [] } = podAffinityOf(pod) ?? {}
      const [had, has] = [before?.metadata.labels ?? {}, now.metadata.labels ?? {}]
      if (terms.some(({ topologyKey: k }) => has[k] !== undefined && has[k] !== had[k])) return true
      if (!before) return terms.length === 0 || requiredAnti.length > 0
      const leaves = ({ topologyKey: k }: AffinityTerm): boolean => had[k] !== undefined && has[k] !== had[k]
      if (requiredAnti.some(leaves)) return true
      for (const { term } of snapshot().affinityTerms('requiredAnti')) if (leaves(term) && termMatches(term, pod, labelsOf)) return true
      return false
    }

    return {
      name: 'InterPodAffinity',
      // Where others are counts for a pod with terms of its own; for one without them only what others have against it, or for it.
      sign: ({ pod, affinity }) => (affinity ? undefined : [pod.metadata.namespace, pod.metadata.labels]),
      events: [
        {
          kind: pods,
          action: Action.Add | Action.UpdatePodLabel | Action.Delete,
          hint: (pod, old, now) => podHelps(pod, old as Pod | undefined, now as Pod | undefined),
        },
        {
          kind: nodes,
          action: Action.Add | Action.UpdateNodeLabel,
          hint: (pod, old, now) => nodeHelps(pod, old as Node | undefined, now as Node),
        },
      ],
      preFilter(state, { pod, affinity }, snapshot) {
        const counts = new Required()
        for (const { term, nodes } of snapshot.affinityTerms('requiredAnti'))
          if (termMatches(term, pod, labelsOf)) counts.existing.addAll(nodes, snapshot, term.topologyKey, 1)
        const { required: terms = [], requiredAnti = [] } = affinity ?? {}
        if (counts.existing.empty && terms.length === 0 && requiredAnti.length === 0) return skip
        if (terms.length > 0) {
          const there = snapshot.count(podSet(terms.map(selectionOf), false))
          for (const t of terms) counts.affinity.addAll(there, snapshot, t.topologyKey, 1)
        }
        for (const t of requiredAnti) counts.anti.addAll(snapshot.count(podSet([selectionOf(t)], false)), snapshot, t.topologyKey, 1)
        state.set(required, counts)
        return undefined
      },
      addPod: (state, pod, added, node) => change(state, pod, added, node, 1),
      removePod: (state, pod, removed, node) => change(state, pod, removed, node, -1),
      filter(state, { pod, affinity }, node) {
        const counts = state.get(required)
        if (!counts) return undefined
        const { required: terms = [], requiredAnti = [] } = affinity ?? {}
        const labels = node.node.metadata.labels ?? {}
        if (terms.some(t => labels[t.topologyKey] === undefined)) return notNear
        // The first of pods that want to be together goes anywhere.
        if (!terms.every(t => counts.affinity.at(node, t.topologyKey) > 0) && !(counts.affinity.empty && matchesAll(terms, pod)))
          return notNear
        if (requiredAnti.some(t => counts.anti.at(node, t.topologyKey) > 0)) return near
        for (const key of counts.existing.keys.keys()) if (counts.existing.at(node, key) > 0) return unwanted
        return undefined
      },
      preScore(state, { pod, affinity }, _, snapshot) {
        if (ignorePreferred && !affinity?.preferred.length && !affinity?.preferredAnti.length) return skip
        const scores = new Domains()
        for (const [terms, sign] of [
          [affinity?.preferred, 1],
          [affinity?.preferredAnti, -1],
        ] as const)
          // prettier-ignore
          for (const t of terms ?? [])
          scores.addAll(snapshot.count(podSet([selectionOf(t)], false)), snapshot, t.topologyKey, sign * t.weight)
        for (const [kind, sign] of [
          ['required', hardPodAffinityWeight],
          ['preferred', 1],
          ['preferredAnti', -1],
        ] as const)
          // prettier-ignore
          for (const { term, nodes } of snapshot.affinityTerms(kind))
          if (termMatches(term, pod, labelsOf)) scores.addAll(nodes, snapshot, term.topologyKey, sign * (term.weight || 1))
        if (scores.empty) return skip
        state.set(preferred, scores)
        return undefined
      },
      score(state, _, node) {
        const scores = state.get(preferred)!
        let sum = 0
        for (const key of scores.keys.keys()) sum += scores.at(node, key)
        return sum
      },
      normalizeScore(_, __, scores) {
        let [min, max] = [Infinity, -Infinity]
        for (const s of scores) {
          if (s < min) min = s
          if (s > max) max = s
        }
        for (let i = 0; i < scores.length; i++) scores[i] = max > min ? Math.trunc(maxNodeScore * ((scores[i]! - min) / (max - min))) : 0
      },
    }
  }
