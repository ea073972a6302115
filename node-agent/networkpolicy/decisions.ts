/**
 * Which pods of this node are isolated, what reaches them and what they reach: policies, pods and namespaces as rules and sets, changed
 * step by step. Nothing here touches the kernel. Only policies that are for a pod of this node, and the sets that their rules name, count.
 *
 * A pod's packets go through the chain of all the policies that are for it: there is one such chain for all pods with the same policies. An
 * AdminNetworkPolicy's verdicts would come before theirs in that chain, a baseline's after them.
 */
import type { NetworkPolicy } from '#shared/api/networking/networkpolicy.ts'
import type { IPFamily } from '#shared/machinery/ip.ts'
import { matchesLabels, type Labels } from '#shared/machinery/labels.ts'
import { counted, type CountedSet } from './countedset.ts'
import { directions, hashed, policyRules, type Direction, type NamedPort, type PodSelection, type PolicyRules } from './rules.ts'

/** What policies look at of a pod that has an address of its own and has not ended. */
export interface PodFacts {
  namespace: string
  labels: Labels
  ip: string
  ports: readonly { name: string; protocol: string; port: number }[]
  /** On this node. */
  local: boolean
}

export interface Decisions {
  /** Sets of addresses (`pods-...`), and of addresses with a port (`port-...`). */
  sets: Map<string, CountedSet>
  /** The policies that are for pods of this node, by `namespace/name`. */
  policies: ReadonlyMap<string, PolicyRules>
  /** For each direction: the address of an isolated pod to the keys of the policies that are for it, sorted. */
  isolated: Record<Direction, ReadonlyMap<string, readonly string[]>>
}

export interface PolicyState {
  /** `undefined` removes it; what is invalid stays what it was, and throws. */
  setPolicy(key: string, policy: NetworkPolicy | undefined): void
  setPod(uid: string, pod: PodFacts | undefined): void
  setNamespace(name: string, labels: Labels | undefined): void
  /** What follows from everything that was set. The same objects each time: sets remember what of them is new. */
  decide(): Decisions
  /** Whether something was set since. */
  isStale(): boolean
}

interface PodRecord {
  facts: PodFacts | undefined
  /** The elements that are there for it. */
  elements: [set: string, element: string][]
}

export function policyState(family: IPFamily = 'IPv4'): PolicyState {
  const policies = new Map<string, PolicyRules>()
  const policiesOf = new Map<string, Set<string>>()
  const pods = new Map<string, PodRecord>()
  const podsOf = new Map<string, Set<string>>()
  const namespaces = new Map<string, Labels>()
  const changedPods = new Set<string>()
  /** Of local pods: UID to the keys of policies, for each direction. */
  const subjects = new Map<string, Partial<Record<Direction, string[]>>>()
  const sets = new Map<string, CountedSet>()
  const selections = new Map<string, PodSelection>()
  const namedPorts = new Map<string, NamedPort>()
  let stale = true
  let decisions: Decisions = { sets, policies: new Map(), isolated: { ingress: new Map(), egress: new Map() } }

  const touch = (uids: Iterable<string>): void => {
    for (const uid of uids) changedPods.add(uid)
    stale = true
  }
  const isSelected = ({ namespace, labels }: PodFacts, selection: PodSelection): boolean =>
    (selection.namespaces ? matchesLabels(selection.namespaces, namespaces.get(namespace)) : selection.namespace === namespace) &&
    (!selection.pods || matchesLabels(selection.pods, labels))

  function elementsOf(facts: PodFacts, from: Iterable<[string, PodSelection]>, named: Iterable<[string, NamedPort]>): [string, string][] {
    const elements: [string, string][] = []
    for (const [set, selection] of from) if (isSelected(facts, selection)) elements.push([set, facts.ip])
    if (facts.ports.length > 0)
      for (const [set, { name, protocol }] of named)
        for (const p of facts.ports) if (p.name === name && p.protocol === protocol) elements.push([set, `${facts.ip} . ${p.port}`])
    return elements
  }

  /** Puts a pod into the sets that it belongs to now. */
  function place(uid: string): void {
    const record = pods.get(uid)
    if (!record) return
    for (const [set, element] of record.elements) sets.get(set)?.remove(element)
    record.elements = record.facts ? elementsOf(record.facts, selections, namedPorts) : []
    for (const [set, element] of record.elements) sets.get(set)!.add(element)
    const { facts } = record
    if (facts?.local) subjects.set(uid, policiesFor(facts))
    else subjects.delete(uid)
    if (!facts) pods.delete(uid)
  }

  function policiesFor(facts: PodFacts): Partial<Record<Direction, string[]>> {
    const found: Partial<Record<Direction, string[]>> = {}
    for (const key of policiesOf.get(facts.namespace) ?? []) {
      const policy = policies.get(key)!
      if (!matchesLabels(policy.subjects, facts.labels)) continue
      for (const direction of directions) if (policy[direction]) (found[direction] ??= []).push(key)
    }
    found.ingress?.sort()
    found.egress?.sort()
    return found
  }

  /** Makes the sets those that the rules name: new ones with all pods that belong into them. */
  function keepSets(active: ReadonlyMap<string, PolicyRules>): void {
    const wanted = new Map<string, PodSelection>()
    const wantedPorts = new Map<string, NamedPort>()
    for (const policy of active.values()) {
      for (const [set, selection] of policy.selections) wanted.set(set, selection)
      for (const [set, port] of policy.namedPorts) wantedPorts.set(set, port)
    }
    const gone = [...sets.keys()].filter(name => !wanted.has(name) && !wantedPorts.has(name))
    if (gone.length > 0) {
      const all = new Set(gone)
      for (const name of gone) (sets.delete(name), selections.delete(name), namedPorts.delete(name))
      for (const record of pods.values()) record.elements = record.elements.filter(([set]) => !all.has(set))
    }
    const freshPods = [...wanted].filter(([name]) => !sets.has(name))
    const freshPorts = [...wantedPorts].filter(([name]) => !sets.has(name))
    if (freshPods.length === 0 && freshPorts.length === 0) return
    for (const [name, selection] of freshPods) (sets.set(name, counted()), selections.set(name, selection))
    for (const [name, port] of freshPorts) (sets.set(name, counted()), namedPorts.set(name, port))
    for (const record of pods.values())
      if (record.facts)
        for (const element of elementsOf(record.facts, freshPods, freshPorts)) {
          sets.get(element[0])!.add(element[1])
          record.elements.push(element)
        }
  }

  return {
    isStale: () => stale,
    setPolicy(key, policy) {
      const former = policies.get(key)
      if (policy) policies.set(key, policyRules(policy, family))
      else policies.delete(key)
      const namespace = policy?.metadata.namespace ?? former?.namespace ?? ''
      const others = policiesOf.get(namespace) ?? new Set()
      if (policy) others.add(key)
      else others.delete(key)
      if (others.size > 0) policiesOf.set(namespace, others)
      else policiesOf.delete(namespace)
      touch([...(podsOf.get(namespace) ?? [])].filter(uid => pods.get(uid)?.facts?.local))
    },
    setPod(uid, facts) {
      const record = pods.get(uid) ?? { facts: undefined, elements: [] }
      const former = record.facts
      // Pods change all the time, but seldom in what counts here.
      if (JSON.stringify(former) === JSON.stringify(facts)) return
      if (former && former.namespace !== facts?.namespace) podsOf.get(former.namespace)?.delete(uid)
      if (former && podsOf.get(former.namespace)?.size === 0) podsOf.delete(former.namespace)
      record.facts = facts
      if (facts) {
        pods.set(uid, record)
        podsOf.set(facts.namespace, (podsOf.get(facts.namespace) ?? new Set()).add(uid))
      }
      touch([uid])
    },
    setNamespace(name, labels) {
      if (labels) namespaces.set(name, labels)
      else namespaces.delete(name)
      touch(podsOf.get(name) ?? [])
    },
    decide() {
      if (!stale) return decisions
      stale = false
      for (const uid of changedPods) place(uid)
      changedPods.clear()
      const isolated = { ingress: new Map<string, string[]>(), egress: new Map<string, string[]>() }
      const active = new Map<string, PolicyRules>()
      for (const [uid, found] of subjects)
        for (const direction of directions) {
          const keys = found[direction]
          if (!keys) continue
          isolated[direction].set(pods.get(uid)!.facts!.ip, keys)
          for (const key of keys) active.set(key, policies.get(key)!)
        }
      keepSets(active)
      return (decisions = { sets, policies: active, isolated })
    },
  }
}

/** One name for all pods with the same policies. */
export const groupOf = (keys: readonly string[]): string => hashed(keys.join(' '))
