/** One look at an autoscaler: what is said of it meanwhile, as conditions of its status and as events. */
import { isDeepStrictEqual } from 'node:util'
import type { HorizontalPodAutoscaler } from '#shared/api/autoscaling/horizontalpodautoscaler.ts'
import type { MetricStatus } from '#shared/api/autoscaling/metrics.ts'
import { horizontalPodAutoscalers } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf } from '#shared/client/controller.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import { isConflict, isNotFound } from '#shared/machinery/status.ts'
import { statusWith, withCondition, type Condition, type Status } from './status.ts'

export class Attempt {
  readonly hpa: HorizontalPodAutoscaler
  readonly key: string
  readonly namespace: string
  /** What is scaled, as errors name it. */
  readonly reference: string
  readonly #recorder: EventRecorder
  readonly #client: Client
  #status: Status

  constructor(hpa: HorizontalPodAutoscaler, recorder: EventRecorder, client: Client) {
    this.hpa = hpa
    this.key = keyOf(hpa)
    this.namespace = hpa.metadata.namespace ?? ''
    this.reference = `${hpa.spec.scaleTargetRef.kind}/${this.namespace}/${hpa.spec.scaleTargetRef.name}`
    this.#recorder = recorder
    this.#client = client
    this.#status = hpa.status ?? { desiredReplicas: 0 }
  }

  say(type: Condition['type'], status: 'True' | 'False', reason: string, message: string): void {
    this.#status = withCondition(this.#status, { type, status, reason, message })
  }
  warn(reason: string, message: string): void {
    this.#recorder.event(this.hpa, 'Warning', reason, message)
  }
  event(reason: string, message: string): void {
    this.#recorder.event(this.hpa, 'Normal', reason, message)
  }

  /** What was found; without a number that is wanted the one before stays. */
  conclude(current: number, wanted: number | undefined, metrics: readonly MetricStatus[] | undefined, rescaled: boolean): void {
    const { desiredReplicas, currentMetrics } = this.#status
    this.#status = statusWith(
      this.#status,
      current,
      wanted ?? desiredReplicas,
      wanted === undefined ? (metrics ?? currentMetrics) : metrics,
      rescaled,
    )
  }

  /** Writes the status if anything was said that is news. */
  async write(): Promise<void> {
    if (isDeepStrictEqual(this.#status, this.hpa.status)) return
    try {
      await this.#client.update(horizontalPodAutoscalers, { ...this.hpa, status: this.#status }, 'status')
    } catch (e) {
      if (isNotFound(e)) return
      if (!isConflict(e)) this.warn('FailedUpdateStatus', (e as Error).message)
      throw e
    }
  }
}
