/**
 * A container of a pod, its ports, mounts and restart rules. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
 */
import { bool, int32, list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'
import { envFromSource, envVar } from './env.ts'
import { lifecycle, probe } from './probe.ts'
import { resourceRequirements } from './resourcerequirements.ts'
import { securityContext } from './securitycontext.ts'

export const container = obj('io.k8s.api.core.v1.Container', 'One container of a pod.', () => ({
  name: req(1, str(), { doc: 'Unique in the pod; a DNS label.' }),
  image: opt(2, str(), { doc: 'Image to run.' }),
  command: opt(3, list(str()), { doc: 'Replaces the entrypoint of the image; $(VAR) is expanded.' }),
  args: opt(4, list(str()), { doc: 'Replaces the arguments of the image; $(VAR) is expanded.' }),
  workingDir: opt(5, str(), { doc: "Working directory; the image's when empty." }),
  ports: opt(6, list(containerPort), {
    doc: 'Ports that the container listens on; informative, except for names and host ports.',
    listType: 'map',
    listMapKeys: ['containerPort', 'protocol'],
    mergeKey: 'containerPort',
    patchStrategy: 'merge',
  }),
  envFrom: opt(19, list(envFromSource), { doc: 'ConfigMaps and Secrets whose keys become environment variables.' }),
  env: opt(7, list(envVar), {
    doc: 'Environment variables.',
    listType: 'map',
    listMapKeys: ['name'],
    mergeKey: 'name',
    patchStrategy: 'merge',
  }),
  resources: opt(8, resourceRequirements, { doc: 'Compute resources of the container.', default: {} }),
  resizePolicy: opt(23, list(containerResizePolicy), { doc: 'Whether a change of each resource restarts the container.' }),
  restartPolicy: opt(24, str(), { doc: 'Own restart policy; Always makes an init container a sidecar.', pointer: true }),
  restartPolicyRules: opt(25, list(containerRestartRule), {
    doc: 'Rules that override the restart policy by exit code; the first match counts.',
  }),
  volumeMounts: opt(9, list(volumeMount), {
    doc: 'Volumes mounted into the file system.',
    listType: 'map',
    listMapKeys: ['mountPath'],
    mergeKey: 'mountPath',
    patchStrategy: 'merge',
  }),
  volumeDevices: opt(21, list(volumeDevice), {
    doc: 'Block devices made available.',
    listType: 'map',
    listMapKeys: ['devicePath'],
    mergeKey: 'devicePath',
    patchStrategy: 'merge',
  }),
  livenessProbe: opt(10, probe, { doc: 'Restarts the container when it fails.' }),
  readinessProbe: opt(11, probe, { doc: 'Takes the pod out of Services while it fails.' }),
  startupProbe: opt(22, probe, { doc: 'Holds back the other probes until it succeeds.' }),
  lifecycle: opt(12, lifecycle, { doc: 'Actions after start and before stop.' }),
  terminationMessagePath: opt(13, str(), { doc: 'File whose contents become the termination message.', default: '/dev/termination-log' }),
  terminationMessagePolicy: opt(20, str(['File', 'FallbackToLogsOnError']), {
    doc: 'Whether the end of the log serves as the message when the file is empty.',
    default: 'File',
  }),
  imagePullPolicy: opt(14, str(['Always', 'Never', 'IfNotPresent']), {
    doc: 'When to pull the image; Always for the tag latest, else IfNotPresent.',
  }),
  securityContext: opt(15, securityContext, { doc: "Security settings; they win over the pod's." }),
  stdin: opt(16, bool(), { doc: 'Keeps standard input open.', pointer: false }),
  stdinOnce: opt(17, bool(), { doc: 'Closes standard input after the first client detached.', pointer: false }),
  tty: opt(18, bool(), { doc: 'Allocates a terminal.', pointer: false }),
}))
export type Container = Infer<typeof container>

export const containerPort = obj('io.k8s.api.core.v1.ContainerPort', 'A port that a container listens on.', () => ({
  name: opt(1, str(), { doc: 'Name by which Services and probes may refer to it.' }),
  hostPort: opt(2, int32(), { doc: 'Port of the node that leads here.', pointer: false }),
  containerPort: req(3, int32(), { doc: 'Port in the pod.' }),
  protocol: opt(4, str(['TCP', 'UDP', 'SCTP']), { doc: 'TCP, UDP or SCTP.', default: 'TCP' }),
  hostIP: opt(5, str(), { doc: 'Address of the node that the host port is bound to.' }),
}))
export type ContainerPort = Infer<typeof containerPort>

export const volumeMount = obj('io.k8s.api.core.v1.VolumeMount', 'A volume in the file system of a container.', () => ({
  name: req(1, str(), { doc: 'Name of the volume.' }),
  readOnly: opt(2, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  recursiveReadOnly: opt(7, str(), { doc: 'Whether mounts below are read-only as well: Disabled, IfPossible or Enabled.', pointer: true }),
  mountPath: req(3, str(), { doc: 'Where it is mounted in the container.' }),
  subPath: opt(4, str(), { doc: 'Path inside the volume to mount instead of its root.' }),
  mountPropagation: opt(5, str(['None', 'HostToContainer', 'Bidirectional']), {
    doc: 'Whether mounts are seen by the host and by the container.',
    pointer: true,
  }),
  subPathExpr: opt(6, str(), { doc: 'The same with $(VAR) expanded from the environment.' }),
}))
export type VolumeMount = Infer<typeof volumeMount>

export const volumeDevice = obj('io.k8s.api.core.v1.VolumeDevice', 'A block device in a container.', () => ({
  name: req(1, str(), { doc: 'Name of a volume with a claim.' }),
  devicePath: req(2, str(), { doc: 'Where the device appears.' }),
}))
export type VolumeDevice = Infer<typeof volumeDevice>

export const containerResizePolicy = obj(
  'io.k8s.api.core.v1.ContainerResizePolicy',
  'What a change of a resource does to the container.',
  () => ({
    resourceName: req(1, str(), { doc: 'cpu or memory.' }),
    restartPolicy: req(2, str(), { doc: 'NotRequired or RestartContainer.' }),
  }),
)
export type ContainerResizePolicy = Infer<typeof containerResizePolicy>

export const containerRestartRule = obj(
  'io.k8s.api.core.v1.ContainerRestartRule',
  'What to do about certain exits of a container.',
  () => ({
    action: req(1, str(), { doc: 'Restart.' }),
    exitCodes: opt(2, containerRestartRuleOnExitCodes, { doc: 'The exits that are meant.' }),
  }),
)
export type ContainerRestartRule = Infer<typeof containerRestartRule>

export const containerRestartRuleOnExitCodes = obj('io.k8s.api.core.v1.ContainerRestartRuleOnExitCodes', 'A set of exit codes.', () => ({
  operator: req(1, str(), { doc: 'In or NotIn.' }),
  values: opt(2, list(int32()), { doc: 'The exit codes, at most 255.', listType: 'set' }),
}))
export type ContainerRestartRuleOnExitCodes = Infer<typeof containerRestartRuleOnExitCodes>
