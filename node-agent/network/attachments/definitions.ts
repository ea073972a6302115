/**
 * NetworkAttachmentDefinitions: networks that pods can ask for, as objects of the API or, without a configuration in them, files of the
 * node.
 */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { findNetwork, parseNetwork, type NetworkConfig } from '../cni/config.ts'
import type { Selection } from './selection.ts'

interface NetworkAttachmentDefinition extends KubeObject {
  spec?: { config?: string }
}
const definitions: Kind<NetworkAttachmentDefinition> = {
  group: 'k8s.cni.cncf.io',
  version: 'v1',
  kind: 'NetworkAttachmentDefinition',
  plural: 'network-attachment-definitions',
  namespaced: true,
}

/** The network that a pod's annotation selects. Rejects when there is none, or it cannot be read. */
export type FindDefinition = (selection: Pick<Selection, 'namespace' | 'name'>) => Promise<NetworkConfig>

/** `places` are those of the node's own configurations. */
export const definitionsOf =
  (client: Client, places: readonly string[], log: Logger): FindDefinition =>
  async ({ namespace, name }) => {
    const found = await client.get(definitions, namespace, name).catch((e: unknown) => {
      if (e instanceof StatusError && e.code === 404)
        throw new Error(`cannot find a network-attachment-definition (${name}) in namespace (${namespace})`)
      throw e
    })
    const config = found.spec?.config ?? ''
    try {
      const network = config === '' ? findNetwork(places, log, name) : parseNetwork(config, name)
      if (network) return network
    } catch (e) {
      throw new Error(`network-attachment-definition ${namespace}/${name}: ${(e as Error).message}`)
    }
    throw new Error(`network-attachment-definition ${namespace}/${name} has no config, and the node has no configuration of that name`)
  }
