/** What is known about a pod. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { int64, list, map, obj, opt, quantity, req, str, time, type Infer } from '../../../machinery/schema.ts'
import { containerStatus } from './containerstatus.ts'
import { resourceRequirements } from './resourcerequirements.ts'

export const podStatus = obj('io.k8s.api.core.v1.PodStatus', '', () => ({
  observedGeneration: opt(17, int64(), { pointer: false }),
  phase: opt(1, str(['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'])),
  conditions: opt(2, list(podCondition), { listType: 'map', listMapKeys: ['type'], mergeKey: 'type', patchStrategy: 'merge' }),
  message: opt(3, str()),
  reason: opt(4, str()),
  nominatedNodeName: opt(11, str()),
  hostIP: opt(5, str()),
  hostIPs: opt(16, list(hostIP), { mergeKey: 'ip', patchStrategy: 'merge' }),
  podIP: opt(6, str()),
  podIPs: opt(12, list(podIP), { listType: 'map', listMapKeys: ['ip'], mergeKey: 'ip', patchStrategy: 'merge' }),
  startTime: opt(7, time()),
  initContainerStatuses: opt(10, list(containerStatus)),
  containerStatuses: opt(8, list(containerStatus)),
  qosClass: opt(9, str(['Guaranteed', 'Burstable', 'BestEffort'])),
  ephemeralContainerStatuses: opt(13, list(containerStatus)),
  resize: opt(14, str()),
  resourceClaimStatuses: opt(15, list(podResourceClaimStatus), { listType: 'map', listMapKeys: ['name'], mergeKey: 'name', patchStrategy: 'merge,retainKeys' }),
  extendedResourceClaimStatus: opt(18, podExtendedResourceClaimStatus),
  allocatedResources: opt(19, map(quantity())),
  resources: opt(20, resourceRequirements),
}))
export type PodStatus = Infer<typeof podStatus>

export const podCondition = obj('io.k8s.api.core.v1.PodCondition', '', () => ({
  type: req(1, str()),
  observedGeneration: opt(7, int64(), { pointer: false }),
  status: req(2, str()),
  lastProbeTime: opt(3, time()),
  lastTransitionTime: opt(4, time()),
  reason: opt(5, str()),
  message: opt(6, str()),
}))
export type PodCondition = Infer<typeof podCondition>

export const podIP = obj('io.k8s.api.core.v1.PodIP', '', () => ({
  ip: req(1, str()),
}))
export type PodIP = Infer<typeof podIP>

export const hostIP = obj('io.k8s.api.core.v1.HostIP', '', () => ({
  ip: req(1, str()),
}))
export type HostIP = Infer<typeof hostIP>

export const podResourceClaimStatus = obj('io.k8s.api.core.v1.PodResourceClaimStatus', '', () => ({
  name: req(1, str()),
  resourceClaimName: opt(2, str(), { pointer: true }),
}))
export type PodResourceClaimStatus = Infer<typeof podResourceClaimStatus>

export const podExtendedResourceClaimStatus = obj('io.k8s.api.core.v1.PodExtendedResourceClaimStatus', '', () => ({
  requestMappings: req(1, list(containerExtendedResourceRequest)),
  resourceClaimName: req(2, str()),
}))
export type PodExtendedResourceClaimStatus = Infer<typeof podExtendedResourceClaimStatus>

export const containerExtendedResourceRequest = obj('io.k8s.api.core.v1.ContainerExtendedResourceRequest', '', () => ({
  containerName: req(1, str()),
  resourceName: req(2, str()),
  requestName: req(3, str()),
}))
export type ContainerExtendedResourceRequest = Infer<typeof containerExtendedResourceRequest>
