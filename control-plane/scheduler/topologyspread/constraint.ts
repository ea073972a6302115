/** The topology spread constraints of a pod, as the scheduler works with them. */
import type { Node } from '#shared/api/core/node.ts'
import type { TopologySpreadConstraint } from '#shared/api/core/podspec/scheduling.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { matchesLabels, selectorOf } from '#shared/machinery/labels.ts'
import { matchesNode } from '#shared/scheduling/nodeaffinity.ts'
import { tolerates } from '#shared/scheduling/taints.ts'
import type { Snapshot } from '../framework.ts'
import { ownerOf, type PodInfo } from '../podinfo.ts'
import { isIn, podSet, selects } from '../podset.ts'

export interface Constraint {
  readonly topologyKey: string
  readonly maxSkew: number
  readonly minDomains: number
  /** Whether it is about the pod, going or not. */
  selects(pod: Pod): boolean
  /** Whether it counts the pod. */
  counts(pod: PodInfo): boolean
  /** How many of them each node has. */
  on(snapshot: Snapshot): ReadonlyMap<string, number>
  /** Whether the pod is one of those that it counts. */
  readonly countsItself: boolean
  /** Whether nodes with taints that the pod does not tolerate take no part. */
  readonly honorsTaints: boolean
  /** Whether pods on the node count at all. */
  includes(node: Node): boolean
}

const none: ReadonlyMap<string, number> = new Map()

const constraints = ({ spec }: Pod, when: string): TopologySpreadConstraint[] =>
  (spec.topologySpreadConstraints ?? []).filter(c => c.whenUnsatisfiable === when)

function toleratesAll(pod: Pod, node: Node): boolean {
  const taints = node.spec?.taints?.filter(t => t.effect === 'NoSchedule' || t.effect === 'NoExecute') ?? []
  return taints.every(t => tolerates(pod.spec.tolerations, t))
}

type Counted = Pick<Constraint, 'selects' | 'counts' | 'on' | 'countsItself'>

/** Those that the constraint's own selector selects. An empty one selects the pod itself, but counts no other: upstream's countPodsMatchSelector. */
function bySelector({ metadata: { namespace = '', labels } }: Pod, c: TopologySpreadConstraint): Counted {
  const selector = selectorOf(c.labelSelector)
  const selection = selector && { namespaces: [namespace], selector }
  const set = selection && selector.length > 0 ? podSet([selection], true) : undefined
  return {
    selects: ({ metadata }) => selection !== undefined && selects(selection, metadata.namespace ?? '', metadata.labels),
    counts: pod => set !== undefined && isIn(set, pod),
    on: snapshot => (set ? snapshot.count(set) : none),
    countsItself: selector !== undefined && matchesLabels(selector, labels),
  }
}
/** Those of one controller: upstream finds them through Services and controllers, which is the same pods for almost every pod. */
const byOwner = (owner: string): Counted => ({
  selects: pod => ownerOf(pod) === owner,
  counts: pod => pod.owner === owner && !pod.terminating,
  on: snapshot => snapshot.siblings(owner) ?? none,
  countsItself: true,
})

function constraintOf(pod: Pod, c: TopologySpreadConstraint, counted: Counted): Constraint {
  const asksForNodes = pod.spec.nodeSelector !== undefined || pod.spec.affinity?.nodeAffinity !== undefined
  const affinity = asksForNodes && (c.nodeAffinityPolicy ?? 'Honor') === 'Honor'
  const taints = c.nodeTaintsPolicy === 'Honor'
  return {
    topologyKey: c.topologyKey,
    maxSkew: c.maxSkew,
    minDomains: c.minDomains ?? 1,
    ...counted,
    honorsTaints: taints,
    includes: node => (!affinity || matchesNode(pod, node)) && (!taints || toleratesAll(pod, node)),
  }
}

type When = 'DoNotSchedule' | 'ScheduleAnyway'
/** The pod's own: those that forbid nodes, or those that only prefer some. */
export const constraintsOf = (pod: Pod, when: When): Constraint[] =>
  constraints(pod, when).map(c => constraintOf(pod, c, bySelector(pod, c)))
/** Those of a configuration, for a pod that has none of its own; none for a pod without a controller. */
export const defaultConstraintsOf = (
  { pod, owner }: Pick<PodInfo, 'pod' | 'owner'>,
  defaults: readonly TopologySpreadConstraint[],
  when: When,
): Constraint[] =>
  owner === undefined ? [] : defaults.filter(c => c.whenUnsatisfiable === when).map(c => constraintOf(pod, c, byOwner(owner)))

/** Nodes without one of the labels take no part. */
export const hasAllKeys = ({ metadata: { labels } }: Node, constraints: readonly Pick<Constraint, 'topologyKey'>[]): boolean =>
  constraints.every(c => labels?.[c.topologyKey] !== undefined)
