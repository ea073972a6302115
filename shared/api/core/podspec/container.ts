/** A container of a pod, its ports, mounts and restart rules. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, int32, list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'
import { envFromSource, envVar } from './env.ts'
import { lifecycle, probe } from './probe.ts'
import { resourceRequirements } from './resourcerequirements.ts'
import { securityContext } from './securitycontext.ts'

export const container = obj('io.k8s.api.core.v1.Container', '', () => ({
  name: req(1, str()),
  image: opt(2, str()),
  command: opt(3, list(str())),
  args: opt(4, list(str())),
  workingDir: opt(5, str()),
  ports: opt(6, list(containerPort), { listType: 'map', listMapKeys: ['containerPort', 'protocol'], mergeKey: 'containerPort', patchStrategy: 'merge' }),
  envFrom: opt(19, list(envFromSource)),
  env: opt(7, list(envVar), { listType: 'map', listMapKeys: ['name'], mergeKey: 'name', patchStrategy: 'merge' }),
  resources: opt(8, resourceRequirements, { default: {} }),
  resizePolicy: opt(23, list(containerResizePolicy)),
  restartPolicy: opt(24, str(), { pointer: true }),
  restartPolicyRules: opt(25, list(containerRestartRule)),
  volumeMounts: opt(9, list(volumeMount), { listType: 'map', listMapKeys: ['mountPath'], mergeKey: 'mountPath', patchStrategy: 'merge' }),
  volumeDevices: opt(21, list(volumeDevice), { listType: 'map', listMapKeys: ['devicePath'], mergeKey: 'devicePath', patchStrategy: 'merge' }),
  livenessProbe: opt(10, probe),
  readinessProbe: opt(11, probe),
  startupProbe: opt(22, probe),
  lifecycle: opt(12, lifecycle),
  terminationMessagePath: opt(13, str(), { default: '/dev/termination-log' }),
  terminationMessagePolicy: opt(20, str(['File', 'FallbackToLogsOnError']), { default: 'File' }),
  imagePullPolicy: opt(14, str(['Always', 'Never', 'IfNotPresent'])),
  securityContext: opt(15, securityContext),
  stdin: opt(16, bool(), { pointer: false }),
  stdinOnce: opt(17, bool(), { pointer: false }),
  tty: opt(18, bool(), { pointer: false }),
}))
export type Container = Infer<typeof container>

export const containerPort = obj('io.k8s.api.core.v1.ContainerPort', '', () => ({
  name: opt(1, str()),
  hostPort: opt(2, int32(), { pointer: false }),
  containerPort: req(3, int32()),
  protocol: opt(4, str(['TCP', 'UDP', 'SCTP']), { default: 'TCP' }),
  hostIP: opt(5, str()),
}))
export type ContainerPort = Infer<typeof containerPort>

export const volumeMount = obj('io.k8s.api.core.v1.VolumeMount', '', () => ({
  name: req(1, str()),
  readOnly: opt(2, bool(), { pointer: false }),
  recursiveReadOnly: opt(7, str(), { pointer: true }),
  mountPath: req(3, str()),
  subPath: opt(4, str()),
  mountPropagation: opt(5, str(['None', 'HostToContainer', 'Bidirectional']), { pointer: true }),
  subPathExpr: opt(6, str()),
}))
export type VolumeMount = Infer<typeof volumeMount>

export const volumeDevice = obj('io.k8s.api.core.v1.VolumeDevice', '', () => ({
  name: req(1, str()),
  devicePath: req(2, str()),
}))
export type VolumeDevice = Infer<typeof volumeDevice>

export const containerResizePolicy = obj('io.k8s.api.core.v1.ContainerResizePolicy', '', () => ({
  resourceName: req(1, str()),
  restartPolicy: req(2, str()),
}))
export type ContainerResizePolicy = Infer<typeof containerResizePolicy>

export const containerRestartRule = obj('io.k8s.api.core.v1.ContainerRestartRule', '', () => ({
  action: opt(1, str()),
  exitCodes: opt(2, containerRestartRuleOnExitCodes),
}))
export type ContainerRestartRule = Infer<typeof containerRestartRule>

export const containerRestartRuleOnExitCodes = obj('io.k8s.api.core.v1.ContainerRestartRuleOnExitCodes', '', () => ({
  operator: opt(1, str()),
  values: opt(2, list(int32()), { listType: 'set' }),
}))
export type ContainerRestartRuleOnExitCodes = Infer<typeof containerRestartRuleOnExitCodes>
