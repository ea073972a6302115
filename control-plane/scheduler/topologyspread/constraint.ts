/** The topology spread constraints of a pod, as the scheduler works with them. */
import type { Node } from '#shared/api/core/node.ts'
import type { TopologySpreadConstraint } from '#shared/api/core/podspec/scheduling.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { matchesLabels, selectorOf } from '#shared/machinery/labels.ts'
import { matchesNode } from '#shared/scheduling/nodeaffinity.ts'
import { tolerates } from '#shared/scheduling/taints.ts'
import type { Snapshot } from '../framework.ts'
import { podSet, type PodSet } from '../podset.ts'

export interface Constraint {
  readonly topologyKey: string
  readonly maxSkew: number
  readonly minDomains: number
  /** Undefined when its selector selects nothing. */
  readonly set: PodSet | undefined
  /** Whether the pod is one of those that it counts. */
  readonly countsItself: boolean
  /** Whether pods on the node count at all. */
  includes(node: Node): boolean
}

const constraints = ({ spec }: Pod, when: string): TopologySpreadConstraint[] =>
  (spec.topologySpreadConstraints ?? []).filter(c => c.whenUnsatisfiable === when)

function toleratesAll(pod: Pod, node: Node): boolean {
  const taints = node.spec?.taints?.filter(t => t.effect === 'NoSchedule' || t.effect === 'NoExecute') ?? []
  return taints.every(t => tolerates(pod.spec.tolerations, t))
}

function constraintOf(pod: Pod, c: TopologySpreadConstraint): Constraint {
  const selector = selectorOf(c.labelSelector)
  const { namespace = '', labels } = pod.metadata
  const asksForNodes = pod.spec.nodeSelector !== undefined || pod.spec.affinity?.nodeAffinity !== undefined
  const affinity = asksForNodes && (c.nodeAffinityPolicy ?? 'Honor') === 'Honor'
  const taints = c.nodeTaintsPolicy === 'Honor'
  return {
    topologyKey: c.topologyKey,
    maxSkew: c.maxSkew,
    minDomains: c.minDomains ?? 1,
    set: selector && podSet([{ namespaces: [namespace], selector }], true),
    countsItself: selector !== undefined && matchesLabels(selector, labels),
    includes: node => (!affinity || matchesNode(pod, node)) && (!taints || toleratesAll(pod, node)),
  }
}

/** Those that forbid nodes. */
export const hardConstraints = (pod: Pod): Constraint[] => constraints(pod, 'DoNotSchedule').map(c => constraintOf(pod, c))
/** Those that only prefer some. */
export const softConstraints = (pod: Pod): Constraint[] => constraints(pod, 'ScheduleAnyway').map(c => constraintOf(pod, c))

/** Nodes without one of the labels take no part. */
export const hasAllKeys = ({ metadata: { labels } }: Node, constraints: readonly Pick<Constraint, 'topologyKey'>[]): boolean =>
  constraints.every(c => labels?.[c.topologyKey] !== undefined)

const none: ReadonlyMap<string, number> = new Map()
/** How many pods each node has of those that the constraint counts. */
export const countsOf = ({ set }: Constraint, snapshot: Snapshot): ReadonlyMap<string, number> => (set ? snapshot.count(set) : none)
