/** What the controllers ask of a Node. */
import type { Node, Taint } from '#shared/api/core/node.ts'
import { ipFamily, type IPFamily } from '#shared/machinery/ip.ts'

/** What a kubelet with `--cloud-provider external` registers with: nothing is scheduled until the cloud has said what the node is. */
export const uninitializedTaint = 'node.cloudprovider.kubernetes.io/uninitialized'
export const shutdownTaint = 'node.cloudprovider.kubernetes.io/shutdown'
const excludeLabel = 'node.kubernetes.io/exclude-from-external-load-balancers'
/** Set by the cluster autoscaler on a node that it is about to remove. */
const toBeDeletedTaint = 'ToBeDeletedByClusterAutoscaler'

export const readiness = ({ status }: Node): string => status?.conditions?.find(c => c.type === 'Ready')?.status ?? ''
export const hasTaint = ({ spec }: Node, key: string): boolean => spec.taints?.some(t => t.key === key) ?? false
export const internalIP = ({ status }: Node, family: IPFamily = 'IPv4'): string | undefined =>
  status?.addresses?.find(a => a.type === 'InternalIP' && ipFamily(a.address) === family)?.address

/** Whether load balancers send to the node: upstream's predicates of the service controller. */
export const servesLoadBalancers = (node: Node): boolean =>
  readiness(node) === 'True' &&
  node.metadata.labels?.[excludeLabel] === undefined &&
  !hasTaint(node, toBeDeletedTaint) &&
  node.metadata.deletionTimestamp === undefined

/** Of a Node what decides about load balancers: a heartbeat changes none of it. */
export const loadBalancerView = (node: Node): string => JSON.stringify([servesLoadBalancers(node), internalIP(node)])

/** A patch of a Node's taints, which are one list to the API: refused when somebody else has changed it meanwhile. */
export const taintsPatch = ({ metadata, spec }: Node, change: (taints: Taint[]) => Taint[]): object => ({
  metadata: { resourceVersion: metadata.resourceVersion },
  spec: { taints: change([...(spec.taints ?? [])]) },
})
