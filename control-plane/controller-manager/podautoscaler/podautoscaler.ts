/** Scales what HorizontalPodAutoscalers name, by their metrics, every sync period. pkg/controller/podautoscaler */
import { isDeepStrictEqual } from 'node:util'
import type { HorizontalPodAutoscaler } from '#shared/api/autoscaling/horizontalpodautoscaler.ts'
import type { MetricStatus } from '#shared/api/autoscaling/metrics.ts'
import { horizontalPodAutoscalers, pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import { matchesLabels, parseLabelSelector, type Selector } from '#shared/machinery/labels.ts'
import { quantityFloat } from '#shared/machinery/quantity.ts'
import { isConflict, isNotFound } from '#shared/machinery/status.ts'
import type { NewController } from '../context.ts'
import { metricsClient } from './metrics.ts'
import { normalize, scaled, type History } from './normalize.ts'
import { MetricFailure, propose, type Proposal, type Target } from './proposal.ts'
import type { Tolerances } from './replicas.ts'
import { getScale, setScale, type Scaled } from './scale.ts'
import { statusWith, withCondition, type Condition, type Status } from './status.ts'

/** What no metric could say, after its events and conditions were written. */
class Undecided extends Error {}

interface Desired {
  readonly replicas: number
  readonly reason: string
  readonly metrics: readonly MetricStatus[] | undefined
}

export const podAutoscalerController: NewController = ctx => {
  const { autoscaling } = ctx.settings
  const recorder = ctx.recorder('horizontal-pod-autoscaler')
  const autoscalers = ctx.informer(horizontalPodAutoscalers)
  const podInformer = ctx.informer(pods)
  const served = ctx.served()
  const metrics = metricsClient(ctx.as('horizontal-pod-autoscaler'), () => served)
  const histories = new Map<string, History>()
  /** What each autoscaler selects, by key, as its target said last. */
  const selectors = new Map<string, Selector>()

  async function sync(hpa: HorizontalPodAutoscaler, client: Client): Promise<void> {
    const key = keyOf(hpa)
    const { namespace = '' } = hpa.metadata
    const { scaleTargetRef: ref, minReplicas: min = 1, maxReplicas: max } = hpa.spec
    let status: Status = hpa.status ?? { desiredReplicas: 0 }
    const say = (type: Condition['type'], is: 'True' | 'False', reason: string, message: string): void => {
      status = withCondition(status, { type, status: is, reason, message })
    }
    const warn = (reason: string, message: string): void => recorder.event(hpa, 'Warning', reason, message)
    const write = async (): Promise<void> => {
      if (isDeepStrictEqual(status, hpa.status)) return
      try {
        await client.update(horizontalPodAutoscalers, { ...hpa, status }, 'status')
      } catch (e) {
        if (isNotFound(e)) return
        if (!isConflict(e)) warn('FailedUpdateStatus', (e as Error).message)
        throw e
      }
    }

    let scale: Scaled
    try {
      scale = await getScale(client, served, namespace, ref)
    } catch (e) {
      const { message } = e as Error
      warn('FailedGetScale', message)
      say('AbleToScale', 'False', 'FailedGetScale', `the HPA controller was unable to get the target's current scale: ${message}`)
      await write()
      throw new Error(`failed to query scale subresource for ${ref.kind}/${namespace}/${ref.name}: ${message}`)
    }
    say('AbleToScale', 'True', 'SucceededGetScale', "the HPA controller was able to get the target's current scale")
    const current = scale.object.spec?.replicas ?? 0
    const history = histories.get(key) ?? { recommendations: [{ replicas: current, at: Date.now() }], ups: [], downs: [] }
    histories.set(key, history)

    /** What the metrics ask for, or Undecided. */
    async function byMetrics(): Promise<Desired> {
      const selector = selectorOf(scale)
      const target: Target = {
        namespace,
        selector: scale.object.status?.selector ?? '',
        current,
        there: scale.object.status?.replicas ?? 0,
        pods: podInformer.list(namespace).filter(pod => matchesLabels(selector, pod.metadata.labels)),
        tolerances: tolerancesOf(hpa, autoscaling.tolerance),
        readiness: { ...autoscaling, now: Date.now() },
      }
      const { best, statuses } = await ofAll(target)
      const now = Date.now()
      const wish = { behavior: hpa.spec.behavior, min, max, current, wanted: best.replicas, history, now, ...autoscaling }
      const { replicas, able, limited, recommendations } = normalize(wish)
      histories.set(key, { ...history, recommendations })
      say('AbleToScale', 'True', able.reason, able.message)
      say('ScalingLimited', limited.status, limited.reason, limited.message)
      const reason = best.replicas > current ? `${best.name} above target` : best.replicas < current ? 'All metrics below target' : ''
      return { replicas, reason, metrics: statuses }
    }
    /** The selector of the target's pods, which no other autoscaler may select. */
    function selectorOf({ object }: Scaled): Selector {
      const invalid = (reason: string, event: string, message: string, condition = message): never => {
        warn(event, message)
        say('ScalingActive', 'False', reason, condition)
        throw new Undecided(message)
      }
      const text = object.status?.selector ?? ''
      if (text === '')
        return invalid('InvalidSelector', 'SelectorRequired', 'selector is required', "the HPA target's scale is missing a selector")
      let selector: Selector
      try {
        selector = parseLabelSelector(text)
      } catch (e) {
        const message = `couldn't convert selector into a corresponding internal selector object: ${(e as Error).message}`
        return invalid('InvalidSelector', 'InvalidSelector', message)
      }
      selectors.set(key, selector)
      const both = [...selectors].filter(([other, theirs]) => splitKey(other)[0] === namespace && overlap(namespace, selector, theirs))
      if (both.length < 2) return selector
      const names = both.map(([other]) => `{${splitKey(other)[1]} ${namespace}}`).sort()
      return invalid(
        'AmbiguousSelector',
        'AmbiguousSelector',
        `pods by selector ${text} are controlled by multiple HPAs: [${names.join(' ')}]`,
      )
    }
    /** The proposal for most replicas. Where a metric fails the others may not let the number shrink. */
    async function ofAll(target: Target): Promise<{ best: Proposal; statuses: MetricStatus[] }> {
      const specs = hpa.spec.metrics ?? []
      const proposals: Proposal[] = []
      const failures: MetricFailure[] = []
      const statuses: MetricStatus[] = []
      for (const spec of specs)
        try {
          const proposal = await propose(spec, target, metrics)
          proposals.push(proposal)
          statuses.push(proposal.status)
        } catch (e) {
          if (!(e instanceof MetricFailure)) throw e
          warn(e.reason, e.cause.message)
          failures.push(e)
          // Upstream's placeholder: the statuses stay in the order of the metrics.
          statuses.push({ type: '' } as unknown as MetricStatus)
        }
      const best = proposals.reduce((a, b) => (b.replicas > a.replicas ? b : a), proposals[0]!)
      const [first] = failures
      if (first && (!best || best.replicas < target.current)) {
        say('ScalingActive', 'False', first.reason, `the HPA was unable to compute the replica count: ${first.cause.message}`)
        status = { ...status, currentMetrics: statuses }
        throw new Undecided(`invalid metrics (${failures.length} invalid out of ${specs.length}), first error is: ${first.message}`)
      }
      say('ScalingActive', 'True', 'ValidMetricFound', `the HPA was able to successfully calculate a replica count from ${best!.name}`)
      return { best: best!, statuses }
    }

    let desired: Desired
    if (current === 0 && min !== 0) {
      say('ScalingActive', 'False', 'ScalingDisabled', 'scaling is disabled since the replica count of the target is zero')
      desired = { replicas: 0, reason: '', metrics: undefined }
    } else if (current > max) desired = { replicas: max, reason: 'Current number of replicas above Spec.MaxReplicas', metrics: undefined }
    else if (current < min) desired = { replicas: min, reason: 'Current number of replicas below Spec.MinReplicas', metrics: undefined }
    else
      try {
        desired = await byMetrics()
      } catch (e) {
        if (!(e instanceof Undecided)) throw e
        status = statusWith(status, current, status.desiredReplicas, status.currentMetrics, false)
        await write()
        warn('FailedComputeMetricsReplicas', e.message)
        const reference = `${ref.kind}/${namespace}/${ref.name}`
        throw new Error(`failed to compute desired number of replicas based on listed metrics for ${reference}: ${e.message}`)
      }

    const rescale = desired.replicas !== current
    if (rescale)
      try {
        await setScale(client, scale, desired.replicas)
      } catch (e) {
        const { message } = e as Error
        warn('FailedRescale', `New size: ${desired.replicas}; reason: ${desired.reason}; error: ${message}`)
        say('AbleToScale', 'False', 'FailedUpdateScale', `the HPA controller was unable to update the target scale: ${message}`)
        status = statusWith(status, current, status.desiredReplicas, status.currentMetrics, false)
        await write()
        throw new Error(`failed to rescale ${ref.kind}/${namespace}/${ref.name}: ${message}`)
      }
    if (rescale) {
      const { replicas, reason } = desired
      say('AbleToScale', 'True', 'SucceededRescale', `the HPA controller was able to update the target scale to ${replicas}`)
      recorder.event(hpa, 'Normal', 'SuccessfulRescale', `New size: ${replicas}; reason: ${reason}`)
      histories.set(key, scaled(histories.get(key)!, hpa.spec.behavior, current, replicas, Date.now()))
      ctx.log.info({ key, from: current, to: replicas, reason }, 'rescaled')
    }
    status = statusWith(status, current, desired.replicas, desired.metrics, rescale)
    await write()
  }

  const overlap = (namespace: string, ours: Selector, theirs: Selector): boolean =>
    ours === theirs ||
    podInformer.list(namespace).some(p => matchesLabels(ours, p.metadata.labels) && matchesLabels(theirs, p.metadata.labels))

  return {
    name: 'horizontal-pod-autoscaler-controller',
    client: ctx.as('horizontal-pod-autoscaler'),
    workers: autoscaling.workers,
    sources: [
      // The status that was written is no news; the metrics are asked every sync period.
      source(autoscalers, e => (e.type === 'MODIFIED' && isDeepStrictEqual(e.previous?.spec, e.object.spec) ? [] : [keyOf(e.object)])),
    ],
    async reconcile(key, client) {
      const hpa = autoscalers.get(...splitKey(key))
      if (!hpa) {
        histories.delete(key)
        selectors.delete(key)
        return
      }
      try {
        await sync(hpa, client)
      } catch (e) {
        ctx.log.info({ key, err: (e as Error).message }, 'an autoscaler could not be followed, will retry')
      }
      return { requeueAfterMs: autoscaling.syncMs }
    },
    log: ctx.log,
  }
}

function tolerancesOf({ spec }: HorizontalPodAutoscaler, usual: number): Tolerances {
  const of = (own: string | undefined): number => (own === undefined ? usual : quantityFloat(own))
  return { up: of(spec.behavior?.scaleUp?.tolerance), down: of(spec.behavior?.scaleDown?.tolerance) }
}
