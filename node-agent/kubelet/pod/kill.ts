/** Why the kubelet ends a pod by itself: eviction, preemption, a deadline, shutdown of the node, a refusal. */
import type { PodCondition } from '#shared/api/core/podspec/podstatus.ts'

export interface Kill {
  /** Become those of the pod's status, whose phase is Failed then. */
  reason: string
  message: string
  /** At most this; absent: what the pod itself gives. */
  graceSeconds?: number
  /** What else the status says from then on. */
  condition?: Pick<PodCondition, 'type' | 'status' | 'reason' | 'message'>
}

/** The condition by which Jobs and disruption budgets tell a pod that was in somebody's way from one that failed. */
export const disruptionTarget = (message: string): NonNullable<Kill['condition']> => ({
  type: 'DisruptionTarget',
  status: 'True',
  reason: 'TerminationByKubelet',
  message,
})
