/**
 * The scheduling framework: what a plugin may look at, say and do at each extension point. One plugin a file under plugins/;
 * `plugins/registry.ts` lists them. https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/
 */
import type { LeanPod as Pod, StrippedOf } from '#shared/client/leanpod.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { Logger } from '#shared/component/log.ts'
import type { CycleState } from './cyclestate.ts'
import type { Extender } from './extender.ts'
import type { NodeInfo } from './nodeinfo.ts'
import type { SchedulerMetrics } from './metrics.ts'
import type { Nominator } from './nominator.ts'
import type { TermCount, TermKind } from './podaffinity.ts'
import type { PodInfo } from './podinfo.ts'
import type { PodSet } from './podset.ts'
import type { QueuedPod } from './queue.ts'
import type { WaitingPods } from './waitingpods.ts'

/**
 * What an extension point answers when it is not simply satisfied, which is `undefined`. `Unschedulable`: evicting pods may help,
 * `UnschedulableAndUnresolvable`: it cannot. `Pending`: another actor has to do something first. `Skip` and `Wait` have a meaning only
 * where they are named below; `Error` is a failure of the plugin: the pod is tried again after its back-off.
 */
export interface Status {
  readonly code: 'Error' | 'Unschedulable' | 'UnschedulableAndUnresolvable' | 'Pending' | 'Skip' | 'Wait'
  readonly reasons: readonly string[]
  /** Who said it; the framework sets it. */
  plugin?: string
}
type MaybePromise<T> = T | Promise<T>

export const unschedulable = (...reasons: string[]): Status => ({ code: 'Unschedulable', reasons })
export const unresolvable = (...reasons: string[]): Status => ({ code: 'UnschedulableAndUnresolvable', reasons })
export const failure = (error: unknown): Status => ({ code: 'Error', reasons: [error instanceof Error ? error.message : String(error)] })
export const skip: Status = { code: 'Skip', reasons: [] }
/** Whether the pod was turned down, as opposed to a failure of ours. */
export const isRejected = (status: Status): boolean =>
  status.code === 'Unschedulable' || status.code === 'UnschedulableAndUnresolvable' || status.code === 'Pending'

/** The nodes of one scheduling cycle. */
export interface Snapshot {
  readonly nodes: readonly NodeInfo[]
  get(name: string): NodeInfo | undefined
  /** How many pods of a set each node has. */
  count(set: PodSet): ReadonlyMap<string, number>
  /** The pod affinity terms of all pods that have a node. */
  affinityTerms(kind: TermKind): Iterable<TermCount>
  /** How many pods of a controller (its UID) that are not terminating each node has. */
  siblings(owner: string): ReadonlyMap<string, number> | undefined
}

/** Which changes may make a pod schedulable that the plugin rejected: upstream's ClusterEventWithHint. */
export interface EventToRegister {
  readonly kind: Kind<any> // any: kinds of all sorts in one list; only names are looked at
  /** Bits of `Action` (clusterevent.ts). */
  readonly action: number
  /** Whether this very change may help `pod`; always when absent. `object` is undefined for a deletion, `old` for an addition. */
  readonly hint?: (pod: Pod, old: KubeObject | undefined, object: KubeObject | undefined) => boolean
}

/** For PostFilter: every node that is not in `explicit` was rejected with `absent`. */
export interface NodeStatuses {
  readonly explicit: ReadonlyMap<string, Status>
  readonly absent: Status
}

/** All methods are optional: a plugin is at the extension points whose methods it has. */
export interface Plugin {
  /** Upstream's name of it. */
  readonly name: string
  /** After which changes a pod that this plugin rejected is tried again; after any when absent. */
  readonly events?: readonly EventToRegister[]

  /** PreEnqueue: whether the pod may enter the active queue. Asked again at every change of the pod. */
  preEnqueue?(pod: Pod): Status | undefined
  /**
   * Sign: what of a pod this plugin looks at, as JSON: the same of two pods, it decides alike. Undefined: no other pod is like this one.
   */
  sign?(pod: PodInfo): unknown
  /** QueueSort: whether `a` goes before `b`. Exactly one plugin of a scheduler has it, the same one in all profiles. */
  less?(a: QueuedPod, b: QueuedPod): boolean

  /**
   * PreFilter, once a cycle: what Filter needs to know. Answers with the names of the only nodes that can fit (a set), with `skip` when its
   * Filter need not be asked, or with a rejection of the pod as a whole.
   */
  preFilter?(state: CycleState, pod: PodInfo, snapshot: Snapshot): ReadonlySet<string> | Status | undefined
  /** The PreFilter extensions: what it wrote into `state` as if `added` were on the node, or `removed` no longer. For dry runs. */
  addPod?(state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo): void
  removePod?(state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo): void
  /** Filter, once a node. */
  filter?(state: CycleState, pod: PodInfo, node: NodeInfo): Status | undefined
  /** PostFilter, when no node fits: the first that answers other than Unschedulable ends it. Waited for before the next cycle. */
  postFilter?(state: CycleState, pod: PodInfo, statuses: NodeStatuses): MaybePromise<PostFilterResult>

  /** PreScore, once a cycle with the nodes that fit; `skip` when its Score need not be asked. */
  preScore?(state: CycleState, pod: PodInfo, nodes: readonly NodeInfo[], snapshot: Snapshot): Status | undefined
  /** A raw score of a node that fits. */
  score?(state: CycleState, pod: PodInfo, node: NodeInfo): number
  /** Brings the raw scores of all nodes to 0..100, in place. */
  normalizeScore?(state: CycleState, pod: PodInfo, scores: Float64Array): void

  /** Reserve, after the pod is assumed on the node and before anything waits. */
  reserve?(state: CycleState, pod: PodInfo, node: string): Status | undefined
  /** Undoes reserve, whether that succeeded or not. Must be idempotent. */
  unreserve?(state: CycleState, pod: PodInfo, node: string): void
  /** Permit: `Wait` (for `timeoutMs`, default and at most 15 minutes) holds the binding until handle.waitingPods says go. */
  permit?(state: CycleState, pod: PodInfo, node: string): (Status & { readonly timeoutMs?: number }) | undefined
  /** PreBindPreFlight: `skip` when this plugin's PreBind has nothing to do for the pod. One that is not asked has. */
  preBindPreFlight?(state: CycleState, pod: PodInfo, node: string): Status | undefined
  /** PreBind, one after the other; a rejection or an exception returns the pod to the queue. */
  preBind?(state: CycleState, pod: PodInfo, node: string): Promise<Status | undefined>
  /** Bind: the first that does not answer `skip` has done it. Throws what the API answers. */
  bind?(state: CycleState, pod: PodInfo, node: string): Promise<Status | undefined>
  postBind?(state: CycleState, pod: PodInfo, node: string): void
}

export interface PostFilterResult {
  /** The node on which room is being made; `''` takes back an earlier nomination, undefined leaves it. */
  readonly nominatedNode?: string
  /** Undefined when the pod can be expected to fit soon. */
  readonly status: Status | undefined
}

/** What a plugin is made from. */
export interface Handle {
  readonly client: Client
  readonly events: EventRecorder
  readonly log: Logger
  /**
   * The shared informer of a kind; pods come without what they run. Those asked for while plugins are made have synced before the first
   * cycle.
   */
  informer<T extends KubeObject>(kind: Kind<T>): Informer<StrippedOf<T>>
  /** Of the cycle under way. */
  snapshot(): Snapshot
  readonly nominator: Nominator
  readonly waitingPods: WaitingPods
  readonly extenders: readonly Extender[]
  readonly metrics: SchedulerMetrics
  /** Moves waiting pods to the active queue, by UID. */
  activate(uids: Iterable<string>): void
  /**
   * Filter as the cycle runs it, once without and once with the pods nominated to the node; for dry runs on clones of `state` and `node`.
   */
  filter(state: CycleState, pod: PodInfo, node: NodeInfo): Status | undefined
  /** The PreFilter extensions of all plugins of the cycle. */
  addPod(state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo): void
  removePod(state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo): void
}
export type PluginFactory = (handle: Handle) => Plugin

export const maxNodeScore = 100

/** Scales scores so that the highest is 100; `reverse` makes the lowest the best. As upstream's DefaultNormalizeScore. */
export function normalizeByMax(scores: Float64Array, reverse = false): void {
  let max = 0
  for (const score of scores) if (score > max) max = score
  for (let i = 0; i < scores.length; i++) {
    const scaled = max === 0 ? 0 : Math.floor((maxNodeScore * scores[i]!) / max)
    scores[i] = reverse ? maxNodeScore - scaled : scaled
  }
}
