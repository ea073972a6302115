/** What is known about a container of a pod. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, int32, int64, list, map, obj, opt, quantity, req, str, time, type Infer } from '../../../machinery/schema.ts'
import { resourceRequirements } from './resourcerequirements.ts'

export const containerStatus = obj('io.k8s.api.core.v1.ContainerStatus', '', () => ({
  name: req(1, str()),
  state: opt(2, containerState, { default: {} }),
  lastState: opt(3, containerState, { default: {} }),
  ready: req(4, bool()),
  restartCount: req(5, int32()),
  image: req(6, str()),
  imageID: req(7, str()),
  containerID: opt(8, str()),
  started: opt(9, bool()),
  allocatedResources: opt(10, map(quantity())),
  resources: opt(11, resourceRequirements),
  volumeMounts: opt(12, list(volumeMountStatus), { listType: 'map', listMapKeys: ['mountPath'], mergeKey: 'mountPath', patchStrategy: 'merge' }),
  user: opt(13, containerUser),
  allocatedResourcesStatus: opt(14, list(resourceStatus), { listType: 'map', listMapKeys: ['name'], mergeKey: 'name', patchStrategy: 'merge' }),
  stopSignal: opt(15, str(), { pointer: true }),
}))
export type ContainerStatus = Infer<typeof containerStatus>

export const containerState = obj('io.k8s.api.core.v1.ContainerState', '', () => ({
  waiting: opt(1, containerStateWaiting),
  running: opt(2, containerStateRunning),
  terminated: opt(3, containerStateTerminated),
}))
export type ContainerState = Infer<typeof containerState>

export const containerStateWaiting = obj('io.k8s.api.core.v1.ContainerStateWaiting', '', () => ({
  reason: opt(1, str()),
  message: opt(2, str()),
}))
export type ContainerStateWaiting = Infer<typeof containerStateWaiting>

export const containerStateRunning = obj('io.k8s.api.core.v1.ContainerStateRunning', '', () => ({
  startedAt: opt(1, time()),
}))
export type ContainerStateRunning = Infer<typeof containerStateRunning>

export const containerStateTerminated = obj('io.k8s.api.core.v1.ContainerStateTerminated', '', () => ({
  exitCode: req(1, int32()),
  signal: opt(2, int32(), { pointer: false }),
  reason: opt(3, str()),
  message: opt(4, str()),
  startedAt: opt(5, time()),
  finishedAt: opt(6, time()),
  containerID: opt(7, str()),
}))
export type ContainerStateTerminated = Infer<typeof containerStateTerminated>

export const volumeMountStatus = obj('io.k8s.api.core.v1.VolumeMountStatus', '', () => ({
  name: req(1, str()),
  mountPath: req(2, str()),
  readOnly: opt(3, bool(), { pointer: false }),
  recursiveReadOnly: opt(4, str(), { pointer: true }),
}))
export type VolumeMountStatus = Infer<typeof volumeMountStatus>

export const containerUser = obj('io.k8s.api.core.v1.ContainerUser', '', () => ({
  linux: opt(1, linuxContainerUser),
}))
export type ContainerUser = Infer<typeof containerUser>

export const linuxContainerUser = obj('io.k8s.api.core.v1.LinuxContainerUser', '', () => ({
  uid: req(1, int64()),
  gid: req(2, int64()),
  supplementalGroups: opt(3, list(int64())),
}))
export type LinuxContainerUser = Infer<typeof linuxContainerUser>

export const resourceStatus = obj('io.k8s.api.core.v1.ResourceStatus', '', () => ({
  name: req(1, str()),
  resources: opt(2, list(resourceHealth), { listType: 'map', listMapKeys: ['resourceID'] }),
}))
export type ResourceStatus = Infer<typeof resourceStatus>

export const resourceHealth = obj('io.k8s.api.core.v1.ResourceHealth', '', () => ({
  resourceID: req(1, str()),
  health: opt(2, str()),
}))
export type ResourceHealth = Infer<typeof resourceHealth>
