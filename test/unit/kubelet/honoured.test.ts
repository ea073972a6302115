/**
 * Every field of a pod's spec, by what a node does about it: nothing is passed over in silence. The walk through the schema finds fields
 * that nobody has thought of.
 */
import { describe, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { podSpec } from '#shared/api/core/podspec/podspec.ts'
import type { Schema } from '#shared/machinery/schema.ts'
import { unsupportedFields as ofOci } from '#node-agent/runtime/oci/unsupported.ts'
import { unsupportedFields as ofProcess } from '#node-agent/runtime/process/unsupported.ts'

/** Not the kubelet's: the API server, the scheduler or a controller acts on them, or they are for systems that nodes here are not. */
const elsewhere = `
  nodeSelector serviceAccountName serviceAccount automountServiceAccountToken nodeName affinity schedulerName tolerations priorityClassName
  preemptionPolicy topologySpreadConstraints schedulingGates workloadRef securityContext.windowsOptions
  containers.securityContext.windowsOptions securityContext.seLinuxChangePolicy`

/** Done by both runtimes, or by the kubelet whichever it is. */
const honoured = `
  restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy hostNetwork hostPID hostIPC imagePullSecrets priority
  readinessGates runtimeClassName enableServiceLinks overhead os securityContext.runAsNonRoot
  containers.name containers.image containers.command containers.args containers.workingDir containers.ports containers.envFrom
  containers.env containers.resizePolicy containers.restartPolicy containers.restartPolicyRules containers.livenessProbe
  containers.readinessProbe containers.startupProbe containers.lifecycle containers.terminationMessagePath
  containers.terminationMessagePolicy containers.imagePullPolicy containers.stdin containers.stdinOnce containers.tty
  containers.resources.requests containers.securityContext.runAsNonRoot volumes.name resourceClaims containers.resources.claims
  containers.volumeMounts.name containers.volumeMounts.subPath containers.volumeMounts.subPathExpr`

/** By the plugin of their type: what it cannot, and that there is none, is told by FailedMount while the pod waits. */
const byPlugin = `
  volumes.hostPath volumes.secret volumes.nfs volumes.downwardAPI volumes.configMap volumes.projected volumes.persistentVolumeClaim
  volumes.ephemeral volumes.image volumes.gcePersistentDisk volumes.awsElasticBlockStore volumes.gitRepo volumes.iscsi volumes.glusterfs
  volumes.rbd volumes.flexVolume volumes.cinder volumes.cephfs volumes.flocker volumes.fc volumes.azureFile volumes.vsphereVolume
  volumes.quobyte volumes.azureDisk volumes.photonPersistentDisk volumes.portworxVolume volumes.scaleIO volumes.storageos volumes.csi`

const volume = (source: object) => ({ volumes: [{ name: 'v', ...source }] })
const container = (fields: object) => ({ containers: [{ name: 'c', image: 'i', ...fields }] })
const security = (fields: object) => ({ securityContext: fields })
const own = (fields: object) => container({ securityContext: fields })
const mounted = (fields: object) => container({ volumeMounts: [{ name: 'v', mountPath: '/m', ...fields }] })

/** An event where they cannot be had: of plain processes. What is said of each there. */
const isolation: { [field: string]: [spec: object, phrase: string] } = {
  hostUsers: [{ hostUsers: false }, 'hostUsers'],
  shareProcessNamespace: [{ shareProcessNamespace: true }, 'shareProcessNamespace'],
  hostname: [{ hostname: 'h' }, 'hostname'],
  subdomain: [{ subdomain: 's' }, 'hostname'],
  setHostnameAsFQDN: [{ setHostnameAsFQDN: true }, 'hostname'],
  hostnameOverride: [{ hostnameOverride: 'h' }, 'hostname'],
  hostAliases: [{ hostAliases: [{ ip: '1.2.3.4' }] }, 'hostAliases'],
  dnsConfig: [{ dnsConfig: {} }, 'dnsConfig'],
  resources: [{ resources: { limits: { cpu: '1' } } }, 'limits.cpu of the pod'],
  'securityContext.runAsUser': [security({ runAsUser: 5 }), 'runAsUser 5'],
  'securityContext.runAsGroup': [security({ runAsGroup: 5 }), 'runAsGroup'],
  'securityContext.supplementalGroups': [security({ supplementalGroups: [1] }), 'supplementalGroups'],
  'securityContext.supplementalGroupsPolicy': [security({ supplementalGroupsPolicy: 'Strict' }), 'supplementalGroupsPolicy'],
  'securityContext.fsGroup': [security({ fsGroup: 1 }), 'fsGroup'],
  'securityContext.fsGroupChangePolicy': [security({ fsGroup: 1, fsGroupChangePolicy: 'Always' }), 'fsGroup'],
  'securityContext.sysctls': [security({ sysctls: [{ name: 'kernel.sem', value: '1' }] }), 'sysctl kernel.sem'],
  'securityContext.seccompProfile': [security({ seccompProfile: { type: 'RuntimeDefault' } }), 'seccompProfile'],
  'containers.securityContext.runAsUser': [own({ runAsUser: 5 }), 'runAsUser 5'],
  'containers.securityContext.runAsGroup': [own({ runAsGroup: 5 }), 'runAsGroup'],
  'containers.securityContext.privileged': [own({ privileged: true }), 'privileged'],
  'containers.securityContext.readOnlyRootFilesystem': [own({ readOnlyRootFilesystem: true }), 'readOnlyRootFilesystem'],
  'containers.securityContext.allowPrivilegeEscalation': [own({ allowPrivilegeEscalation: false }), 'allowPrivilegeEscalation'],
  'containers.securityContext.capabilities': [own({ capabilities: { drop: ['ALL'] } }), 'capabilities'],
  'containers.securityContext.procMount': [own({ procMount: 'Unmasked' }), 'procMount'],
  'containers.securityContext.seccompProfile': [own({ seccompProfile: { type: 'RuntimeDefault' } }), 'seccompProfile'],
  'containers.resources.limits': [container({ resources: { limits: { memory: '1Mi' } } }), 'limits.memory'],
  'containers.volumeMounts.mountPath': [mounted({}), 'mountPath /m'],
  'containers.volumeMounts.readOnly': [mounted({ readOnly: true }), 'readOnly of mountPath /m'],
  'containers.volumeMounts.recursiveReadOnly': [mounted({ readOnly: true, recursiveReadOnly: 'IfPossible' }), 'readOnly of mountPath /m'],
  'containers.volumeMounts.mountPropagation': [mounted({ mountPropagation: 'HostToContainer' }), 'mountPropagation'],
  'containers.volumeDevices': [container({ volumeDevices: [{ name: 'v', devicePath: '/d' }] }), 'volumeDevices'],
  'volumes.emptyDir.sizeLimit': [volume({ emptyDir: { sizeLimit: '1Mi' } }), 'sizeLimit of volume v'],
  'volumes.emptyDir.medium': [volume({ emptyDir: { medium: 'Memory' } }), 'medium Memory of volume v'],
}

/** An event on every node. */
const nowhere: { [field: string]: [spec: object, phrase: string] } = {
  'securityContext.seLinuxOptions': [security({ seLinuxOptions: { level: 's0' } }), 'seLinuxOptions'],
  'containers.securityContext.seLinuxOptions': [own({ seLinuxOptions: { level: 's0' } }), 'seLinuxOptions'],
  // Where the kernel has AppArmor; elsewhere such pods are refused.
  'securityContext.appArmorProfile': [security({ appArmorProfile: { type: 'RuntimeDefault' } }), 'appArmorProfile'],
  'containers.securityContext.appArmorProfile': [own({ appArmorProfile: { type: 'RuntimeDefault' } }), 'appArmorProfile'],
}

/** These are looked into, field by field. */
const inside = ['securityContext', 'containers', 'containers.securityContext', 'containers.resources', 'containers.volumeMounts', 'volumes', 'volumes.emptyDir'] // prettier-ignore
/** The same as a container, and as one that names another. */
const likeContainers = ['initContainers', 'ephemeralContainers']

function walk(schema: Schema, path: string): string[] {
  if (schema.type === 'list') return walk(schema.items as Schema, path)
  if (schema.type !== 'object') return [path]
  return Object.entries(schema.fields as Record<string, { schema: Schema }>).flatMap(([name, field]) => {
    const at = path === '' ? name : `${path}.${name}`
    if (likeContainers.includes(at)) return []
    return inside.includes(at) ? walk(field.schema, at) : [at]
  })
}

const words = (text: string): string[] => text.trim().split(/\s+/)
const pod = (spec: object): Pod => ({ metadata: { name: 'p' }, spec: { ...container({}), ...spec } }) as unknown as Pod
const asProcess = (spec: object) => ofProcess(pod(spec), { uid: 1000, mounts: false })

test('every field is somebody’s, once', () => {
  const known = [...[elsewhere, honoured, byPlugin].flatMap(words), ...Object.keys(isolation), ...Object.keys(nowhere)]
  expect(new Set(known).size).toBe(known.length)
  expect([...known].sort()).toEqual(walk(podSpec, '').sort())
})

describe('a field that cannot be had is told of', () => {
  test.each(Object.entries(isolation))('%s, by plain processes alone', (_, [spec, phrase]) => {
    expect(asProcess(spec).join('; ')).toContain(phrase)
    expect(ofOci(pod(spec))).toEqual([])
  })
  test.each(Object.entries(nowhere))('%s', (_, [spec, phrase]) => {
    for (const told of [asProcess(spec), ofOci(pod(spec))]) expect(told.join('; ')).toContain(phrase)
  })
  test('nothing is said of a plain pod', () => {
    expect([...asProcess({}), ...ofOci(pod({}))]).toEqual([])
  })
})
