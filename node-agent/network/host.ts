/** The `host` network: every pod uses the node's own address and ports. Nothing is made, so nothing is left behind. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { PodNetwork } from './network.ts'

export function openHostNetwork(nodeIP: string): PodNetwork {
  return {
    name: 'host',
    unsupported: hostUnsupported,
    setUp: () => Promise.resolve({ ip: nodeIP, namespacePath: 'node' }),
    tearDown: () => Promise.resolve(),
    retain: () => Promise.resolve(),
  }
}

/** What a pod without a network of its own cannot have. */
export function hostUnsupported({ spec }: Pod): string[] {
  const moved = [...spec.containers, ...(spec.initContainers ?? [])].flatMap(c =>
    (c.ports ?? [])
      .filter(p => p.hostPort && p.hostPort !== p.containerPort)
      .map(p => `hostPort ${p.hostPort} of container ${c.name} (every pod has the node's ports: it is reached at ${p.containerPort})`),
  )
  const sysctls = (spec.securityContext?.sysctls ?? []).filter(s => s.name.startsWith('net.')).map(s => `sysctl ${s.name}`)
  return [...moved, ...sysctls]
}
