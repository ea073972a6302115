/** Volumes of a pod: the common sources. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, inline, int32, list, map, obj, opt, quantity, req, str, type Infer } from '../../../machinery/schema.ts'
import { localObjectReference } from '../objectreference.ts'
import { persistentVolumeClaimTemplate } from '../persistentvolumeclaimspec.ts'
import { awsElasticBlockStoreVolumeSource, azureDiskVolumeSource, cinderVolumeSource, fcVolumeSource, gcePersistentDiskVolumeSource, iscsiVolumeSource, photonPersistentDiskVolumeSource, portworxVolumeSource, rbdVolumeSource, scaleIOVolumeSource, storageOSVolumeSource, vsphereVirtualDiskVolumeSource } from './blockvolume.ts'
import { objectFieldSelector, resourceFieldSelector } from './env.ts'
import { azureFileVolumeSource, cephFSVolumeSource, flexVolumeSource, flockerVolumeSource, glusterfsVolumeSource, quobyteVolumeSource } from './filevolume.ts'
import { projectedVolumeSource } from './projectedvolume.ts'

export const volume = obj('io.k8s.api.core.v1.Volume', '', () => ({
  name: req(1, str()),
  ...inline(2, volumeSource),
}))
export type Volume = Infer<typeof volume>

export const volumeSource = obj('io.k8s.api.core.v1.VolumeSource', '', () => ({
  hostPath: opt(1, hostPathVolumeSource),
  emptyDir: opt(2, emptyDirVolumeSource),
  gcePersistentDisk: opt(3, gcePersistentDiskVolumeSource),
  awsElasticBlockStore: opt(4, awsElasticBlockStoreVolumeSource),
  gitRepo: opt(5, gitRepoVolumeSource),
  secret: opt(6, secretVolumeSource),
  nfs: opt(7, nfsVolumeSource),
  iscsi: opt(8, iscsiVolumeSource),
  glusterfs: opt(9, glusterfsVolumeSource),
  persistentVolumeClaim: opt(10, persistentVolumeClaimVolumeSource),
  rbd: opt(11, rbdVolumeSource),
  flexVolume: opt(12, flexVolumeSource),
  cinder: opt(13, cinderVolumeSource),
  cephfs: opt(14, cephFSVolumeSource),
  flocker: opt(15, flockerVolumeSource),
  downwardAPI: opt(16, downwardAPIVolumeSource),
  fc: opt(17, fcVolumeSource),
  azureFile: opt(18, azureFileVolumeSource),
  configMap: opt(19, configMapVolumeSource),
  vsphereVolume: opt(20, vsphereVirtualDiskVolumeSource),
  quobyte: opt(21, quobyteVolumeSource),
  azureDisk: opt(22, azureDiskVolumeSource),
  photonPersistentDisk: opt(23, photonPersistentDiskVolumeSource),
  projected: opt(26, projectedVolumeSource),
  portworxVolume: opt(24, portworxVolumeSource),
  scaleIO: opt(25, scaleIOVolumeSource),
  storageos: opt(27, storageOSVolumeSource),
  csi: opt(28, csiVolumeSource),
  ephemeral: opt(29, ephemeralVolumeSource),
  image: opt(30, imageVolumeSource),
}))
export type VolumeSource = Infer<typeof volumeSource>

export const emptyDirVolumeSource = obj('io.k8s.api.core.v1.EmptyDirVolumeSource', '', () => ({
  medium: opt(1, str()),
  sizeLimit: opt(2, quantity()),
}))
export type EmptyDirVolumeSource = Infer<typeof emptyDirVolumeSource>

export const hostPathVolumeSource = obj('io.k8s.api.core.v1.HostPathVolumeSource', '', () => ({
  path: req(1, str()),
  type: opt(2, str(['', 'DirectoryOrCreate', 'Directory', 'FileOrCreate', 'File', 'Socket', 'CharDevice', 'BlockDevice']), { default: '', pointer: true }),
}))
export type HostPathVolumeSource = Infer<typeof hostPathVolumeSource>

export const configMapVolumeSource = obj('io.k8s.api.core.v1.ConfigMapVolumeSource', '', () => ({
  ...inline(1, localObjectReference),
  items: opt(2, list(keyToPath)),
  defaultMode: opt(3, int32(), { default: 420 }),
  optional: opt(4, bool()),
}))
export type ConfigMapVolumeSource = Infer<typeof configMapVolumeSource>

export const secretVolumeSource = obj('io.k8s.api.core.v1.SecretVolumeSource', '', () => ({
  secretName: opt(1, str()),
  items: opt(2, list(keyToPath)),
  defaultMode: opt(3, int32(), { default: 420 }),
  optional: opt(4, bool()),
}))
export type SecretVolumeSource = Infer<typeof secretVolumeSource>

export const keyToPath = obj('io.k8s.api.core.v1.KeyToPath', '', () => ({
  key: req(1, str()),
  path: req(2, str()),
  mode: opt(3, int32()),
}))
export type KeyToPath = Infer<typeof keyToPath>

export const downwardAPIVolumeSource = obj('io.k8s.api.core.v1.DownwardAPIVolumeSource', '', () => ({
  items: opt(1, list(downwardAPIVolumeFile)),
  defaultMode: opt(2, int32(), { default: 420 }),
}))
export type DownwardAPIVolumeSource = Infer<typeof downwardAPIVolumeSource>

export const downwardAPIVolumeFile = obj('io.k8s.api.core.v1.DownwardAPIVolumeFile', '', () => ({
  path: req(1, str()),
  fieldRef: opt(2, objectFieldSelector),
  resourceFieldRef: opt(3, resourceFieldSelector),
  mode: opt(4, int32()),
}))
export type DownwardAPIVolumeFile = Infer<typeof downwardAPIVolumeFile>

export const persistentVolumeClaimVolumeSource = obj('io.k8s.api.core.v1.PersistentVolumeClaimVolumeSource', '', () => ({
  claimName: req(1, str()),
  readOnly: opt(2, bool(), { pointer: false }),
}))
export type PersistentVolumeClaimVolumeSource = Infer<typeof persistentVolumeClaimVolumeSource>

export const ephemeralVolumeSource = obj('io.k8s.api.core.v1.EphemeralVolumeSource', '', () => ({
  volumeClaimTemplate: opt(1, persistentVolumeClaimTemplate),
}))
export type EphemeralVolumeSource = Infer<typeof ephemeralVolumeSource>

export const csiVolumeSource = obj('io.k8s.api.core.v1.CSIVolumeSource', '', () => ({
  driver: req(1, str()),
  readOnly: opt(2, bool()),
  fsType: opt(3, str(), { pointer: true }),
  volumeAttributes: opt(4, map(str())),
  nodePublishSecretRef: opt(5, localObjectReference),
}))
export type CSIVolumeSource = Infer<typeof csiVolumeSource>

export const imageVolumeSource = obj('io.k8s.api.core.v1.ImageVolumeSource', '', () => ({
  reference: opt(1, str()),
  pullPolicy: opt(2, str(['Always', 'Never', 'IfNotPresent'])),
}))
export type ImageVolumeSource = Infer<typeof imageVolumeSource>

export const nfsVolumeSource = obj('io.k8s.api.core.v1.NFSVolumeSource', '', () => ({
  server: req(1, str()),
  path: req(2, str()),
  readOnly: opt(3, bool(), { pointer: false }),
}))
export type NFSVolumeSource = Infer<typeof nfsVolumeSource>

export const gitRepoVolumeSource = obj('io.k8s.api.core.v1.GitRepoVolumeSource', '', () => ({
  repository: req(1, str()),
  revision: opt(2, str()),
  directory: opt(3, str()),
}))
export type GitRepoVolumeSource = Infer<typeof gitRepoVolumeSource>
