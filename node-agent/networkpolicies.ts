/** A node's network policies: by what it reads of the cluster, and as whom. */
import { namespaces, networkPolicies, pods } from '#shared/api/kinds.ts'
import { startInformer } from '#shared/client/reflector.ts'
import type { RestClient } from '#shared/client/rest.ts'
import type { Logger } from '#shared/component/log.ts'
import type { IPFamily } from '#shared/machinery/ip.ts'
import { startNetworkPolicies, type NetworkPolicies } from './networkpolicy/networkpolicy.ts'
import { keepPodFacts } from './networkpolicy/podfacts.ts'

/** Of a service account that need not exist: its name is enough for its roles. */
export const networkPluginUser = 'system:serviceaccount:kube-system:network-policy'

export interface NodePoliciesOptions {
  nodeName: string
  families: readonly IPFamily[]
  /** The node's. It reads its own pods alone; for policies it reads what a network plugin's DaemonSet reads, as the user of such a one. */
  client: RestClient
  log: Logger
}

export function startNodePolicies({ nodeName, families, client, log }: NodePoliciesOptions, signal: AbortSignal): NetworkPolicies {
  const plugin = client.as(networkPluginUser)
  return startNetworkPolicies(
    {
      nodeName,
      families,
      policies: startInformer(plugin, networkPolicies, { log }, signal),
      follow: until => ({
        pods: startInformer(plugin, pods, { log, strip: keepPodFacts }, until),
        namespaces: startInformer(plugin, namespaces, { log }, until),
      }),
      log,
    },
    signal,
  )
}
