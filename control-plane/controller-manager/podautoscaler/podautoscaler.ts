/** Scales what HorizontalPodAutoscalers name, by their metrics, every sync period. pkg/controller/podautoscaler */
import { isDeepStrictEqual } from 'node:util'
import type { MetricStatus } from '#shared/api/autoscaling/metrics.ts'
import { horizontalPodAutoscalers, pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import { matchesLabels, parseLabelSelector, type Selector } from '#shared/machinery/labels.ts'
import type { NewController } from '../context.ts'
import { Attempt } from './attempt.ts'
import { actionOf, autoscalerMonitor, type Fault, type ScaleAction } from './monitor.ts'
import { metricsClient } from './metrics.ts'
import { normalize, scaled, type History } from './normalize.ts'
import type { Target } from './proposal.ts'
import { recommend, tolerancesOf, Undecided } from './recommend.ts'
import { getScale, setScale, type Scaled } from './scale.ts'

interface Desired {
  readonly replicas: number
  readonly reason: string
  readonly metrics?: readonly MetricStatus[]
}

export const podAutoscalerController: NewController = ctx => {
  const { autoscaling } = ctx.settings
  const account = ctx.as('horizontal-pod-autoscaler')
  const recorder = ctx.recorder('horizontal-pod-autoscaler')
  const autoscalers = ctx.informer(horizontalPodAutoscalers)
  const podInformer = ctx.informer(pods)
  const served = ctx.served()
  const metrics = metricsClient(account, () => served)
  const histories = new Map<string, History>()
  /** What each autoscaler selects, by key, as its target said last. */
  const selectors = new Map<string, Selector>()

  const monitor = autoscalerMonitor(ctx.metrics, () => autoscalers.list().length)

  /** Resolves with what was done. */
  async function sync(attempt: Attempt, client: Client): Promise<ScaleAction> {
    const { hpa, key, namespace, reference } = attempt
    let scale: Scaled
    try {
      scale = await getScale(client, served, namespace, hpa.spec.scaleTargetRef)
    } catch (e) {
      const { message } = e as Error
      attempt.warn('FailedGetScale', message)
      attempt.say('AbleToScale', 'False', 'FailedGetScale', `the HPA controller was unable to get the target's current scale: ${message}`)
      await attempt.write()
      throw new Error(`failed to query scale subresource for ${reference}: ${message}`)
    }
    attempt.say('AbleToScale', 'True', 'SucceededGetScale', "the HPA controller was able to get the target's current scale")
    const current = scale.object.spec?.replicas ?? 0
    if (!histories.has(key)) histories.set(key, { recommendations: [{ replicas: current, at: Date.now() }], ups: [], downs: [] })
    let desired: Desired
    try {
      desired = await desiredOf(attempt, scale, current)
    } catch (e) {
      if (!(e instanceof Undecided)) throw e
      attempt.conclude(current, undefined, e.metrics, false)
      await attempt.write()
      attempt.warn('FailedComputeMetricsReplicas', e.message)
      throw new Error(`failed to compute desired number of replicas based on listed metrics for ${reference}: ${e.message}`)
    }
    if (desired.replicas !== current) await rescale(attempt, client, scale, current, desired)
    attempt.conclude(current, desired.replicas, desired.metrics, desired.replicas !== current)
    await attempt.write()
    return actionOf(current, desired.replicas)
  }

  /** Rejects with Undecided when the metrics do not tell. */
  async function desiredOf(attempt: Attempt, scale: Scaled, current: number): Promise<Desired> {
    const { minReplicas: min = 1, maxReplicas: max } = attempt.hpa.spec
    if (current === 0 && min !== 0) {
      attempt.say('ScalingActive', 'False', 'ScalingDisabled', 'scaling is disabled since the replica count of the target is zero')
      return { replicas: 0, reason: '' }
    }
    if (current > max) return { replicas: max, reason: 'Current number of replicas above Spec.MaxReplicas' }
    if (current < min) return { replicas: min, reason: 'Current number of replicas below Spec.MinReplicas' }
    return byMetrics(attempt, scale, current, min, max)
  }

  async function byMetrics(attempt: Attempt, { object }: Scaled, current: number, min: number, max: number): Promise<Desired> {
    const { hpa, key, namespace } = attempt
    const selector = selectorOf(attempt, object.status?.selector ?? '')
    const target: Target = {
      namespace,
      selector: object.status?.selector ?? '',
      current,
      there: object.status?.replicas ?? 0,
      pods: podInformer.list(namespace).filter(pod => matchesLabels(selector, pod.metadata.labels)),
      tolerances: tolerancesOf(hpa, autoscaling.tolerance),
      readiness: { ...autoscaling, now: Date.now() },
    }
    const { replicas: wanted, name, statuses } = await recommend(attempt, target, metrics, monitor)
    const history = histories.get(key)!
    const wish = { behavior: hpa.spec.behavior, min, max, current, wanted, history, now: Date.now(), downscaleMs: autoscaling.downscaleMs }
    const { replicas, able, limited, recommendations } = normalize(wish)
    histories.set(key, { ...history, recommendations })
    attempt.say('AbleToScale', 'True', able.reason, able.message)
    attempt.say('ScalingLimited', limited.status, limited.reason, limited.message)
    const reason = wanted > current ? `${name} above target` : wanted < current ? 'All metrics below target' : ''
    return { replicas, reason, metrics: statuses }
  }

  /** Of the target's pods, which no other autoscaler may select. Throws Undecided. */
  function selectorOf(attempt: Attempt, text: string): Selector {
    const { key, namespace } = attempt
    const invalid = (reason: string, event: string, message: string, condition = message): never => {
      attempt.warn(event, message)
      attempt.say('ScalingActive', 'False', reason, condition)
      throw new Undecided(message)
    }
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
    const overlap = (theirs: Selector): boolean =>
      podInformer.list(namespace).some(p => matchesLabels(selector, p.metadata.labels) && matchesLabels(theirs, p.metadata.labels))
    const others = [...selectors].filter(([other, theirs]) => other !== key && splitKey(other)[0] === namespace && overlap(theirs))
    if (others.length === 0) return selector
    const names = [key, ...others.map(([other]) => other)].map(k => `{${splitKey(k)[1]} ${namespace}}`).sort()
    const message = `pods by selector ${text} are controlled by multiple HPAs: [${names.join(' ')}]`
    return invalid('AmbiguousSelector', 'AmbiguousSelector', message)
  }

  async function rescale(attempt: Attempt, client: Client, scale: Scaled, from: number, { replicas, reason }: Desired): Promise<void> {
    const { hpa, key, reference } = attempt
    try {
      await setScale(client, scale, replicas)
    } catch (e) {
      const { message } = e as Error
      attempt.warn('FailedRescale', `New size: ${replicas}; reason: ${reason}; error: ${message}`)
      attempt.say('AbleToScale', 'False', 'FailedUpdateScale', `the HPA controller was unable to update the target scale: ${message}`)
      attempt.conclude(from, undefined, undefined, false)
      await attempt.write()
      throw new Error(`failed to rescale ${reference}: ${message}`)
    }
    attempt.say('AbleToScale', 'True', 'SucceededRescale', `the HPA controller was able to update the target scale to ${replicas}`)
    attempt.event('SuccessfulRescale', `New size: ${replicas}; reason: ${reason}`)
    histories.set(key, scaled(histories.get(key)!, hpa.spec.behavior, from, replicas, Date.now()))
    ctx.log.info({ key, from, to: replicas, reason }, 'rescaled')
  }

  return {
    name: 'horizontal-pod-autoscaler-controller',
    client: account,
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
      const began = performance.now()
      const done = (action: ScaleAction, error: Fault): void => monitor.reconciled(action, error, (performance.now() - began) / 1000)
      try {
        done(await sync(new Attempt(hpa, recorder, client), client), 'none')
      } catch (e) {
        done('none', 'internal')
        ctx.log.info({ key, err: (e as Error).message }, 'an autoscaler could not be followed, will retry')
      }
      return { requeueAfterMs: autoscaling.syncMs }
    },
    log: ctx.log,
  }
}
