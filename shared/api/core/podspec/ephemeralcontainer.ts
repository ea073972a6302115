/** A container added to a running pod for debugging. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, inline, list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'
import { containerPort, containerResizePolicy, containerRestartRule, volumeDevice, volumeMount } from './container.ts'
import { envFromSource, envVar } from './env.ts'
import { lifecycle, probe } from './probe.ts'
import { resourceRequirements } from './resourcerequirements.ts'
import { securityContext } from './securitycontext.ts'

export const ephemeralContainer = obj('io.k8s.api.core.v1.EphemeralContainer', '', () => ({
  ...inline(1, ephemeralContainerCommon),
  targetContainerName: opt(2, str()),
}))
export type EphemeralContainer = Infer<typeof ephemeralContainer>

export const ephemeralContainerCommon = obj('io.k8s.api.core.v1.EphemeralContainerCommon', '', () => ({
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
export type EphemeralContainerCommon = Infer<typeof ephemeralContainerCommon>
