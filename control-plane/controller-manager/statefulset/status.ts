/** The status of a stateful set. */
import type { StatefulSet, StatefulSetStatus } from '#shared/api/apps/statefulset.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { isAvailable, isReady, isTerminating } from '../podcontrol/pods.ts'
import { revisionOf, type Revisions } from './decide.ts'
import { replicasOf } from './identity.ts'

export function statefulSetStatus(
  set: StatefulSet,
  pods: readonly LeanPod[],
  { current, update }: Revisions,
  collisionCount: number | undefined,
  now: number,
): StatefulSetStatus {
  const ready = pods.filter(p => p.status?.phase === 'Running' && isReady(p))
  const made = pods.filter(p => !isTerminating(p))
  const status: StatefulSetStatus = {
    ...set.status,
    observedGeneration: set.metadata.generation,
    replicas: pods.length,
    readyReplicas: ready.length,
    availableReplicas: ready.filter(p => isAvailable(p, set.spec.minReadySeconds ?? 0, now)).length,
    currentReplicas: made.filter(p => revisionOf(p) === current).length,
    updatedReplicas: made.filter(p => revisionOf(p) === update).length,
    currentRevision: current,
    updateRevision: update,
    collisionCount: collisionCount ?? 0,
  }
  const { updatedReplicas, readyReplicas, replicas } = status
  const isComplete = [updatedReplicas, readyReplicas, replicas].every(n => n === replicasOf(set))
  if (set.spec.updateStrategy?.type === 'OnDelete' || !isComplete) return status
  return { ...status, currentRevision: update, currentReplicas: updatedReplicas }
}

/** Equal as far as the API keeps them. */
export function sameStatus(a: StatefulSetStatus | undefined, b: StatefulSetStatus): boolean {
  const numbers = ['observedGeneration', 'replicas', 'readyReplicas', 'availableReplicas', 'currentReplicas', 'updatedReplicas'] as const
  return (
    a !== undefined &&
    numbers.every(k => (a[k] ?? 0) === (b[k] ?? 0)) &&
    a.currentRevision === b.currentRevision &&
    a.updateRevision === b.updateRevision &&
    a.collisionCount === b.collisionCount
  )
}
