/** Host ports of pods and when two of them collide. */
import type { Node } from '../api/core/node.ts'
import type { Pod } from '../api/core/pod.ts'

export interface HostPort {
  ip: string
  port: number
  protocol: string
}

/** Says how a node connects its pods; on `host` all of them have the node's address. */
export const networkLabel = 'coxswain.io/network'
export const sharesAddress = (node: Node | undefined): boolean => node?.metadata.labels?.[networkLabel] === 'host'

type Container = Pick<Pod['spec']['containers'][number], 'ports' | 'restartPolicy'>
/** What of a pod says which ports it takes. */
export interface Listening {
  spec: { containers: readonly Container[]; initContainers?: readonly Container[] | undefined }
}

/** App containers, and init containers that go on running: the others are gone when they come. */
const lasting = (pod: Listening) => [...pod.spec.containers, ...(pod.spec.initContainers ?? []).filter(c => c.restartPolicy === 'Always')]

/** The ports of the node that a pod takes. */
export function hostPortsOf(pod: Listening): HostPort[] {
  return lasting(pod).flatMap(c =>
    (c.ports ?? []).filter(p => p.hostPort).map(p => ({ ip: p.hostIP || '0.0.0.0', port: p.hostPort ?? 0, protocol: p.protocol ?? 'TCP' })),
  )
}

/** The ports that its containers say they listen on: the node's own where pods share its address. */
export function containerPortsOf(pod: Listening): HostPort[] {
  return lasting(pod).flatMap(c => (c.ports ?? []).map(p => ({ ip: '0.0.0.0', port: p.containerPort, protocol: p.protocol ?? 'TCP' })))
}

export const portsOn = (node: Node, pod: Listening): HostPort[] => (sharesAddress(node) ? containerPortsOf(pod) : hostPortsOf(pod))

/** Two claims collide when port and protocol agree and the addresses do, where 0.0.0.0 is all of them. */
export const conflicts = (a: HostPort, b: HostPort): boolean =>
  a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === '0.0.0.0' || b.ip === '0.0.0.0')
