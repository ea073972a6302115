/** The pod network of a node, by what it can do and its flags. */
import { join } from 'node:path'
import { pods } from '#shared/api/kinds.ts'
import type { RestClient } from '#shared/client/rest.ts'
import type { Logger } from '#shared/component/log.ts'
import type { Capabilities } from '../capabilities.ts'
import type { NodeAgentOptions } from '../options.ts'
import { withAttachments } from './attachments/attachments.ts'
import { definitionsOf } from './attachments/definitions.ts'
import { openBridgeNetwork } from './bridge.ts'
import { cniPaths, openCniNetwork, prepareCniDirectories } from './cni/cni.ts'
import { openHostNetwork } from './host.ts'
import type { PodNetwork } from './network.ts'

/** Of a service account that need not exist: its name is enough for its roles. */
const attachmentsUser = 'system:serviceaccount:kube-system:network-attachments'

export interface NodeNetworkOptions {
  /** The node's state directory, by its real path. */
  rootDir: string
  podCidr: string
  /** Of pods' links. */
  mtu: number | undefined
  /** The node's. It reads definitions of networks, as the user of a plugin that reads them. */
  client: RestClient
  log: Logger
}

export async function openPodNetwork(
  { network: kind }: Pick<Capabilities, 'network'>,
  flags: NodeAgentOptions,
  { rootDir, podCidr, mtu, client, log }: NodeNetworkOptions,
): Promise<PodNetwork> {
  if (kind === 'host') return openHostNetwork(flags.nodeIp)
  const ranges = {
    podCIDR: podCidr,
    clusterCIDR: flags.clusterCidr,
    serviceCIDR: flags.serviceClusterIpRange,
    nonMasqueradeCIDRs: flags.nonMasqueradeCidr,
    loadBalancerCIDR: flags.loadBalancerIpRange,
    ipv6: flags.ipv6,
  }
  const cni = { rootDir, conf: flags.cniConf, binDirs: flags.cniBinDir }
  const network = await (kind === 'cni'
    ? openCniNetwork({ ...ranges, ...cni, log })
    : openBridgeNetwork({ ...ranges, nodeIP: flags.nodeIp, ...(mtu === undefined ? {} : { mtu }), log }))
  const { configurations, programs } = cniPaths(cni)
  return withAttachments(network, {
    directory: join(rootDir, 'cni', 'attachments'),
    programs,
    prepare: () => prepareCniDirectories(rootDir),
    find: definitionsOf(client.as(attachmentsUser), configurations, log),
    // As a part of the status: a node may write no more of a pod.
    annotate: async ({ namespace, name, uid }, annotations) =>
      void (await client.patch(pods, namespace, name, 'merge', { metadata: { uid, annotations } }, 'status')),
    log,
  })
}
