/**
 * What a machine has to know of a cluster before it can be one of its nodes: a ConfigMap that `cox token create` writes, as kubeadm does
 * with `kubelet-config`, for those that bring a token and for the nodes.
 */
import * as z from 'zod'
import { configMaps, roleBindings, roles } from '#shared/api/kinds.ts'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { Client } from '#shared/client/client.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { ensure } from './ensure.ts'
import type { Addresses } from './state.ts'

export const joinConfigName = 'coxswain-node-join'
const namespace = 'kube-system'
const key = 'config.json'

const cidr = z.string().regex(/^\d+\.\d+\.\d+\.\d+\/\d+$/)
export const joinConfigSchema = z.object({
  clusterCIDR: cidr,
  serviceCIDR: cidr,
  loadBalancers: cidr,
  /** The machine of the control plane: its address for other machines, and what is reached through it: its nodes, the API server. */
  machine: z.object({ address: z.ipv4(), range: cidr }),
  /** How packets between pods of two machines travel. */
  vxlan: z.object({ id: z.number().int(), port: z.number().int() }),
  /** Whether those of one segment are sent as they are. */
  directRoutes: z.boolean(),
})
export type JoinConfig = z.infer<typeof joinConfigSchema>

/** Throws when the cluster does not listen for other machines. */
export function joinConfigOf(at: Addresses): JoinConfig {
  if (!at.listen)
    throw new Error('other machines cannot reach the cluster: start it with --listen ADDRESS (README: Nodes on other machines)')
  return {
    clusterCIDR: at.pods,
    serviceCIDR: at.services,
    loadBalancers: at.balancers,
    machine: { address: at.listen.address, range: at.nodes },
    vxlan: at.vxlan,
    directRoutes: at.listen.routes ?? false,
  }
}

/** `keep`: what is there already stays, as the first machine has written it. */
export async function publishJoinConfig(client: Client, config: JoinConfig, keep = false): Promise<void> {
  const rbac = 'rbac.authorization.k8s.io'
  const rules = [{ apiGroups: [''], resources: ['configmaps'], resourceNames: [joinConfigName], verbs: ['get'] }]
  await ensure(client, roles, namespace, { metadata: { name: joinConfigName }, rules })
  const group = (name: string): object => ({ kind: 'Group', apiGroup: rbac, name })
  await ensure(client, roleBindings, namespace, {
    metadata: { name: joinConfigName },
    roleRef: { kind: 'Role', apiGroup: rbac, name: joinConfigName },
    subjects: [group('system:bootstrappers'), group('system:nodes')],
  })
  const data = { [key]: JSON.stringify(config, null, 2) }
  const create = (): Promise<void> => ensure(client, configMaps, namespace, { metadata: { name: joinConfigName }, data })
  if (keep) return create()
  try {
    await client.patch(configMaps, namespace, joinConfigName, 'merge', { data })
  } catch (e) {
    if (!isNotFound(e)) throw e
    await create()
  }
}

export async function readJoinConfig(client: Client): Promise<JoinConfig> {
  const map: ConfigMap = await client.get(configMaps, namespace, joinConfigName)
  return joinConfigSchema.parse(JSON.parse(map.data?.[key] ?? '{}'))
}
