/** What the autoscaler counts, by upstream's names: pkg/controller/podautoscaler/monitor. */
import { exponential, type ComponentMetrics } from '#shared/component/counts.ts'

export type ScaleAction = 'scale_up' | 'scale_down' | 'none'
/** Whose fault it was: the autoscaler's as it is written, or something else's. */
export type Fault = 'none' | 'spec' | 'internal'

export interface Monitor {
  reconciled(action: ScaleAction, error: Fault, seconds: number): void
  computed(action: ScaleAction, error: Fault, metricType: string, seconds: number): void
}

export const actionOf = (from: number, to: number): ScaleAction => (to > from ? 'scale_up' : to < from ? 'scale_down' : 'none')

export function autoscalerMonitor(metrics: ComponentMetrics, autoscalers: () => number): Monitor {
  const prefix = 'horizontal_pod_autoscaler_controller_'
  const bounds = exponential(0.001, 2, 15)
  const label =
    "The label 'action' should be either 'scale_down', 'scale_up', or 'none'. Also, the label 'error' should be either 'spec', 'internal', or 'none'."
  const reconciliations = metrics.counter(`${prefix}reconciliations_total`, `[ALPHA] Number of reconciliations of HPA controller. ${label}`)
  const took = metrics.histogram(
    `${prefix}reconciliation_duration_seconds`,
    `[ALPHA] The time(seconds) that the HPA controller takes to reconcile once. ${label}`,
    bounds,
  )
  const computations = metrics.counter(`${prefix}metric_computation_total`, `[ALPHA] Number of metric computations. ${label}`)
  const computing = metrics.histogram(
    `${prefix}metric_computation_duration_seconds`,
    `[ALPHA] The time(seconds) that the HPA controller takes to calculate one metric. ${label}`,
    bounds,
  )
  metrics.gauge(`${prefix}num_horizontal_pod_autoscalers`, '[ALPHA] Current number of controlled HPA objects.', () => [
    { value: autoscalers() },
  ])
  return {
    reconciled(action, error, seconds) {
      reconciliations.add({ action, error })
      took.observe(seconds, { action, error })
    },
    computed(action, error, metric_type, seconds) {
      computations.add({ action, error, metric_type })
      computing.observe(seconds, { action, error, metric_type })
    },
  }
}
