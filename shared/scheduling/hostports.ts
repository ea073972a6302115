/** Host ports of pods and when two of them collide. */
import type { Pod } from '../api/core/pod.ts'

export interface HostPort {
  ip: string
  port: number
  protocol: string
}

/** The ports of the node that a pod takes: of app containers and of init containers that go on running. */
export function hostPortsOf(pod: Pod): HostPort[] {
  const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? []).filter(c => c.restartPolicy === 'Always')]
  return containers.flatMap(c => (c.ports ?? []).filter(p => p.hostPort).map(p => ({ ip: p.hostIP || '0.0.0.0', port: p.hostPort ?? 0, protocol: p.protocol ?? 'TCP' })))
}

/** Two claims collide when port and protocol agree and the addresses do, where 0.0.0.0 is all of them. */
export const conflicts = (a: HostPort, b: HostPort): boolean => a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === '0.0.0.0' || b.ip === '0.0.0.0')
