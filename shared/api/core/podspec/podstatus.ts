/** What is known about a pod. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { int64, list, map, obj, opt, quantity, req, str, time, type Infer } from '../../../machinery/schema.ts'
import { containerStatus } from './containerstatus.ts'
import { resourceRequirements } from './resourcerequirements.ts'

export const podStatus = obj('io.k8s.api.core.v1.PodStatus', 'What is known about a pod.', () => ({
  observedGeneration: opt(17, int64(), { doc: 'The generation of the pod that this tells about.', pointer: false }),
  phase: opt(1, str(['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown']), { doc: 'Pending, Running, Succeeded, Failed or Unknown.' }),
  conditions: opt(2, list(podCondition), {
    doc: 'Aspects of its state.',
    listType: 'map',
    listMapKeys: ['type'],
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
  message: opt(3, str(), { doc: 'Why, for people.' }),
  reason: opt(4, str(), { doc: 'One word for why.' }),
  nominatedNodeName: opt(11, str(), { doc: 'Node where room is being made for the pod.' }),
  hostIP: opt(5, str(), { doc: 'Address of the node.' }),
  hostIPs: opt(16, list(hostIP), { doc: 'Addresses of the node.', mergeKey: 'ip', patchStrategy: 'merge' }),
  podIP: opt(6, str(), { doc: 'Address of the pod.' }),
  podIPs: opt(12, list(podIP), {
    doc: 'Addresses of the pod, at most one of each family.',
    listType: 'map',
    listMapKeys: ['ip'],
    mergeKey: 'ip',
    patchStrategy: 'merge',
  }),
  startTime: opt(7, time(), { doc: 'When the kubelet took notice of it.', pointer: true }),
  initContainerStatuses: opt(10, list(containerStatus), { doc: 'State of the init containers.' }),
  containerStatuses: opt(8, list(containerStatus), { doc: 'State of the containers.' }),
  qosClass: opt(9, str(['Guaranteed', 'Burstable', 'BestEffort']), { doc: 'Guaranteed, Burstable or BestEffort.' }),
  ephemeralContainerStatuses: opt(13, list(containerStatus), { doc: 'State of the ephemeral containers.' }),
  resize: opt(14, str(), { doc: 'Old report of a resize; conditions tell now.' }),
  resourceClaimStatuses: opt(15, list(podResourceClaimStatus), {
    doc: 'Claims made from templates.',
    listType: 'map',
    listMapKeys: ['name'],
    mergeKey: 'name',
    patchStrategy: 'merge,retainKeys',
  }),
  extendedResourceClaimStatus: opt(18, podExtendedResourceClaimStatus, { doc: 'Claim made for extended resources.' }),
  allocatedResources: opt(19, map(quantity()), { doc: 'What the node has set aside for the pod.' }),
  resources: opt(20, resourceRequirements, { doc: 'Pod-level resources in force.' }),
}))
export type PodStatus = Infer<typeof podStatus>

export const podCondition = obj('io.k8s.api.core.v1.PodCondition', 'One aspect of the state of a pod.', () => ({
  type: req(1, str(), { doc: 'Name of the aspect.' }),
  observedGeneration: opt(7, int64(), { doc: 'The generation of the pod that this tells about.', pointer: false }),
  status: req(2, str(), { doc: 'True, False or Unknown.' }),
  lastProbeTime: opt(3, time(), { doc: 'When it was last looked at.' }),
  lastTransitionTime: opt(4, time(), { doc: 'When status last changed.' }),
  reason: opt(5, str(), { doc: 'One word for why.' }),
  message: opt(6, str(), { doc: 'Why, for people.' }),
}))
export type PodCondition = Infer<typeof podCondition>

export const podIP = obj('io.k8s.api.core.v1.PodIP', 'An address of a pod.', () => ({
  ip: req(1, str(), { doc: 'The IP address.' }),
}))
export type PodIP = Infer<typeof podIP>

export const hostIP = obj('io.k8s.api.core.v1.HostIP', 'An address of a node.', () => ({
  ip: req(1, str(), { doc: 'The IP address.' }),
}))
export type HostIP = Infer<typeof hostIP>

export const podResourceClaimStatus = obj(
  'io.k8s.api.core.v1.PodResourceClaimStatus',
  'The claim made for an entry of spec.resourceClaims.',
  () => ({
    name: req(1, str(), { doc: 'Name in spec.resourceClaims.' }),
    resourceClaimName: opt(2, str(), { doc: 'Name of the resource claim.', pointer: true }),
  }),
)
export type PodResourceClaimStatus = Infer<typeof podResourceClaimStatus>

export const podExtendedResourceClaimStatus = obj(
  'io.k8s.api.core.v1.PodExtendedResourceClaimStatus',
  'The claim that stands for extended resources.',
  () => ({
    requestMappings: req(1, list(containerExtendedResourceRequest), { doc: 'Which request serves which container.' }),
    resourceClaimName: req(2, str(), { doc: 'Name of the resource claim.' }),
  }),
)
export type PodExtendedResourceClaimStatus = Infer<typeof podExtendedResourceClaimStatus>

export const containerExtendedResourceRequest = obj(
  'io.k8s.api.core.v1.ContainerExtendedResourceRequest',
  'Connects an extended resource of a container to a request.',
  () => ({
    containerName: req(1, str(), { doc: 'The container.' }),
    resourceName: req(2, str(), { doc: 'The extended resource.' }),
    requestName: req(3, str(), { doc: 'The request of the claim.' }),
  }),
)
export type ContainerExtendedResourceRequest = Infer<typeof containerExtendedResourceRequest>
