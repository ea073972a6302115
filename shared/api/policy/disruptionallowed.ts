/** The condition of a budget that says whether it allows a disruption now (k8s.io/component-helpers/apps/poddisruptionbudget). */
import type { Condition } from '../meta/condition.ts'
import { formatTime } from '../../machinery/time.ts'
import type { PodDisruptionBudgetStatus } from './poddisruptionbudget.ts'

export const disruptionAllowed = 'DisruptionAllowed'

/** The conditions of a status with this one set: its time moves only when its status does. */
export function withCondition(
  status: PodDisruptionBudgetStatus,
  value: 'True' | 'False',
  reason: string,
  message = '',
): NonNullable<PodDisruptionBudgetStatus['conditions']> {
  const before = status.conditions ?? []
  const old = before.find(c => c.type === disruptionAllowed)
  const fresh: Condition = {
    type: disruptionAllowed,
    status: value,
    ...(status.observedGeneration ? { observedGeneration: status.observedGeneration } : {}),
    lastTransitionTime: old?.status === value ? old.lastTransitionTime : formatTime(),
    reason,
    message,
  }
  return old ? before.map(c => (c === old ? fresh : c)) : [...before, fresh]
}

/** The conditions as the number of allowed disruptions has it. */
export const conditionsFor = (status: PodDisruptionBudgetStatus): NonNullable<PodDisruptionBudgetStatus['conditions']> =>
  status.disruptionsAllowed > 0 ? withCondition(status, 'True', 'SufficientPods') : withCondition(status, 'False', 'InsufficientPods')
