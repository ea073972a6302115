/** The status and conditions of a deployment, with upstream's reasons and messages. */
import type { Deployment, DeploymentCondition, DeploymentStatus } from '#shared/api/apps/deployment.ts'
import type { ReplicaSet } from '#shared/api/apps/replicaset.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { maxUnavailable, totalAvailable, totalSize, wanted } from './rolling.ts'

export const conditionOf = (status: DeploymentStatus | undefined, type: string): DeploymentCondition | undefined =>
  status?.conditions?.find(c => c.type === type)

/** A progress deadline of the largest int32 means none. */
export const hasDeadline = (d: Deployment): boolean =>
  d.spec.progressDeadlineSeconds !== undefined && d.spec.progressDeadlineSeconds !== 2 ** 31 - 1

/** `status` with the condition set. Nothing changes when status and reason are as before; the transition time moves only with status. */
export function withCondition(
  status: DeploymentStatus,
  type: string,
  value: 'True' | 'False' | 'Unknown',
  reason: string,
  message: string,
  now: number,
  force = false,
): DeploymentStatus {
  const before = conditionOf(status, type)
  if (!force && before && before.status === value && before.reason === reason) return status
  const time = formatTime(new Date(now))
  const next: DeploymentCondition = {
    type,
    status: value,
    lastUpdateTime: time,
    lastTransitionTime: before?.status === value ? (before.lastTransitionTime ?? time) : time,
    reason,
    message,
  }
  return { ...status, conditions: [...(status.conditions ?? []).filter(c => c.type !== type), next] }
}
export const withoutCondition = (status: DeploymentStatus, type: string): DeploymentStatus => ({
  ...status,
  conditions: (status.conditions ?? []).filter(c => c.type !== type),
})

/** Whether all pods are of the new version and available. */
export function isComplete(d: Deployment, status: DeploymentStatus | undefined): boolean {
  const n = wanted(d)
  return (
    (status?.updatedReplicas ?? 0) === n &&
    (status?.replicas ?? 0) === n &&
    (status?.availableReplicas ?? 0) === n &&
    (status?.observedGeneration ?? 0) >= (d.metadata.generation ?? 0)
  )
}
/** Whether the new status is further than the old: more new pods, fewer old ones, more ready or available. */
export function isProgressing(old: DeploymentStatus | undefined, now: DeploymentStatus): boolean {
  const n = (s: DeploymentStatus | undefined, k: 'replicas' | 'updatedReplicas' | 'readyReplicas' | 'availableReplicas') => s?.[k] ?? 0
  const outdated = (s: DeploymentStatus | undefined) => n(s, 'replicas') - n(s, 'updatedReplicas')
  return (
    n(now, 'updatedReplicas') > n(old, 'updatedReplicas') ||
    outdated(now) < outdated(old) ||
    n(now, 'readyReplicas') > n(old, 'readyReplicas') ||
    n(now, 'availableReplicas') > n(old, 'availableReplicas')
  )
}
export function isTimedOut(d: Deployment, status: DeploymentStatus, now: number): boolean {
  const progressing = conditionOf(status, 'Progressing')
  if (!hasDeadline(d) || !progressing || progressing.reason === 'NewReplicaSetAvailable') return false
  if (progressing.reason === 'ProgressDeadlineExceeded') return true
  return Date.parse(progressing.lastUpdateTime ?? '') + d.spec.progressDeadlineSeconds! * 1000 < now
}

/** Counts and availability; other conditions stay as they are. */
export function computeStatus(d: Deployment, all: readonly ReplicaSet[], newRS: ReplicaSet | undefined, now: number): DeploymentStatus {
  const count = (key: 'replicas' | 'readyReplicas') => all.reduce((n, rs) => n + (rs.status?.[key] ?? 0), 0)
  const available = totalAvailable(all)
  const terminating = all.map(rs => rs.status?.terminatingReplicas)
  let status: DeploymentStatus = {
    observedGeneration: d.metadata.generation,
    replicas: count('replicas'),
    updatedReplicas: newRS?.status?.replicas ?? 0,
    readyReplicas: count('readyReplicas'),
    availableReplicas: available,
    unavailableReplicas: Math.max(totalSize(all) - available, 0),
    ...(terminating.every(t => t !== undefined) ? { terminatingReplicas: terminating.reduce((a, b) => a + b, 0) } : {}),
    ...(d.status?.collisionCount === undefined ? {} : { collisionCount: d.status.collisionCount }),
    conditions: d.status?.conditions ?? [],
  }
  status =
    available >= wanted(d) - maxUnavailable(d)
      ? withCondition(status, 'Available', 'True', 'MinimumReplicasAvailable', 'Deployment has minimum availability.', now)
      : withCondition(status, 'Available', 'False', 'MinimumReplicasUnavailable', 'Deployment does not have minimum availability.', now)
  return status
}

/** The status during a rollout: counts, and how it is getting on. */
export function rolloutStatus(d: Deployment, all: readonly ReplicaSet[], newRS: ReplicaSet | undefined, now: number): DeploymentStatus {
  let status = computeStatus(d, all, newRS, now)
  const who = newRS ? `ReplicaSet "${newRS.metadata.name}"` : `Deployment "${d.metadata.name}"`
  const current = conditionOf(d.status, 'Progressing')
  if (!hasDeadline(d)) status = withoutCondition(status, 'Progressing')
  else if (!((status.replicas ?? 0) === (status.updatedReplicas ?? 0) && current?.reason === 'NewReplicaSetAvailable')) {
    if (isComplete(d, status))
      status = withCondition(status, 'Progressing', 'True', 'NewReplicaSetAvailable', `${who} has successfully progressed.`, now)
    // The update time is what the deadline counts from, so it moves although status and reason are the same.
    else if (isProgressing(d.status, status))
      status = withCondition(status, 'Progressing', 'True', 'ReplicaSetUpdated', `${who} is progressing.`, now, true)
    else if (isTimedOut(d, status, now))
      status = withCondition(status, 'Progressing', 'False', 'ProgressDeadlineExceeded', `${who} has timed out progressing.`, now)
  }
  const failures = [newRS, ...all.filter(rs => rs !== newRS)].flatMap(
    rs => rs?.status?.conditions?.filter(c => c.type === 'ReplicaFailure') ?? [],
  )
  const failure = failures[0]
  return failure
    ? withCondition(status, 'ReplicaFailure', failure.status as 'True', failure.reason ?? '', failure.message ?? '', now)
    : withoutCondition(status, 'ReplicaFailure')
}

/** When to look again although nothing happens, in ms: at the deadline of a rollout that has not finished. */
export function untilDeadline(d: Deployment, status: DeploymentStatus, now: number): number | undefined {
  const progressing = conditionOf(status, 'Progressing')
  if (!hasDeadline(d) || !progressing || isComplete(d, status) || progressing.reason === 'ProgressDeadlineExceeded') return undefined
  return Math.max(0, Date.parse(progressing.lastUpdateTime ?? '') + d.spec.progressDeadlineSeconds! * 1000 - now) + 1000
}

/** Equal as far as the API keeps them. */
export function sameStatus(a: DeploymentStatus | undefined, b: DeploymentStatus): boolean {
  const numbers = [
    'observedGeneration',
    'replicas',
    'updatedReplicas',
    'readyReplicas',
    'availableReplicas',
    'unavailableReplicas',
    'collisionCount',
  ] as const
  return (
    numbers.every(k => (a?.[k] ?? 0) === (b[k] ?? 0)) &&
    a?.terminatingReplicas === b.terminatingReplicas &&
    JSON.stringify(a?.conditions ?? []) === JSON.stringify(b.conditions ?? [])
  )
}
