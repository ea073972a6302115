/** What one metric of an autoscaler asks for, and what its status shows of it; words are upstream's. */
import type { LabelSelector } from '#shared/api/meta/labelselector.ts'
import type { MetricIdentifier, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus } from '#shared/api/autoscaling/metrics.ts'
import { formatQuantity, milliQuantityOf, quantityMilliValue, quantityOf } from '#shared/machinery/quantity.ts'
import type { MetricsClient } from './metrics.ts'
import { replicasByAverage, replicasByRatio, replicasByShare, replicasByUtilization, type Measured } from './replicas.ts'

export interface Proposal {
  readonly replicas: number
  /** What the metric is called in reasons. */
  readonly name: string
  readonly status: MetricStatus
}
/** A metric that asks for nothing: `reason` and `cause` are of its event and condition, `message` is for the metrics together. */
export class MetricFailure extends Error {
  readonly reason: string
  override readonly cause: Error
  constructor(reason: string, cause: Error, message: string) {
    super(message)
    this.reason = reason
    this.cause = cause
  }
}

/** What is scaled. */
export interface Target extends Omit<Measured, 'metrics' | 'resource'> {
  readonly namespace: string
  /** Of its pods, as text. */
  readonly selector: string
  /** How many replicas there are. */
  readonly there: number
}

const milli = (value: number): string => formatQuantity(milliQuantityOf(value))
/** An amount of a resource, given in thousandths: memory in whole Ki. */
export const amount = (resource: string, value: number): string =>
  resource === 'memory' ? formatQuantity(quantityOf(Math.trunc(value / 1000 / 1024) * 1024, 'BinarySI')) : milli(value)
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)

/** Rejects with a MetricFailure. */
export async function propose(spec: MetricSpec, target: Target, client: MetricsClient): Promise<Proposal> {
  switch (spec.type) {
    case 'Resource': {
      const { name, target: wanted } = spec.resource!
      const failed = failure('FailedGetResourceMetric', `failed to get ${name} resource metric value`)
      return ofResource(name, wanted, undefined, target, client).then(
        p => ({ ...p, status: { type: 'Resource' as const, resource: { name, current: p.current } } }),
        failed,
      )
    }
    case 'ContainerResource': {
      const { name, container, target: wanted } = spec.containerResource!
      const failed = failure('FailedGetContainerResourceMetric', `failed to get ${container} container metric value`)
      return ofResource(name, wanted, container, target, client).then(
        p => ({ ...p, status: { type: 'ContainerResource' as const, containerResource: { name, container, current: p.current } } }),
        failed,
      )
    }
    case 'Pods': {
      const { metric, target: wanted } = spec.pods!
      return ofPods(metric, wanted, target, client).catch(failure('FailedGetPodsMetric', 'failed to get pods metric value'))
    }
    case 'Object':
      return ofObject(spec.object!, target, client)
    case 'External':
      return ofExternal(spec.external!, target, client)
    default: {
      const message = `unknown metric source type ${JSON.stringify(spec.type)}`
      throw new MetricFailure('InvalidMetricSourceType', new Error(message), message)
    }
  }
}

const failure =
  (reason: string, ...layers: readonly string[]) =>
  (e: unknown): never => {
    throw new MetricFailure(reason, e as Error, [...layers, (e as Error).message].join(': '))
  }

async function ofResource(
  resource: string,
  wanted: MetricTarget,
  container: string | undefined,
  target: Target,
  client: MetricsClient,
): Promise<{ readonly replicas: number; readonly name: string; readonly current: MetricValueStatus }> {
  const metrics = () =>
    client.resource(resource, target.namespace, target.selector, container).catch((e: unknown) => {
      throw new Error(`unable to get metrics for resource ${resource}: ${(e as Error).message}`)
    })
  if (wanted.averageValue !== undefined) {
    try {
      const measured = { ...target, resource, metrics: await metrics() }
      const { replicas, average } = replicasByAverage(measured, quantityMilliValue(wanted.averageValue))
      return { replicas, name: `${resource} resource`, current: { averageValue: amount(resource, average) } }
    } catch (e) {
      throw new Error(`failed to get ${resource} usage: ${(e as Error).message}`)
    }
  }
  if (wanted.averageUtilization === undefined)
    throw new Error('invalid resource metric source: neither an average utilization target nor an average value (usage) target was set')
  try {
    const measured = { ...target, resource, metrics: await metrics() }
    const { replicas, utilization, average } = replicasByUtilization(measured, wanted.averageUtilization, container)
    return {
      replicas,
      name: `${resource}${container === undefined ? '' : ' container'} resource utilization (percentage of request)`,
      current: { averageUtilization: utilization, averageValue: amount(resource, average) },
    }
  } catch (e) {
    throw new Error(`failed to get ${resource} utilization: ${(e as Error).message}`)
  }
}

async function ofPods(metric: MetricIdentifier, wanted: MetricTarget, target: Target, client: MetricsClient): Promise<Proposal> {
  const metrics = await client.pods(metric, target.namespace, target.selector).catch((e: unknown) => {
    throw new Error(`unable to get metric ${metric.name}: ${(e as Error).message}`)
  })
  const { replicas, average } = replicasByAverage({ ...target, metrics }, quantityMilliValue(wanted.averageValue ?? '0'))
  const status: MetricStatus = { type: 'Pods', pods: { metric, current: { averageValue: milli(average) } } }
  return { replicas, name: `pods metric ${metric.name}`, status }
}

async function ofObject(
  { metric, describedObject, target: wanted }: NonNullable<MetricSpec['object']>,
  target: Target,
  client: MetricsClient,
): Promise<Proposal> {
  const reason = 'FailedGetObjectMetric'
  const layer = 'failed to get object metric value'
  const proposal = (replicas: number, name: string, current: MetricValueStatus): Proposal => ({
    replicas,
    name,
    status: { type: 'Object', object: { metric, describedObject, current } },
  })
  const value = () =>
    client.object(metric, target.namespace, describedObject).catch((e: unknown) => {
      // Upstream's format has its arguments in this order.
      const of = `${describedObject.kind} on ${target.namespace} ${describedObject.name}`
      throw new Error(`unable to get metric ${metric.name}: ${of}/${(e as Error).message}`)
    })
  if (wanted.type === 'Value' && wanted.value !== undefined)
    try {
      const now = await value()
      const replicas = replicasByRatio(target, now / quantityMilliValue(wanted.value))
      return proposal(replicas, `${describedObject.kind} metric ${metric.name}`, { value: milli(now) })
    } catch (e) {
      return failure(reason, layer)(e)
    }
  if (wanted.type === 'AverageValue' && wanted.averageValue !== undefined)
    try {
      const { replicas, average } = replicasByShare(target.there, await value(), quantityMilliValue(wanted.averageValue), target.tolerances)
      return proposal(replicas, `external metric ${metric.name}(${textOf(metric.selector)})`, { averageValue: milli(average) })
    } catch (e) {
      return failure(reason, layer, `failed to get ${metric.name} object metric`)(e)
    }
  return failure(reason, layer)(new Error('invalid object metric source: neither a value target nor an average value target was set'))
}

async function ofExternal(
  { metric, target: wanted }: NonNullable<MetricSpec['external']>,
  target: Target,
  client: MetricsClient,
): Promise<Proposal> {
  const reason = 'FailedGetExternalMetric'
  const layer = `failed to get ${metric.name} external metric value`
  const name = `external metric ${metric.name}(${textOf(metric.selector)})`
  const proposal = (replicas: number, current: MetricValueStatus): Proposal => ({
    replicas,
    name,
    status: { type: 'External', external: { metric, current } },
  })
  const value = () =>
    client.external(metric, target.namespace).then(sum, (e: unknown) => {
      const of = `${target.namespace}/${metric.name}/${textOf(metric.selector)}`
      throw new Error(`unable to get external metric ${of}: ${(e as Error).message}`)
    })
  if (wanted.averageValue !== undefined)
    try {
      const share = quantityMilliValue(wanted.averageValue)
      const { replicas, average } = replicasByShare(target.there, await value(), share, target.tolerances)
      return proposal(replicas, { averageValue: milli(average) })
    } catch (e) {
      return failure(reason, layer, `failed to get ${metric.name} external metric`)(e)
    }
  if (wanted.value !== undefined)
    try {
      const now = await value()
      return proposal(replicasByRatio(target, now / quantityMilliValue(wanted.value)), { value: milli(now) })
    } catch (e) {
      return failure(reason, layer, `failed to get external metric ${metric.name}`)(e)
    }
  return failure(reason, layer)(new Error('invalid external metric source: neither a value target nor an average value target was set'))
}

/** A LabelSelector as Go prints it (`%+v`). */
function textOf(selector: LabelSelector | undefined): string {
  if (!selector) return 'nil'
  const labels = Object.entries(selector.matchLabels ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}: ${value},`)
  const expressions = (selector.matchExpressions ?? []).map(
    e => `LabelSelectorRequirement{Key:${e.key},Operator:${e.operator},Values:[${(e.values ?? []).join(' ')}],},`,
  )
  return `&LabelSelector{MatchLabels:map[string]string{${labels.join('')}},MatchExpressions:[]LabelSelectorRequirement{${expressions.join('')}},}`
}
