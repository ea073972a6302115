/** Nodes and pods for the scheduler's tests. */
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { ClusterCache } from '#control-plane/scheduler/cache.ts'
import { podInfo } from '#control-plane/scheduler/podinfo.ts'

export const node = (name: string, more: Partial<Node['spec']> = {}, labels: Record<string, string> = {}): Node => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
  spec: { ...more },
  status: { allocatable: { cpu: '2', memory: '4Gi', pods: '10' } },
})
/** In a zone. */
export const zoned = (name: string, zone: string): Node => node(name, {}, { 'topology.kubernetes.io/zone': zone })

let uid = 0
/** In the namespace `default`, with a name and UID of its own. */
export const pod = (spec: Partial<Pod['spec']> = {}, owner?: string, labels?: Record<string, string>): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: `p${++uid}`,
    namespace: 'default',
    uid: String(uid),
    ...(labels ? { labels } : {}),
    ...(owner ? { ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: owner, uid: owner, controller: true }] } : {}),
  },
  spec: { containers: [{ name: 'c', image: 'busybox', resources: {} }], ...spec } as Pod['spec'],
})
export const asking = (cpu: string): Partial<Pod['spec']> => ({
  containers: [{ name: 'c', image: 'busybox', resources: { requests: { cpu } } }],
})
export const cluster = (...nodes: Node[]): ClusterCache => {
  const cache = new ClusterCache()
  nodes.forEach(n => cache.setNode(n))
  return cache
}
export const assume = (cache: ClusterCache, p: Pod, name: string): void => cache.assume(podInfo(p), name)
