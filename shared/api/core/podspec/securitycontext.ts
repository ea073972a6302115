/** Security settings of containers and pods. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, int64, list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'

export const securityContext = obj('io.k8s.api.core.v1.SecurityContext', 'Security settings of a container.', () => ({
  capabilities: opt(1, capabilities, { doc: 'Capabilities to add and drop.' }),
  privileged: opt(2, bool(), { doc: 'Runs like root on the node.' }),
  seLinuxOptions: opt(3, seLinuxOptions, { doc: 'SELinux context.' }),
  windowsOptions: opt(10, windowsSecurityContextOptions, { doc: 'Settings for Windows containers.' }),
  runAsUser: opt(4, int64(), { doc: 'User id that processes run as.' }),
  runAsGroup: opt(8, int64(), { doc: 'Group id that processes run as.' }),
  runAsNonRoot: opt(5, bool(), { doc: 'Refuses to start containers as user 0.' }),
  readOnlyRootFilesystem: opt(6, bool(), { doc: 'Makes the root file system read-only.' }),
  allowPrivilegeEscalation: opt(7, bool(), { doc: 'Whether a process may gain more privileges than its parent.' }),
  procMount: opt(9, str(['Default', 'Unmasked']), { doc: 'Default or Unmasked /proc.', pointer: true }),
  seccompProfile: opt(11, seccompProfile, { doc: 'Which system calls are allowed.' }),
  appArmorProfile: opt(12, appArmorProfile, { doc: 'AppArmor profile.' }),
}))
export type SecurityContext = Infer<typeof securityContext>

export const podSecurityContext = obj('io.k8s.api.core.v1.PodSecurityContext', 'Security settings of all containers of a pod.', () => ({
  seLinuxOptions: opt(1, seLinuxOptions, { doc: 'SELinux context.' }),
  windowsOptions: opt(8, windowsSecurityContextOptions, { doc: 'Settings for Windows containers.' }),
  runAsUser: opt(2, int64(), { doc: 'User id that processes run as.' }),
  runAsGroup: opt(6, int64(), { doc: 'Group id that processes run as.' }),
  runAsNonRoot: opt(3, bool(), { doc: 'Refuses to start containers as user 0.' }),
  supplementalGroups: opt(4, list(int64()), { doc: 'Further group ids of the processes.' }),
  supplementalGroupsPolicy: opt(12, str(['Merge', 'Strict']), {
    doc: 'Whether groups of the image count: Merge or Strict.',
    pointer: true,
  }),
  fsGroup: opt(5, int64(), { doc: 'Group that owns volumes.' }),
  sysctls: opt(7, list(sysctl), { doc: 'Kernel parameters of the pod.' }),
  fsGroupChangePolicy: opt(9, str(['OnRootMismatch', 'Always']), {
    doc: 'When ownership of volumes is changed: OnRootMismatch or Always.',
    pointer: true,
  }),
  seccompProfile: opt(10, seccompProfile, { doc: 'Which system calls are allowed.' }),
  appArmorProfile: opt(11, appArmorProfile, { doc: 'AppArmor profile.' }),
  seLinuxChangePolicy: opt(13, str(), { doc: 'How volumes are labelled: MountOption or Recursive.', pointer: true }),
}))
export type PodSecurityContext = Infer<typeof podSecurityContext>

export const capabilities = obj('io.k8s.api.core.v1.Capabilities', 'POSIX capabilities.', () => ({
  add: opt(1, list(str()), { doc: 'To add.' }),
  drop: opt(2, list(str()), { doc: 'To drop.' }),
}))
export type Capabilities = Infer<typeof capabilities>

export const seLinuxOptions = obj('io.k8s.api.core.v1.SELinuxOptions', 'An SELinux context.', () => ({
  user: opt(1, str(), { doc: 'User part.' }),
  role: opt(2, str(), { doc: 'Role part.' }),
  type: opt(3, str(), { doc: 'Type part.' }),
  level: opt(4, str(), { doc: 'Level part.' }),
}))
export type SELinuxOptions = Infer<typeof seLinuxOptions>

export const windowsSecurityContextOptions = obj('io.k8s.api.core.v1.WindowsSecurityContextOptions', 'Settings for Windows.', () => ({
  gmsaCredentialSpecName: opt(1, str(), { doc: 'Name of the GMSA credential spec.', pointer: true }),
  gmsaCredentialSpec: opt(2, str(), { doc: 'The GMSA credential spec itself.', pointer: true }),
  runAsUserName: opt(3, str(), { doc: 'User that processes run as.', pointer: true }),
  hostProcess: opt(4, bool(), { doc: 'Runs on the host instead of in a container.' }),
}))
export type WindowsSecurityContextOptions = Infer<typeof windowsSecurityContextOptions>

export const seccompProfile = obj('io.k8s.api.core.v1.SeccompProfile', 'A seccomp profile.', () => ({
  type: req(1, str(['Unconfined', 'RuntimeDefault', 'Localhost']), { doc: 'Localhost, RuntimeDefault or Unconfined.' }),
  localhostProfile: opt(2, str(), { doc: 'Profile on the node, for type Localhost.', pointer: true }),
}))
export type SeccompProfile = Infer<typeof seccompProfile>

export const appArmorProfile = obj('io.k8s.api.core.v1.AppArmorProfile', 'An AppArmor profile.', () => ({
  type: req(1, str(['Unconfined', 'RuntimeDefault', 'Localhost']), { doc: 'Localhost, RuntimeDefault or Unconfined.' }),
  localhostProfile: opt(2, str(), { doc: 'Profile on the node, for type Localhost.', pointer: true }),
}))
export type AppArmorProfile = Infer<typeof appArmorProfile>

export const sysctl = obj('io.k8s.api.core.v1.Sysctl', 'A kernel parameter.', () => ({
  name: req(1, str(), { doc: 'Name of the parameter.' }),
  value: req(2, str(), { doc: 'Its value.' }),
}))
export type Sysctl = Infer<typeof sysctl>
