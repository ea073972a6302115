/** What is known about a container of a pod. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, int32, int64, list, map, obj, opt, quantity, req, str, time, type Infer } from '../../../machinery/schema.ts'
import { resourceRequirements } from './resourcerequirements.ts'

export const containerStatus = obj('io.k8s.api.core.v1.ContainerStatus', 'What is known about a container.', () => ({
  name: req(1, str(), { doc: 'Name of the container.' }),
  state: opt(2, containerState, { doc: 'What it does now.', default: {} }),
  lastState: opt(3, containerState, { doc: 'How it ended the last time.', default: {} }),
  ready: req(4, bool(), { doc: 'Whether it passes its readiness probe.' }),
  restartCount: req(5, int32(), { doc: 'How often it was restarted.' }),
  image: req(6, str(), { doc: 'Name of the image.' }),
  imageID: req(7, str(), { doc: 'What the image name stood for.' }),
  containerID: opt(8, str(), { doc: 'Id of the container at its runtime.' }),
  started: opt(9, bool(), { doc: 'Whether it has started and passed its startup probe.' }),
  allocatedResources: opt(10, map(quantity()), { doc: 'What the node has set aside for it.' }),
  resources: opt(11, resourceRequirements, { doc: 'Resources in force.' }),
  volumeMounts: opt(12, list(volumeMountStatus), {
    doc: 'How volumes are mounted.',
    listType: 'map',
    listMapKeys: ['mountPath'],
    mergeKey: 'mountPath',
    patchStrategy: 'merge',
  }),
  user: opt(13, containerUser, { doc: 'Who its first process ran as.' }),
  allocatedResourcesStatus: opt(14, list(resourceStatus), {
    doc: 'State of devices that it has.',
    listType: 'map',
    listMapKeys: ['name'],
    mergeKey: 'name',
    patchStrategy: 'merge',
  }),
  stopSignal: opt(15, str(), { doc: 'Signal that asks it to stop.', pointer: true }),
}))
export type ContainerStatus = Infer<typeof containerStatus>

export const containerState = obj(
  'io.k8s.api.core.v1.ContainerState',
  'One of waiting, running, terminated; waiting when none is set.',
  () => ({
    waiting: opt(1, containerStateWaiting, { doc: 'Not running yet, or again.' }),
    running: opt(2, containerStateRunning, { doc: 'Running.' }),
    terminated: opt(3, containerStateTerminated, { doc: 'Ended.' }),
  }),
)
export type ContainerState = Infer<typeof containerState>

export const containerStateWaiting = obj('io.k8s.api.core.v1.ContainerStateWaiting', 'Why a container waits.', () => ({
  reason: opt(1, str(), { doc: 'One word for why.' }),
  message: opt(2, str(), { doc: 'Why, for people.' }),
}))
export type ContainerStateWaiting = Infer<typeof containerStateWaiting>

export const containerStateRunning = obj('io.k8s.api.core.v1.ContainerStateRunning', 'Since when a container runs.', () => ({
  startedAt: opt(1, time(), { doc: 'When it started.' }),
}))
export type ContainerStateRunning = Infer<typeof containerStateRunning>

export const containerStateTerminated = obj('io.k8s.api.core.v1.ContainerStateTerminated', 'How a container ended.', () => ({
  exitCode: req(1, int32(), { doc: 'Exit code.' }),
  signal: opt(2, int32(), { doc: 'Signal that ended it.', pointer: false }),
  reason: opt(3, str(), { doc: 'One word for why.' }),
  message: opt(4, str(), { doc: 'Why, for people.' }),
  startedAt: opt(5, time(), { doc: 'When it had started.' }),
  finishedAt: opt(6, time(), { doc: 'When it ended.' }),
  containerID: opt(7, str(), { doc: 'Id of the container at its runtime.' }),
}))
export type ContainerStateTerminated = Infer<typeof containerStateTerminated>

export const volumeMountStatus = obj('io.k8s.api.core.v1.VolumeMountStatus', 'How a volume is mounted.', () => ({
  name: req(1, str(), { doc: 'Name of the volume.' }),
  mountPath: req(2, str(), { doc: 'Where it is mounted in the container.' }),
  readOnly: opt(3, bool(), { doc: 'Whether it is read-only.', pointer: false }),
  recursiveReadOnly: opt(4, str(), { doc: 'Whether mounts below are read-only as well: Disabled, IfPossible or Enabled.', pointer: true }),
}))
export type VolumeMountStatus = Infer<typeof volumeMountStatus>

export const containerUser = obj('io.k8s.api.core.v1.ContainerUser', 'Who a process runs as.', () => ({
  linux: opt(1, linuxContainerUser, { doc: 'On Linux.' }),
}))
export type ContainerUser = Infer<typeof containerUser>

export const linuxContainerUser = obj('io.k8s.api.core.v1.LinuxContainerUser', 'User and groups of a process.', () => ({
  uid: req(1, int64(), { doc: 'User id.' }),
  gid: req(2, int64(), { doc: 'Group id.' }),
  supplementalGroups: opt(3, list(int64()), { doc: 'Further group ids.' }),
}))
export type LinuxContainerUser = Infer<typeof linuxContainerUser>

export const resourceStatus = obj('io.k8s.api.core.v1.ResourceStatus', 'State of the devices of one resource.', () => ({
  name: req(1, str(), { doc: 'Name of the resource.' }),
  resources: opt(2, list(resourceHealth), { doc: 'Each device.', listType: 'map', listMapKeys: ['resourceID'] }),
}))
export type ResourceStatus = Infer<typeof resourceStatus>

export const resourceHealth = obj('io.k8s.api.core.v1.ResourceHealth', 'State of a device.', () => ({
  resourceID: req(1, str(), { doc: 'Id of the device.' }),
  health: opt(2, str(), { doc: 'Healthy, Unhealthy or Unknown.' }),
}))
export type ResourceHealth = Infer<typeof resourceHealth>
