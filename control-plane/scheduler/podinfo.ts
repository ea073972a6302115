/** A pod with what the scheduler counts of it, worked out once. */
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { podRequests } from '#shared/api/core/podspec/resources.ts'
import { containerPortsOf, hostPortsOf, type HostPort } from '#shared/scheduling/hostports.ts'
import { podAffinityOf, type PodAffinity } from './podaffinity.ts'
import { resourcesOf, type Resources } from './resources.ts'

export interface PodInfo {
  readonly uid: string
  /** Replaced by a newer version that counts the same. */
  pod: Pod
  readonly priority: number
  readonly requests: Resources
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

const assumedMilliCPU = 100
const assumedMemoryBytes = 200 * 1024 * 1024
const none: readonly HostPort[] = []

const ownerOf = (pod: Pod): string | undefined => pod.metadata.ownerReferences?.find(o => o.controller)?.uid

export function podInfo(pod: Pod): PodInfo {
  const { spec, metadata } = pod
  const requests = resourcesOf(podRequests(spec))
  const without = (name: string): number => {
    let n = 0
    for (const c of spec.containers) if (!c.resources?.requests?.[name]) n++
    return n
  }
  const listens = spec.containers.some(c => c.ports?.length) || spec.initContainers?.some(c => c.ports?.length)
  return {
    uid: metadata.uid ?? '',
    pod,
    priority: spec.priority ?? 0,
    requests,
    nonZeroMilliCPU: requests.milliCPU + without('cpu') * assumedMilliCPU,
    nonZeroMemory: requests.memory + without('memory') * assumedMemoryBytes,
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

/** Whether a newer version of the pod counts as the one that is known: only its status, or what the scheduler never reads, changed. */
export function countsAs(known: PodInfo, pod: Pod): boolean {
  const before = known.pod.metadata
  return (
    pod.metadata.generation !== undefined &&
    pod.metadata.generation === before.generation &&
    (pod.metadata.deletionTimestamp !== undefined) === known.terminating &&
    ownerOf(pod) === known.owner &&
    sameLabels(pod.metadata.labels, before.labels)
  )
}
