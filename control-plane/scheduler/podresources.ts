/** /metrics/resources: what every pod asks for, and its limits. pkg/scheduler/metrics/resources */
import type { Registry } from 'prom-client'
import { isPodFinished } from '#shared/api/core/pod.ts'
import { podLimits, podRequests, type ResourceList } from '#shared/api/core/podspec/resources.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { addMetric, type Sample } from '#shared/component/metrics.ts'
import { quantityFloat } from '#shared/machinery/quantity.ts'

const units: Readonly<Record<string, string>> = { cpu: 'cores', memory: 'bytes', storage: 'bytes', 'ephemeral-storage': 'bytes' }
const unitOf = (resource: string): string => units[resource] ?? (resource.startsWith('hugepages-') ? 'bytes' : '')

function samplesOf({ metadata: { namespace = '', name = '' }, spec }: Pod, amounts: ResourceList): Sample[] {
  const { nodeName: node = '', schedulerName: scheduler = '', priority } = spec
  const of = { namespace, pod: name, node, scheduler, priority: priority === undefined ? '' : String(priority) }
  return Object.entries(amounts).flatMap(([resource, amount]): Sample[] => {
    const value = quantityFloat(amount)
    return value === 0 ? [] : [{ labels: { ...of, resource, unit: unitOf(resource) }, value }]
  })
}

/** Adds both metrics; `pods` are asked for when somebody looks. Pods that have ended ask for nothing. */
export function registerPodResources(registry: Registry, pods: () => readonly Pod[]): void {
  const add = (name: string, what: string, amountsOf: (pod: Pod) => ResourceList): void =>
    addMetric(
      registry,
      name,
      'gauge',
      `Resources ${what} on the cluster, broken down by pod. This shows the resource usage the scheduler and kubelet expect per pod for resources along with the unit for the resource if any.`,
      () => pods().flatMap(pod => (pod.spec.nodeName && isPodFinished(pod) ? [] : samplesOf(pod, amountsOf(pod)))),
    )
  add('kube_pod_resource_request', 'requested by workloads', pod => podRequests(pod.spec))
  add('kube_pod_resource_limit', 'limit for workloads', pod => podLimits(pod.spec))
}
