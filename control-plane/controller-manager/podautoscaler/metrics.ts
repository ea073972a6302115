/** Asks the three metrics APIs, which others serve. pkg/controller/podautoscaler/metrics/client.go */
import type { CrossVersionObjectReference, MetricIdentifier } from '#shared/api/autoscaling/metrics.ts'
import type { Client } from '#shared/client/client.ts'
import { parseDuration } from '#shared/machinery/duration.ts'
import { formatSelector, selectorOf } from '#shared/machinery/labels.ts'
import { quantityMilliValue } from '#shared/machinery/quantity.ts'
import { StatusError } from '#shared/machinery/status.ts'
import type { ServedKinds } from '../servedkinds.ts'
import type { PodMetric, PodMetrics } from './replicas.ts'

/** Calls reject with an Error in upstream's words. Values are in thousandths. */
export interface MetricsClient {
  /** What the pods, or their containers of a name, use of a resource. */
  resource(name: string, namespace: string, selector: string, container?: string): Promise<PodMetrics>
  pods(metric: MetricIdentifier, namespace: string, selector: string): Promise<PodMetrics>
  object(metric: MetricIdentifier, namespace: string, of: CrossVersionObjectReference): Promise<number>
  /** One value of each series. */
  external(metric: MetricIdentifier, namespace: string): Promise<readonly number[]>
}

interface PodMetricsItem {
  metadata: { name: string; namespace: string }
  timestamp: string
  window: string
  containers?: { name: string; usage?: Readonly<Record<string, string>> }[]
}
interface MetricValue {
  describedObject: { name: string }
  timestamp: string
  windowSeconds?: number
  value: string
}

/** What a metric without a window was measured over. */
const defaultWindowMs = 60_000
const customVersions = ['v1beta2', 'v1beta1'] as const

const part = encodeURIComponent
const textOf = (selector: MetricIdentifier['selector']): string => formatSelector(selectorOf(selector) ?? [])
const query = (given: Readonly<Record<string, string>>): string => {
  const set = Object.entries(given).filter(([, value]) => value !== '')
  return set.length === 0 ? '' : `?${new URLSearchParams(set).toString()}`
}

export function metricsClient(client: Client, served: () => ServedKinds): MetricsClient {
  async function ask<T>(api: string, path: () => Promise<string> | string): Promise<T> {
    try {
      return await client.raw<T>('GET', await path())
    } catch (e) {
      throw new Error(`unable to fetch metrics from ${api} metrics API: ${(e as Error).message}`)
    }
  }
  async function items<T>(api: string, path: () => Promise<string> | string): Promise<T[]> {
    const { items: found = [] } = await ask<{ items?: T[] }>(api, path)
    if (found.length === 0) throw new Error(`no metrics returned from ${api} metrics API`)
    return found
  }
  /** The root of custom.metrics.k8s.io in the newest version that is served. */
  async function customRoot(): Promise<string> {
    const group = '/apis/custom.metrics.k8s.io'
    const found = await client.raw<{ versions?: { version: string }[] }>('GET', group).catch((e: unknown) => {
      if (e instanceof StatusError && e.code === 404) return undefined
      throw e
    })
    const version = customVersions.find(v => found?.versions?.some(s => s.version === v))
    if (!version) throw new Error('no custom metrics API (custom.metrics.k8s.io) registered')
    return `${group}/${version}`
  }
  /** `deployments.apps`, for the object of a metric. */
  async function resourceOf({ apiVersion = '', kind }: CrossVersionObjectReference): Promise<string> {
    const kinds = served()
    await kinds.known
    const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''
    const found = kinds.current.find(k => k.group === group && k.kind === kind)
    if (found) return group === '' ? found.plural : `${found.plural}.${group}`
    kinds.missing()
    throw new Error(`no matches for kind ${JSON.stringify(kind)} in group ${JSON.stringify(group)}`)
  }

  return {
    async resource(name, namespace, selector, container) {
      const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${part(namespace)}/pods${query({ labelSelector: selector })}`
      const found = await items<PodMetricsItem>('resource', () => path)
      return new Map(found.flatMap(item => measured(item, name, container)))
    },
    async pods({ name, selector: of }, namespace, selector) {
      const asked = query({ labelSelector: selector, metricLabelSelector: textOf(of) })
      const path = async () => `${await customRoot()}/namespaces/${part(namespace)}/pods/*/${part(name)}${asked}`
      const found = await items<MetricValue>('custom', path)
      return new Map(
        found.map(({ describedObject, timestamp, windowSeconds, value }): [string, PodMetric] => [
          describedObject.name,
          {
            value: quantityMilliValue(value),
            at: Date.parse(timestamp),
            windowMs: windowSeconds === undefined ? defaultWindowMs : windowSeconds * 1000,
          },
        ]),
      )
    },
    async object({ name, selector }, namespace, of) {
      const asked = query({ metricLabelSelector: textOf(selector) })
      const path = async () => {
        const root = await customRoot()
        if (of.kind === 'Namespace' && !(of.apiVersion ?? '').includes('/'))
          return `${root}/namespaces/${part(namespace)}/metrics/${part(name)}${asked}`
        return `${root}/namespaces/${part(namespace)}/${part(await resourceOf(of))}/${part(of.name)}/${part(name)}${asked}`
      }
      return quantityMilliValue((await items<MetricValue>('custom', path))[0]!.value)
    },
    async external({ name, selector }, namespace) {
      const asked = query({ labelSelector: textOf(selector) })
      const path = `/apis/external.metrics.k8s.io/v1beta1/namespaces/${part(namespace)}/${part(name)}${asked}`
      return (await items<{ value: string }>('external', () => path)).map(i => quantityMilliValue(i.value))
    },
  }
}

/** What a pod uses, unless one of its containers does not say. */
function measured(item: PodMetricsItem, resource: string, container?: string): [string, PodMetric][] {
  const { metadata, timestamp, window, containers = [] } = item
  const those = container === undefined ? containers : containers.filter(c => c.name === container)
  if (container !== undefined && those.length === 0)
    throw new Error(`container ${container} not present in metrics for pod ${metadata.namespace}/${metadata.name}`)
  const used = those.map(c => c.usage?.[resource])
  if (used.some(u => u === undefined)) return []
  const value = used.reduce((sum, u) => sum + quantityMilliValue(u!), 0)
  return [[metadata.name, { value, at: Date.parse(timestamp), windowMs: parseDuration(window) ?? 0 }]]
}
