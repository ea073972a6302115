/** What a stateful set does next: one step after the other, or all at once. pkg/controller/statefulset/stateful_set_control.go */
import type { StatefulSet } from '#shared/api/apps/statefulset.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { scaledValue } from '#shared/machinery/intstr.ts'
import { revisionHashLabel } from '../history/revisions.ts'
import { hasEnded, isAvailable, isTerminating } from '../podcontrol/pods.ts'
import { hasIdentity, isWanted, ordinalOf, replicasOf, startOf } from './identity.ts'

/** Names of revisions: that of the first pods, and that which is rolled out. */
export interface Revisions {
  readonly current: string
  readonly update: string
}
export type Step =
  | { readonly do: 'create'; readonly ordinal: number; readonly revision: keyof Revisions }
  | { readonly do: 'delete'; readonly pod: LeanPod }
  /** Labels by which the pod is known are put back. */
  | { readonly do: 'label'; readonly pod: LeanPod; readonly ordinal: number }

export const revisionOf = ({ metadata }: LeanPod): string => metadata.labels?.[revisionHashLabel] ?? ''
export const isParallel = ({ spec }: StatefulSet): boolean => spec.podManagementPolicy === 'Parallel'
const isRunning = (pod: LeanPod): boolean => pod.status?.phase === 'Running'

/** Whether the pod serves: running, ready for long enough, and not on its way out. `now` in ms. */
export const isServing = (pod: LeanPod, set: StatefulSet, now: number): boolean =>
  isRunning(pod) && !isTerminating(pod) && isAvailable(pod, set.spec.minReadySeconds ?? 0, now)

/** The pods by ordinal, from the first wanted one on, and those beyond, the last first. */
export function place(set: StatefulSet, pods: readonly LeanPod[]): { replicas: (LeanPod | undefined)[]; condemned: LeanPod[] } {
  const ordinal = (pod: LeanPod): number => ordinalOf(set, pod.metadata.name)!
  const replicas = Array.from<LeanPod | undefined>({ length: replicasOf(set) })
  for (const pod of pods) if (isWanted(set, ordinal(pod))) replicas[ordinal(pod) - startOf(set)] = pod
  const condemned = pods.filter(pod => !isWanted(set, ordinal(pod))).sort((a, b) => ordinal(b) - ordinal(a))
  return { replicas, condemned }
}

/** `pods` are the set's own, whose names are of the set. In order there is at most one step that creates or deletes. */
export function decide(set: StatefulSet, pods: readonly LeanPod[], revisions: Revisions, now: number): Step[] {
  const ordered = !isParallel(set)
  const { replicas, condemned } = place(set, pods)
  const steps: Step[] = []
  for (const [i, pod] of replicas.entries()) {
    const ordinal = startOf(set) + i
    if (!pod) steps.push({ do: 'create', ordinal, revision: revisionFor(set, i) })
    // The next one of this name is made when this one is gone.
    else if (hasEnded(pod)) steps.push(...(isTerminating(pod) ? [] : [{ do: 'delete' as const, pod }]))
    else {
      if (ordered && !isServing(pod, set, now)) return steps
      if (!hasIdentity(pod)) steps.push({ do: 'label', pod, ordinal })
      continue
    }
    if (ordered) return steps
  }
  // Scaling comes before updates, and the last one goes first; one that does not serve holds up all but itself.
  const first = condemned.findLast(pod => !isServing(pod, set, now))
  for (const pod of condemned) {
    if (ordered && (isTerminating(pod) || (!isServing(pod, set, now) && pod !== first))) return steps
    if (isTerminating(pod)) continue
    steps.push({ do: 'delete', pod })
    if (ordered) return steps
  }
  if (set.spec.updateStrategy?.type !== 'OnDelete')
    steps.push(...outdated(set, replicas, revisions, now).map(pod => ({ do: 'delete' as const, pod })))
  return steps
}

/** Which template the pod at this place is made from. */
function revisionFor({ spec, status }: StatefulSet, place: number): keyof Revisions {
  const { type = 'RollingUpdate', rollingUpdate } = spec.updateStrategy ?? {}
  if (rollingUpdate) return place < (rollingUpdate.partition ?? 0) ? 'current' : 'update'
  return type === 'RollingUpdate' && place < (status?.currentReplicas ?? 0) ? 'current' : 'update'
}

/** How many pods may be missing while a set is updated. */
export const maxUnavailable = (set: StatefulSet): number =>
  Math.max(1, scaledValue(set.spec.updateStrategy?.rollingUpdate?.maxUnavailable ?? 1, replicasOf(set), false))

/**
 * The pods of an older template that are deleted now, from the last one down to the partition: as many as may be missing. Old ones that do
 * not serve cost nothing, so that an update gets past a template that does not work.
 */
function outdated(set: StatefulSet, replicas: readonly (LeanPod | undefined)[], { update }: Revisions, now: number): LeanPod[] {
  const { partition = 0 } = set.spec.updateStrategy?.rollingUpdate ?? {}
  const settled = (pod: LeanPod): boolean => revisionOf(pod) === update || isTerminating(pod) || hasEnded(pod)
  const missing = replicas.filter(pod => !pod || (settled(pod) && !isServing(pod, set, now))).length
  const budget = maxUnavailable(set) - missing
  const old = replicas.slice(partition).filter(pod => pod !== undefined && !settled(pod)) as LeanPod[]
  return old.reverse().slice(0, Math.max(0, budget))
}
