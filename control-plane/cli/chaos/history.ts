/**
 * What is remembered of a cluster under chaos: everything seen and done, in order of arrival. Times (`at`, `began`) are ms since the start.
 */

export interface ContainerFact {
  name: string
  /** Without its scheme; empty before the first start. */
  id: string
  restarts: number
  state: 'waiting' | 'running' | 'terminated'
  /** Of a waiting container, e.g. CrashLoopBackOff. */
  waiting?: string
  ready: boolean
  /** How the life before this one ended. */
  last?: { reason: string; exitCode: number; id: string }
}
export interface PodFact {
  node: string
  phase: string
  terminating: boolean
  ready: boolean
  /** Its controller's. */
  owner?: { kind: string; name: string; uid: string }
  labels: Record<string, string>
  containers: ContainerFact[]
  /** Why it is being disrupted: the reason of its DisruptionTarget condition. */
  disruption?: string
}
export interface WorkloadFact {
  observedGeneration: number
  desired: number
  /** Pods there are, pods of the current template, ready pods. */
  current: number
  updated: number
  ready: number
}
export interface JobFact {
  /** Undefined where any pod's success is enough. */
  completions?: number
  succeeded: number
  complete: boolean
  /** UID of the CronJob that made it. */
  cronJob?: string
}
export interface SliceFact {
  service: string
  endpoints: { uid: string; ready: boolean; terminating: boolean }[]
}

/** The part of an object that the judge looks at. */
export interface Fact {
  /** Plural name of the kind. */
  kind: string
  namespace: string
  name: string
  uid: string
  version: number
  generation: number
  pod?: PodFact
  /** Ready says its condition. */
  node?: { ready: boolean }
  workload?: WorkloadFact
  job?: JobFact
  /** Whether it runs every minute, whatever else runs. */
  cronJob?: { everyMinute: boolean }
  slice?: SliceFact
  /** Absent selector: somebody else fills its endpoints. */
  service?: { selector?: Record<string, string>; publishNotReady: boolean }
  /** Of a config map that chaos itself writes: the mark of the last write. */
  mark?: string
  /** Of an event that tells of one: `<pod UID>/<container>` whose liveness or startup probe failed. */
  probeFailure?: string
}

export type ActionKind =
  'node' | 'agent' | 'apiserver' | 'nats' | 'controller-manager' | 'scheduler' | 'cloud-controller-manager' | 'pod' | 'link'

/** A process of a container: `id` is the container's. */
export interface ContainerProcess {
  node: string
  uid: string
  id: string
  pid: number
}

export type HistoryEvent = { at: number } & (
  | { type: 'change'; change: 'added' | 'modified' | 'deleted'; fact: Fact }
  /** Everything there is of a kind: at the start, after a watch expired, and at the end, when the watch has to have told all of it. */
  | { type: 'list'; kind: string; version: number; facts: Fact[]; why: 'start' | 'expired' | 'end' }
  /**
   * One client writes an object, one write after the other. No mark: a deletion. `version` is known of acknowledged writes that are no
   * deletions.
   */
  | { type: 'write'; object: string; mark?: string; outcome: 'acknowledged' | 'refused' | 'unknown'; version?: number; began: number }
  /** The newest state that the API told; no version: there is no such object. */
  | { type: 'read'; object: string; mark?: string; version?: number; began: number }
  /** Something is killed or cut off now (`container` is an id); what it does to others shows until `recovered`. */
  | { type: 'action'; id: number; action: ActionKind; target: string; node?: string; container?: string }
  | { type: 'recovered'; id: number; missing: string[] }
  | { type: 'processes'; processes: ContainerProcess[] }
  /** Everything listed so far was there before the first action. */
  | { type: 'start' }
  /** Nothing is broken any more, and the cluster had its time to become whole. */
  | { type: 'end' }
)

export interface Violation {
  invariant: string
  at: number
  message: string
}

export type Invariant = (history: readonly HistoryEvent[]) => Violation[]

/** `pods default/web-1`, as messages name objects; `keyOf` is unique among the living. */
export const keyOf = (fact: Pick<Fact, 'namespace' | 'name'>): string => (fact.namespace ? `${fact.namespace}/${fact.name}` : fact.name)
export const titleOf = (fact: Pick<Fact, 'kind' | 'namespace' | 'name'>): string => `${fact.kind} ${keyOf(fact)}`
