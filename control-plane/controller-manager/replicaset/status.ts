/** The status of a replica set or replication controller from its pods. */
import type { ReplicaSet, ReplicaSetCondition } from '#shared/api/apps/replicaset.ts'
import type { ReplicationController } from '#shared/api/core/replicationcontroller.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { isAvailable, isReady } from '../podcontrol/pods.ts'

export type ReplicaSetStatus = NonNullable<ReplicaSet['status']>

export type Replicated = ReplicaSet | ReplicationController

/**
 * `terminating` is undefined where a kind does not tell of them. `failure` is what went wrong while creating or deleting pods in this
 * round; `now` in ms.
 */
export function replicasStatus(
  rs: Replicated,
  active: readonly LeanPod[],
  terminating: readonly LeanPod[] | undefined,
  failure: { reason: 'FailedCreate' | 'FailedDelete'; message: string } | undefined,
  now: number,
): ReplicaSetStatus {
  const template = Object.entries(rs.spec.template?.metadata?.labels ?? {})
  const minReady = rs.spec.minReadySeconds ?? 0
  const status: ReplicaSetStatus = {
    ...rs.status,
    replicas: active.length,
    fullyLabeledReplicas: active.filter(p => template.every(([k, v]) => p.metadata.labels?.[k] === v)).length,
    readyReplicas: active.filter(isReady).length,
    availableReplicas: active.filter(p => isAvailable(p, minReady, now)).length,
    ...(terminating ? { terminatingReplicas: terminating.length } : {}),
    observedGeneration: rs.metadata.generation,
  }
  const others = (rs.status?.conditions ?? []).filter(c => c.type !== 'ReplicaFailure')
  const present = rs.status?.conditions?.find(c => c.type === 'ReplicaFailure')
  let conditions: ReplicaSetCondition[] = others
  if (failure) {
    const fresh = {
      type: 'ReplicaFailure',
      status: 'True',
      reason: failure.reason,
      message: failure.message,
      lastTransitionTime: formatTime(new Date(now)),
    }
    conditions = [...others, present ?? fresh]
  }
  if (conditions.length) status.conditions = conditions
  else delete status.conditions
  return status
}

/** Equal as far as the API keeps them: zero and absent are the same. */
export function sameStatus(a: ReplicaSetStatus | undefined, b: ReplicaSetStatus): boolean {
  const numbers = ['replicas', 'fullyLabeledReplicas', 'readyReplicas', 'availableReplicas', 'observedGeneration'] as const
  return (
    numbers.every(k => (a?.[k] ?? 0) === (b[k] ?? 0)) &&
    a?.terminatingReplicas === b.terminatingReplicas &&
    JSON.stringify(a?.conditions ?? []) === JSON.stringify(b.conditions ?? [])
  )
}
