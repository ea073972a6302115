/** This node's Node object: pure, from the machine and the flags. */
import type { Node, NodeCondition, NodeStatus } from '#shared/api/core/node.ts'
import { isExtendedResource } from '#shared/api/core/resourcenames.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { networkLabel } from '#shared/scheduling/hostports.ts'
import type { Capabilities } from '../../capabilities.ts'
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import type { Machine } from './machine.ts'

export const kubeletVersion = 'v1.35.0'

export interface NodeOptions {
  name: string
  ip: string
  podCIDR: string
  maxPods: number
  capabilities: Capabilities
  runtimeVersion: string
  handlers?: ContainerRuntime['handlers']
  machine: Machine
  /** Asked for each report. */
  diskPressure?: () => boolean
  /** Why the node is not ready. */
  notReady?: () => string | undefined
}

export function nodeLabels({ name, machine, capabilities }: NodeOptions): { [key: string]: string } {
  return {
    'beta.kubernetes.io/arch': machine.architecture,
    'beta.kubernetes.io/os': process.platform,
    'kubernetes.io/arch': machine.architecture,
    'kubernetes.io/hostname': name,
    'kubernetes.io/os': process.platform,
    'coxswain.io/runtime': capabilities.runtime,
    [networkLabel]: capabilities.network,
    'coxswain.io/proxy': capabilities.proxy,
  }
}

const kibi = (bytes: number): string => `${Math.floor(bytes / 1024)}Ki`
// Upstream's default hard eviction thresholds: memory.available<100Mi, nodefs.available<10%.
const evictionMemory = 100 * 1024 * 1024
const evictionDisk = 0.1

/**
 * Four conditions in upstream's words; `notReady` says why it is not, `diskPressure` that the disk of the node's state directory is nearly
 * full.
 */
export function nodeConditions(
  previous: readonly NodeCondition[] | undefined,
  now: Date,
  diskPressure: boolean,
  notReady?: string,
): NodeCondition[] {
  const condition = (type: string, status: string, reason: string, message: string): NodeCondition => {
    const old = previous?.find(c => c.type === type)
    return {
      type,
      status,
      lastHeartbeatTime: formatTime(now),
      lastTransitionTime: old?.status === status && old.lastTransitionTime ? old.lastTransitionTime : formatTime(now),
      reason,
      message,
    }
  }
  return [
    condition('MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
    diskPressure
      ? condition('DiskPressure', 'True', 'KubeletHasDiskPressure', 'kubelet has disk pressure')
      : condition('DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
    condition('PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
    notReady === undefined
      ? condition('Ready', 'True', 'KubeletReady', 'kubelet is posting ready status')
      : condition('Ready', 'False', 'KubeletNotReady', notReady),
  ]
}

/** What pods may use of the node: all but what the eviction of pods must leave; and most of the kernel's process numbers. */
export const allocatable = ({ machine }: NodeOptions): { milliCPU: number; memoryBytes: number; pids: number } => ({
  milliCPU: machine.cpus * 1000,
  memoryBytes: machine.memoryBytes - evictionMemory,
  pids: Math.floor(machine.maxPids * 0.9),
})

/**
 * What pods may use of extended resources: all that somebody has written into the node's capacity; null for what is there no more, as a
 * patch takes it away.
 */
export function extendedAllocatable(status: NodeStatus | undefined): Record<string, string | null> {
  const { capacity = {}, allocatable: before = {} } = status ?? {}
  const gone = Object.keys(before).filter(name => isExtendedResource(name) && capacity[name] === undefined)
  return Object.fromEntries([
    ...Object.entries(capacity).filter(([name]) => isExtendedResource(name)),
    ...gone.map(name => [name, null] as const),
  ])
}

export function nodeStatus(o: NodeOptions, previous: NodeStatus | undefined, now: Date): NodeStatus {
  const { machine } = o
  const common = { 'hugepages-1Gi': '0', 'hugepages-2Mi': '0', pods: String(o.maxPods) }
  return {
    capacity: { cpu: String(machine.cpus), 'ephemeral-storage': kibi(machine.diskBytes), ...common, memory: kibi(machine.memoryBytes) },
    allocatable: {
      cpu: String(machine.cpus),
      'ephemeral-storage': String(Math.floor(machine.diskBytes * (1 - evictionDisk))),
      ...common,
      memory: kibi(allocatable(o).memoryBytes),
    },
    conditions: nodeConditions(previous?.conditions, now, o.diskPressure?.() ?? false, o.notReady?.()),
    addresses: [
      { type: 'InternalIP', address: o.ip },
      { type: 'Hostname', address: o.name },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: 0 } },
    nodeInfo: {
      machineID: machine.machineID,
      systemUUID: machine.systemUUID,
      bootID: machine.bootID,
      kernelVersion: machine.kernelVersion,
      osImage: machine.osImage,
      containerRuntimeVersion: `${o.capabilities.runtime}://${o.runtimeVersion}`,
      kubeletVersion,
      kubeProxyVersion: '',
      operatingSystem: process.platform,
      architecture: machine.architecture,
    },
    runtimeHandlers: [...(o.handlers ?? [])].map(([name, features]) => ({ name, features })),
    features: { supplementalGroupsPolicy: o.capabilities.runtime === 'oci' },
  }
}

export function newNode(o: NodeOptions, now: Date): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: o.name, labels: nodeLabels(o), annotations: { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' } },
    spec: { podCIDR: o.podCIDR, podCIDRs: [o.podCIDR] },
    status: nodeStatus(o, undefined, now),
  }
}
