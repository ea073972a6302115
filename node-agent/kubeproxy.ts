/** The node's kube-proxy: the mode that the node can, its health, and the health check ports of Services. */
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { Client } from '#shared/client/client.ts'
import { eventRecorder } from '#shared/client/events.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { Logger } from '#shared/component/log.ts'
import { ipBatch } from '#shared/linux/ip.ts'
import type { Capabilities } from './capabilities.ts'
import { proxyAnswers, serveAnswers } from './healthz.ts'
import type { NodeAgentOptions } from './options.ts'
import { proxyConfiguration } from './proxy/configz.ts'
import { serveHealthChecks } from './proxy/healthcheck.ts'
import { startProxy } from './proxy/proxy.ts'
import { newProxyStatus } from './proxy/status.ts'
import { setConntrackSysctls } from './proxy/sysctls.ts'
import { startUserspaceProxy } from './proxy/userspace.ts'

export interface KubeProxyParts {
  client: Client
  can: Capabilities
  services: Informer<Service>
  endpointSlices: Informer<EndpointSlice>
  nodes: Informer<Node>
  /** As it is known best. */
  node: () => Node
  log: Logger
}

export async function startKubeProxy(
  options: NodeAgentOptions & { podCidr: string },
  parts: KubeProxyParts,
  signal: AbortSignal,
): Promise<void> {
  const { nodeName, nodeIp } = options
  const { client, can, services, endpointSlices, nodes, node, log } = parts
  const status = newProxyStatus()
  const recorder = eventRecorder(client, 'kube-proxy', nodeName, log)
  serveHealthChecks({ services, endpointSlices, recorder, nodeName, isHealthy: status.isHealthy, log }, signal)
  const common = { services, endpointSlices, nodes, status, nodeName, log }
  if (can.proxy === 'nftables') {
    setConntrackSysctls(log)
    const { clusterCidr: clusterCIDR, serviceClusterIpRange: serviceCIDR, podCidr: podCIDR } = options
    startProxy({ ...common, family: 'IPv4', nodeIPs: [nodeIp], clusterCIDR, serviceCIDR, podCIDR }, signal)
    const { ipv6 } = options
    // The metrics are the first family's.
    if (ipv6) {
      const { nodeIP, ...ranges } = ipv6
      startProxy({ ...common, ...ranges, status: newProxyStatus(), family: 'IPv6', nodeIPs: [nodeIP] }, signal)
    }
  } else {
    // Every address of the range is the node's own: that is enough to listen on it, and for packets of pods to arrive.
    if (can.network !== 'host') await ipBatch([`route replace local ${options.serviceClusterIpRange} dev lo`])
    const nodeAddresses = can.network === 'host' ? [...new Set([nodeIp, '127.0.0.1'])] : [nodeIp]
    startUserspaceProxy({ ...common, recorder, nodeAddresses }, signal)
  }
  const answers = proxyAnswers(can.proxy, node, status, proxyConfiguration(can.proxy, options))
  serveAnswers('0.0.0.0', 10_256, answers.health, log, signal)
  serveAnswers('127.0.0.1', 10_249, answers.metrics, log, signal)
}
