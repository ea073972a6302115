/** What the metrics of an autoscaler ask for, together. */
import type { MetricStatus } from '#shared/api/autoscaling/metrics.ts'
import type { HorizontalPodAutoscaler } from '#shared/api/autoscaling/horizontalpodautoscaler.ts'
import { quantityFloat } from '#shared/machinery/quantity.ts'
import type { Attempt } from './attempt.ts'
import type { MetricsClient } from './metrics.ts'
import { MetricFailure, propose, type Proposal, type Target } from './proposal.ts'
import { actionOf, type Fault, type Monitor, type ScaleAction } from './monitor.ts'
import type { Tolerances } from './replicas.ts'

/** The metrics say nothing that could be followed; conditions and events of that are written. */
export class Undecided extends Error {
  readonly metrics: readonly MetricStatus[] | undefined
  constructor(message: string, metrics?: readonly MetricStatus[]) {
    super(message)
    this.metrics = metrics
  }
}

export interface Recommended extends Pick<Proposal, 'replicas' | 'name'> {
  readonly statuses: readonly MetricStatus[]
}

/** The proposal for most replicas. Where a metric fails the others may not let the number shrink. Rejects with Undecided. */
export async function recommend(attempt: Attempt, target: Target, client: MetricsClient, monitor: Monitor): Promise<Recommended> {
  const specs = attempt.hpa.spec.metrics ?? []
  const proposals: Proposal[] = []
  const failures: MetricFailure[] = []
  const statuses: MetricStatus[] = []
  for (const spec of specs) {
    const began = performance.now()
    const computed = (action: ScaleAction, error: Fault): void =>
      monitor.computed(action, error, spec.type, (performance.now() - began) / 1000)
    try {
      const proposal = await propose(spec, target, client)
      computed(actionOf(target.current, proposal.replicas), 'none')
      proposals.push(proposal)
      statuses.push(proposal.status)
    } catch (e) {
      if (!(e instanceof MetricFailure)) throw e
      computed('none', e.reason === 'InvalidMetricSourceType' ? 'spec' : 'internal')
      attempt.warn(e.reason, e.cause.message)
      failures.push(e)
      // Upstream's placeholder: the statuses stay in the order of the metrics.
      statuses.push({ type: '' } as unknown as MetricStatus)
    }
  }
  const best = proposals.reduce<Proposal | undefined>((a, b) => (a && a.replicas >= b.replicas ? a : b), undefined)
  const [first] = failures
  if (first && (!best || best.replicas < target.current)) {
    attempt.say('ScalingActive', 'False', first.reason, `the HPA was unable to compute the replica count: ${first.cause.message}`)
    throw new Undecided(`invalid metrics (${failures.length} invalid out of ${specs.length}), first error is: ${first.message}`, statuses)
  }
  const { replicas, name } = best!
  attempt.say('ScalingActive', 'True', 'ValidMetricFound', `the HPA was able to successfully calculate a replica count from ${name}`)
  return { replicas, name, statuses }
}

export function tolerancesOf({ spec }: HorizontalPodAutoscaler, usual: number): Tolerances {
  const of = (own: string | undefined): number => (own === undefined ? usual : quantityFloat(own))
  return { up: of(spec.behavior?.scaleUp?.tolerance), down: of(spec.behavior?.scaleDown?.tolerance) }
}
