/** This node's Node object: pure, from the machine and the flags. */
import type { Node, NodeCondition, NodeStatus, Taint } from '#shared/api/core/node.ts'
import { isExtendedResource } from '#shared/api/core/resourcenames.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { machineAnnotation } from '#shared/network/machine.ts'
import { networkLabel } from '#shared/scheduling/hostports.ts'
import type { Capabilities } from '../../capabilities.ts'
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import { nodeResources, type NodeCapacity, type Reservations } from './allocatable.ts'
import type { ContainerImage } from './images.ts'
import type { Machine } from './machine.ts'
import type { Pressure } from '../eviction/state.ts'

export const kubeletVersion = 'v1.35.0'
/** Where it is asked directly. */
export const kubeletPort = 10_250

export interface NodeOptions {
  name: string
  ip: string
  podCIDR: string
  /** Where other machines reach the one that it shares with other nodes. */
  machineAddress?: string | undefined
  /** On a node of both families. */
  ipv6?: { nodeIP: string; podCIDR: string } | undefined
  capacity: NodeCapacity
  reservations: Reservations
  /** What a new Node begins with. */
  taints?: Taint[] | undefined
  /** Beside the usual ones. */
  labels?: Readonly<Record<string, string>> | undefined
  capabilities: Capabilities
  runtimeVersion: string
  handlers?: ContainerRuntime['handlers']
  machine: Machine
  /** Asked for each report: the images that it has; undefined when that cannot be told. */
  images?: () => Promise<ContainerImage[] | undefined>
  /** Asked for each report: what the node is short of. */
  pressures?: () => ReadonlySet<Pressure>
  /** Extended resources of device plugins, asked for each report. */
  devices?: (() => Record<'capacity' | 'allocatable', { [resource: string]: string }>) | undefined
  /** Asked for each report: the attached volumes that pods use or may begin to use. */
  volumesInUse?: () => Promise<string[]>
  /** Has it called whenever what is asked for each report has changed. */
  changes?: (changed: () => void) => void
  /** Why the node is not ready. */
  notReady?: () => string | undefined
}

export function nodeLabels({ name, machine, capabilities, labels }: NodeOptions): { [key: string]: string } {
  return {
    ...labels,
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

/** Four conditions in upstream's words; `notReady` says why it is not. */
export function nodeConditions(
  previous: readonly NodeCondition[] | undefined,
  now: Date,
  pressures: ReadonlySet<Pressure>,
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
  const pressure = (type: Pressure, [reason, message]: [string, string], [calm, well]: [string, string]): NodeCondition =>
    pressures.has(type) ? condition(type, 'True', reason, message) : condition(type, 'False', calm, well)
  return [
    pressure(
      'MemoryPressure',
      ['KubeletHasInsufficientMemory', 'kubelet has insufficient memory available'],
      ['KubeletHasSufficientMemory', 'kubelet has sufficient memory available'],
    ),
    pressure(
      'DiskPressure',
      ['KubeletHasDiskPressure', 'kubelet has disk pressure'],
      ['KubeletHasNoDiskPressure', 'kubelet has no disk pressure'],
    ),
    pressure(
      'PIDPressure',
      ['KubeletHasInsufficientPID', 'kubelet has insufficient PID available'],
      ['KubeletHasSufficientPID', 'kubelet has sufficient PID available'],
    ),
    notReady === undefined
      ? condition('Ready', 'True', 'KubeletReady', 'kubelet is posting ready status')
      : condition('Ready', 'False', 'KubeletNotReady', notReady),
  ]
}

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
  const own = nodeResources(o.capacity, o.reservations)
  const devices = o.devices?.()
  return {
    capacity: { ...own.capacity, ...devices?.capacity },
    allocatable: { ...own.allocatable, ...devices?.allocatable },
    conditions: nodeConditions(previous?.conditions, now, o.pressures?.() ?? new Set(), o.notReady?.()),
    addresses: [
      { type: 'InternalIP', address: o.ip },
      ...(o.ipv6 ? [{ type: 'InternalIP', address: o.ipv6.nodeIP }] : []),
      { type: 'Hostname', address: o.name },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: kubeletPort } },
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
      ...(machine.swapBytes === undefined ? {} : { swap: { capacity: machine.swapBytes } }),
    },
    runtimeHandlers: [...(o.handlers ?? [])].map(([name, { recursiveReadOnlyMounts, userNamespaces }]) => ({
      name,
      features: { recursiveReadOnlyMounts, userNamespaces },
    })),
    features: { supplementalGroupsPolicy: o.capabilities.runtime === 'oci' },
  }
}

const attachDetachAnnotation = 'volumes.kubernetes.io/controller-managed-attach-detach'
export const nodeAnnotations = ({ machineAddress }: Pick<NodeOptions, 'machineAddress'>): { [key: string]: string } => ({
  [attachDetachAnnotation]: 'true',
  ...(machineAddress === undefined ? {} : { [machineAnnotation]: machineAddress }),
})

export function newNode(o: NodeOptions, now: Date): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: o.name, labels: nodeLabels(o), annotations: nodeAnnotations(o) },
    spec: {
      podCIDR: o.podCIDR,
      podCIDRs: [o.podCIDR, ...(o.ipv6 ? [o.ipv6.podCIDR] : [])],
      ...(o.taints?.length ? { taints: o.taints } : {}),
    },
    status: nodeStatus(o, undefined, now),
  }
}
