/**
 * A hollow node: it speaks a kubelet's protocol (Node, Lease, pods by node, their statuses, their deletion) over the bus with its own
 * credentials, and runs nothing. Many of them fit into one process, so that a control plane can be tried at sizes that no machine has.
 */
import { nodes, pods } from '#shared/api/kinds.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import { connectBus } from '#shared/bus/connection.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import { newClient } from '#shared/client/rest.ts'
import { startInformer } from '#shared/client/reflector.ts'
import type { Logger } from '#shared/component/log.ts'
import { isConflict, isNotFound } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { keepLease } from '#node-agent/kubelet/node/lease.ts'
import { machineCapacity } from '#node-agent/kubelet/node/allocatable.ts'
import { keepStatus, registerNode } from '#node-agent/kubelet/node/registration.ts'
import type { NodeOptions } from '#node-agent/kubelet/node/object.ts'

export interface HollowOptions {
  /** Its number decides name and addresses: `hollow-17`, 10.64.17.0/24. */
  number: number
  natsUrl: string
  /** Of `system:node:<name>`. */
  credsFile: string
  maxPods: number
  leaseSeconds: number
  statusMs: number
  log: Logger
}

export const hollowName = (n: number): string => `hollow-${n}`
const subnet = (n: number): string => `10.${64 + Math.floor(n / 250)}.${n % 250}`

const hardware = { cpus: 32, memoryBytes: 64 * 2 ** 30, diskBytes: 2 ** 40, maxPids: 32_768 }

const about = ({ number, maxPods }: HollowOptions): NodeOptions => ({
  name: hollowName(number),
  ip: `192.168.${Math.floor(number / 250)}.${(number % 250) + 1}`,
  podCIDR: `${subnet(number)}.0/24`,
  capacity: machineCapacity(hardware, maxPods),
  reservations: { kubeReserved: {}, systemReserved: {}, thresholds: [] },
  capabilities: { runtime: 'process', network: 'bridge', proxy: 'userspace' },
  runtimeVersion: 'hollow',
  machine: {
    architecture: 'amd64',
    ...hardware,
    machineID: `hollow${number}`,
    systemUUID: `hollow${number}`,
    bootID: `hollow${number}`,
    kernelVersion: '6.1.0',
    osImage: 'hollow',
  },
})

/** The status of a pod all of whose containers run and are ready. */
function running(pod: Pod, hostIP: string, podIP: string): NonNullable<Pod['status']> {
  const now = formatTime()
  const condition = (type: string) => ({ type, status: 'True', lastProbeTime: null as unknown as string, lastTransitionTime: now })
  return {
    phase: 'Running',
    conditions: ['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady'].map(condition),
    hostIP,
    hostIPs: [{ ip: hostIP }],
    podIP,
    podIPs: [{ ip: podIP }],
    startTime: now,
    containerStatuses: pod.spec.containers.map(c => ({
      name: c.name,
      image: c.image ?? '',
      imageID: `hollow://${c.image}`,
      containerID: `hollow://${pod.metadata.uid}-${c.name}`,
      ready: true,
      started: true,
      restartCount: 0,
      state: { running: { startedAt: now } },
    })) as NonNullable<Pod['status']>['containerStatuses'],
  }
}

/** Resolves when the node is registered and follows its pods; ends with `all`. Its Node stays. */
export async function startHollowNode(options: HollowOptions, all: AbortSignal): Promise<{ stopped: Promise<void> }> {
  // Of its own: who listens to a signal is looked for among all that do.
  const signal = AbortSignal.any([all])
  const { natsUrl, credsFile, log, number } = options
  const bus = await connectBus({ url: natsUrl, credsFile, log })
  const client = newClient(natsTransport(bus), { userAgent: 'kubelet' })
  const node = about(options)
  let registered: Node = await registerNode(client, node, log, signal)
  const informer = startInformer<Node>(client, nodes, { name: node.name, log }, signal)
  let address = 1

  /** Tries until the API has taken it, or the pod is not there any more. */
  async function insist(pod: Pod, write: () => Promise<unknown>): Promise<void> {
    for (const pause = backoff(100, 5_000); !signal.aborted; await sleep(pause.next(), signal)) {
      try {
        return void (await write())
      } catch (e) {
        if (isNotFound(e) || isConflict(e)) return
        log.debug({ pod: pod.metadata.name, err: (e as Error).message }, 'a write of a hollow node failed')
      }
    }
  }
  /** Pods that we have started, and pods that we have ended, by UID. */
  const started = new Set<string>()
  const ended = new Set<string>()
  startInformer<Pod>(client, pods, { fieldSelector: `spec.nodeName=${node.name}`, log }, signal).subscribe(({ type, object: pod }) => {
    const { namespace = '', name = '', uid = '', deletionTimestamp } = pod.metadata
    if (type === 'DELETED') {
      started.delete(uid)
      ended.delete(uid)
    } else if (deletionTimestamp && !ended.has(uid)) {
      ended.add(uid)
      void insist(pod, () => client.delete(pods, namespace, name, { gracePeriodSeconds: 0, preconditions: { uid } }))
    } else if (!deletionTimestamp && !started.has(uid) && pod.status?.phase === 'Pending') {
      started.add(uid)
      const status = running(pod, node.ip, `${subnet(number)}.${1 + (address++ % 250)}`)
      void insist(pod, () => client.patch(pods, namespace, name, 'strategic', { metadata: { uid }, status }, 'status'))
    }
  })
  const work = Promise.all([
    keepLease(client, () => registered, options.leaseSeconds, log, signal),
    keepStatus(
      client,
      node,
      () => registered,
      informer,
      options.statusMs,
      n => (registered = n),
      log,
      signal,
    ),
  ])
  return { stopped: work.then(() => bus.close()) }
}
