/** The status of an autoscaler. */
import type { HorizontalPodAutoscaler } from '#shared/api/autoscaling/horizontalpodautoscaler.ts'
import type { MetricStatus } from '#shared/api/autoscaling/metrics.ts'
import { formatTime } from '#shared/machinery/time.ts'

export type Status = NonNullable<HorizontalPodAutoscaler['status']>
export type Condition = NonNullable<Status['conditions']>[number]

/** With the condition of its type replaced, or added; it changed when its status did. */
export function withCondition(status: Status, condition: Omit<Condition, 'lastTransitionTime'>): Status {
  const conditions = status.conditions ?? []
  const at = conditions.findIndex(c => c.type === condition.type)
  const old = conditions[at]
  const since = old?.status === condition.status ? old.lastTransitionTime : formatTime()
  const now: Condition = { ...condition, ...(since === undefined ? {} : { lastTransitionTime: since }) }
  return { ...status, conditions: old ? conditions.with(at, now) : [...conditions, now] }
}

export function statusWith(
  { lastScaleTime, conditions }: Status,
  currentReplicas: number,
  desiredReplicas: number,
  currentMetrics: readonly MetricStatus[] | undefined,
  rescaled: boolean,
): Status {
  const since = rescaled ? formatTime() : lastScaleTime
  return {
    ...(since === undefined ? {} : { lastScaleTime: since }),
    currentReplicas,
    desiredReplicas,
    ...(currentMetrics ? { currentMetrics: [...currentMetrics] } : {}),
    ...(conditions ? { conditions } : {}),
  }
}
