/**
 * What a pod asks for that plain processes in the node's own file system cannot have. Pure; the kubelet tells of it in an event of the pod.
 */
import type { Pod } from '#shared/api/core/pod.ts'
import type { Container } from '#shared/api/core/podspec/container.ts'
import { isNested, mountVariable } from './root.ts'

/** The API server's own, in nearly every pod: the README tells where it is. */
const tokenMount = '/var/run/secrets/kubernetes.io/serviceaccount'

/** `uid` is the user of all processes; `mounts` whether the node can mount a tmpfs. */
export function unsupportedFields({ spec }: Pod, node: { uid: number; mounts: boolean }): string[] {
  const shared = spec.securityContext ?? {}
  const of = (value: unknown, phrase: string): string[] => (value ? [phrase] : [])
  const pod = [
    ...of(shared.runAsUser !== undefined && shared.runAsUser !== node.uid, `runAsUser ${shared.runAsUser} (it is ${node.uid})`),
    ...of(shared.runAsGroup !== undefined, 'runAsGroup'),
    ...of(shared.fsGroup !== undefined, 'fsGroup'),
    ...of(shared.supplementalGroups?.length, 'supplementalGroups'),
    ...of(shared.supplementalGroupsPolicy === 'Strict', 'supplementalGroupsPolicy'),
    ...of(shared.seccompProfile && shared.seccompProfile.type !== 'Unconfined', 'seccompProfile'),
    ...of(shared.appArmorProfile && shared.appArmorProfile.type !== 'Unconfined', 'appArmorProfile'),
    ...of(shared.seLinuxOptions, 'seLinuxOptions'),
    ...(shared.sysctls ?? []).filter(s => !s.name.startsWith('net.')).map(s => `sysctl ${s.name}`),
    ...of(spec.hostUsers === false, 'hostUsers'),
    ...Object.keys(spec.resources?.limits ?? {}).map(name => `limits.${name} of the pod`),
    ...of(
      spec.hostname || spec.subdomain || spec.setHostnameAsFQDN || spec.hostnameOverride,
      'hostname (only the variable HOSTNAME has it)',
    ),
    ...of(spec.hostAliases?.length, 'hostAliases'),
    ...of(spec.dnsConfig || spec.dnsPolicy === 'None', 'dnsConfig'),
    ...of(spec.shareProcessNamespace, 'shareProcessNamespace (all processes of the node share one)'),
    ...(spec.volumes ?? []).flatMap(v => [
      ...of(v.emptyDir?.medium === 'Memory' && !node.mounts, `medium Memory of volume ${v.name} (it is on disk)`),
      ...of(v.emptyDir?.sizeLimit && !(v.emptyDir.medium === 'Memory' && node.mounts), `sizeLimit of volume ${v.name}`),
    ]),
  ]
  const containers = [...(spec.initContainers ?? []), ...spec.containers].flatMap(c =>
    containerFields(c, node.uid).map(field => `${field} of container ${c.name}`),
  )
  return [...pod, ...containers]
}

function containerFields({ securityContext = {}, resources, volumeDevices, volumeMounts = [] }: Container, uid: number): string[] {
  const of = (value: unknown, phrase: string): string[] => (value ? [phrase] : [])
  const {
    runAsUser,
    runAsGroup,
    privileged,
    readOnlyRootFilesystem,
    allowPrivilegeEscalation,
    capabilities,
    seccompProfile,
    appArmorProfile,
    seLinuxOptions,
    procMount,
  } = securityContext
  const mounts = volumeMounts.filter(m => m.mountPath !== tokenMount)
  const paths = volumeMounts.map(m => m.mountPath)
  return [
    ...of(runAsUser !== undefined && runAsUser !== uid, `runAsUser ${runAsUser} (it is ${uid})`),
    ...of(runAsGroup !== undefined, 'runAsGroup'),
    ...of(privileged, 'privileged'),
    ...of(readOnlyRootFilesystem, 'readOnlyRootFilesystem'),
    ...of(allowPrivilegeEscalation === false, 'allowPrivilegeEscalation'),
    ...of(capabilities?.add?.length || capabilities?.drop?.length, 'capabilities'),
    ...of(seccompProfile && seccompProfile.type !== 'Unconfined', 'seccompProfile'),
    ...of(appArmorProfile && appArmorProfile.type !== 'Unconfined', 'appArmorProfile'),
    ...of(seLinuxOptions, 'seLinuxOptions'),
    ...of(procMount && procMount !== 'Default', 'procMount'),
    ...Object.keys(resources?.limits ?? {}).map(name => `limits.${name}`),
    ...of(volumeDevices?.length, 'volumeDevices'),
    ...mounts.map(
      m => `mountPath ${m.mountPath} (it is ${isNested(m.mountPath, paths) ? '' : `.${m.mountPath} and `}$${mountVariable(m.mountPath)})`,
    ),
    ...mounts.filter(m => m.readOnly).map(m => `readOnly of mountPath ${m.mountPath}`),
    ...mounts.filter(m => m.mountPropagation && m.mountPropagation !== 'None').map(m => `mountPropagation of mountPath ${m.mountPath}`),
  ]
}
