/** Egress addresses of namespaces on a node that is a machine: by what it reads of the cluster, and the way to the first machine. */
import { namespaces, pods } from '#shared/api/kinds.ts'
import { startInformer } from '#shared/client/reflector.ts'
import type { RestClient } from '#shared/client/rest.ts'
import type { Logger } from '#shared/component/log.ts'
import { hopTo } from '#shared/network/machine.ts'
import { egressAddress, egressAnnotation, keepPodAddress } from '#shared/network/egress.ts'
import { keepEgress } from './network/egress.ts'
import type { Peers } from './network/peers.ts'
import { networkPluginUser } from './networkpolicies.ts'
import type { NodeAgentOptions } from './options.ts'

type Options = Pick<NodeAgentOptions, 'nodeName' | 'clusterCidr' | 'serviceClusterIpRange' | 'loadBalancerIpRange'>

/** Undefined where the node's packets go by the first machine anyway, as it shares that, or where there is none. */
export function startNodeEgress(
  { nodeName, clusterCidr, serviceClusterIpRange, loadBalancerIpRange }: Options,
  { reach, behind = [] }: Peers,
  client: RestClient,
  log: Logger,
  signal: AbortSignal,
): Promise<void> | undefined {
  const [, first] = behind[0] ?? []
  if (first === undefined || reach.gateway !== undefined) return undefined
  const plugin = client.as(networkPluginUser)
  return keepEgress(
    {
      namespaces: startInformer(
        plugin,
        namespaces,
        {
          log,
          strip: namespace => {
            const { name, uid, resourceVersion } = namespace.metadata
            const address = egressAddress(namespace)
            namespace.metadata = { name, uid, resourceVersion, ...(address === '' ? {} : { annotations: { [egressAnnotation]: address } }) }
          },
        },
        signal,
      ),
      followPods: until => startInformer(plugin, pods, { log, fieldSelector: `spec.nodeName=${nodeName}`, strip: keepPodAddress }, until),
      gateway: hopTo(reach, first, first),
      cluster: [
        clusterCidr,
        serviceClusterIpRange,
        ...(loadBalancerIpRange ? [loadBalancerIpRange] : []),
        ...behind.map(([range]) => range),
      ],
      log,
    },
    signal,
  )
}
