/** A pod with what the scheduler counts of it, worked out once. */
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { inForce, isResizing } from '#shared/api/core/podspec/inforce.ts'
import { isPodLevelResource, podRequests, type Asking } from '#shared/api/core/podspec/resources.ts'
import { containerPortsOf, hostPortsOf, type HostPort } from '#shared/scheduling/hostports.ts'
import { podAffinityOf, type PodAffinity } from './podaffinity.ts'
import { resourcesOf, type Resources } from './resources.ts'

export interface PodInfo {
  readonly uid: string
  /** Replaced by a newer version that counts the same. */
  pod: Pod
  readonly priority: number
  /** While the pod is being resized, whichever is more: what it shall have or what it has. */
  readonly requests: Resources
  readonly resizing: boolean
  /** cpu and memory with upstream's assumption for containers that request nothing, so that those spread too. */
  readonly nonZeroMilliCPU: number
  readonly nonZeroMemory: number
  /** The ports it asks for: where pods have addresses of their own, and where they share the node's. */
  readonly hostPorts: readonly HostPort[]
  readonly containerPorts: readonly HostPort[]
  /** UID of its controller. */
  readonly owner: string | undefined
  readonly terminating: boolean
  readonly affinity: PodAffinity | undefined
}

const assumed = { cpu: '100m', memory: '200Mi' }
const assumedMilliCPU = 100
const assumedMemoryBytes = 200 * 1024 * 1024
const none: readonly HostPort[] = []

/** UID of the controller. */
export const ownerOf = (pod: Pod): string | undefined => pod.metadata.ownerReferences?.find(o => o.controller)?.uid

/** Requests with what is assumed; of a pod that asks as a whole only for what nobody of it asks for. */
function nonZero(asking: Asking, { milliCPU, memory }: Resources): { milliCPU: number; memory: number } {
  const whole = Object.keys(asking.resources?.requests ?? {}).some(isPodLevelResource)
  if (!whole && !asking.initContainers?.length) {
    for (const { resources } of asking.containers) {
      if (!resources?.requests?.['cpu']) milliCPU += assumedMilliCPU
      if (!resources?.requests?.['memory']) memory += assumedMemoryBytes
    }
    return { milliCPU, memory }
  }
  const more = whole ? { ...(milliCPU ? {} : { cpu: assumed.cpu }), ...(memory ? {} : { memory: assumed.memory }) } : assumed
  const filled = <C extends Asking['containers'][number]>(containers: readonly C[] = []) =>
    containers.map(c => ({ ...c, resources: { ...c.resources, requests: { ...more, ...c.resources?.requests } } }))
  return resourcesOf(podRequests({ ...asking, containers: filled(asking.containers), initContainers: filled(asking.initContainers) }))
}

export function podInfo(pod: Pod): PodInfo {
  const { spec, metadata } = pod
  const asking = inForce(pod)
  const requests = resourcesOf(podRequests(asking))
  const { milliCPU, memory } = nonZero(asking, requests)
  const listens = spec.containers.some(c => c.ports?.length) || spec.initContainers?.some(c => c.ports?.length)
  return {
    uid: metadata.uid ?? '',
    pod,
    priority: spec.priority ?? 0,
    requests,
    resizing: asking !== spec,
    nonZeroMilliCPU: milliCPU,
    nonZeroMemory: memory,
    hostPorts: listens ? hostPortsOf(pod) : none,
    containerPorts: listens ? containerPortsOf(pod) : none,
    owner: ownerOf(pod),
    terminating: metadata.deletionTimestamp !== undefined,
    affinity: podAffinityOf(pod),
  }
}

function sameLabels(a: Readonly<Record<string, string>> = {}, b: Readonly<Record<string, string>> = {}): boolean {
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every(k => a[k] === b[k])
}

/** Whether a newer version of the pod counts as the one that is known: only what the scheduler does not count by changed. */
export function countsAs(known: PodInfo, pod: Pod): boolean {
  const before = known.pod.metadata
  return (
    pod.metadata.generation !== undefined &&
    pod.metadata.generation === before.generation &&
    !known.resizing &&
    !isResizing(pod) &&
    (pod.metadata.deletionTimestamp !== undefined) === known.terminating &&
    ownerOf(pod) === known.owner &&
    sameLabels(pod.metadata.labels, before.labels)
  )
}
