/** Security settings of containers and pods. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, int64, list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'

export const securityContext = obj('io.k8s.api.core.v1.SecurityContext', '', () => ({
  capabilities: opt(1, capabilities),
  privileged: opt(2, bool()),
  seLinuxOptions: opt(3, seLinuxOptions),
  windowsOptions: opt(10, windowsSecurityContextOptions),
  runAsUser: opt(4, int64()),
  runAsGroup: opt(8, int64()),
  runAsNonRoot: opt(5, bool()),
  readOnlyRootFilesystem: opt(6, bool()),
  allowPrivilegeEscalation: opt(7, bool()),
  procMount: opt(9, str(['Default', 'Unmasked']), { pointer: true }),
  seccompProfile: opt(11, seccompProfile),
  appArmorProfile: opt(12, appArmorProfile),
}))
export type SecurityContext = Infer<typeof securityContext>

export const podSecurityContext = obj('io.k8s.api.core.v1.PodSecurityContext', '', () => ({
  seLinuxOptions: opt(1, seLinuxOptions),
  windowsOptions: opt(8, windowsSecurityContextOptions),
  runAsUser: opt(2, int64()),
  runAsGroup: opt(6, int64()),
  runAsNonRoot: opt(3, bool()),
  supplementalGroups: opt(4, list(int64())),
  supplementalGroupsPolicy: opt(12, str(['Merge', 'Strict']), { pointer: true }),
  fsGroup: opt(5, int64()),
  sysctls: opt(7, list(sysctl)),
  fsGroupChangePolicy: opt(9, str(['OnRootMismatch', 'Always']), { pointer: true }),
  seccompProfile: opt(10, seccompProfile),
  appArmorProfile: opt(11, appArmorProfile),
  seLinuxChangePolicy: opt(13, str(), { pointer: true }),
}))
export type PodSecurityContext = Infer<typeof podSecurityContext>

export const capabilities = obj('io.k8s.api.core.v1.Capabilities', '', () => ({
  add: opt(1, list(str())),
  drop: opt(2, list(str())),
}))
export type Capabilities = Infer<typeof capabilities>

export const seLinuxOptions = obj('io.k8s.api.core.v1.SELinuxOptions', '', () => ({
  user: opt(1, str()),
  role: opt(2, str()),
  type: opt(3, str()),
  level: opt(4, str()),
}))
export type SELinuxOptions = Infer<typeof seLinuxOptions>

export const windowsSecurityContextOptions = obj('io.k8s.api.core.v1.WindowsSecurityContextOptions', '', () => ({
  gmsaCredentialSpecName: opt(1, str(), { pointer: true }),
  gmsaCredentialSpec: opt(2, str(), { pointer: true }),
  runAsUserName: opt(3, str(), { pointer: true }),
  hostProcess: opt(4, bool()),
}))
export type WindowsSecurityContextOptions = Infer<typeof windowsSecurityContextOptions>

export const seccompProfile = obj('io.k8s.api.core.v1.SeccompProfile', '', () => ({
  type: req(1, str(['Unconfined', 'RuntimeDefault', 'Localhost'])),
  localhostProfile: opt(2, str(), { pointer: true }),
}))
export type SeccompProfile = Infer<typeof seccompProfile>

export const appArmorProfile = obj('io.k8s.api.core.v1.AppArmorProfile', '', () => ({
  type: req(1, str(['Unconfined', 'RuntimeDefault', 'Localhost'])),
  localhostProfile: opt(2, str(), { pointer: true }),
}))
export type AppArmorProfile = Infer<typeof appArmorProfile>

export const sysctl = obj('io.k8s.api.core.v1.Sysctl', '', () => ({
  name: req(1, str()),
  value: req(2, str()),
}))
export type Sysctl = Infer<typeof sysctl>
