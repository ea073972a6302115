/** Volumes of a pod: the common sources. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, inline, int32, list, map, obj, opt, quantity, req, str, type Infer } from '../../../machinery/schema.ts'
import { localObjectReference } from '../objectreference.ts'
import { persistentVolumeClaimTemplate } from '../persistentvolumeclaimspec.ts'
import {
  awsElasticBlockStoreVolumeSource,
  azureDiskVolumeSource,
  cinderVolumeSource,
  fcVolumeSource,
  gcePersistentDiskVolumeSource,
  iscsiVolumeSource,
  photonPersistentDiskVolumeSource,
  portworxVolumeSource,
  rbdVolumeSource,
  scaleIOVolumeSource,
  storageOSVolumeSource,
  vsphereVirtualDiskVolumeSource,
} from './blockvolume.ts'
import { objectFieldSelector, resourceFieldSelector } from './env.ts'
import {
  azureFileVolumeSource,
  cephFSVolumeSource,
  flexVolumeSource,
  flockerVolumeSource,
  glusterfsVolumeSource,
  quobyteVolumeSource,
} from './filevolume.ts'
import { projectedVolumeSource } from './projectedvolume.ts'

export const volume = obj('io.k8s.api.core.v1.Volume', 'A directory or device that containers may mount.', () => ({
  name: req(1, str(), { doc: 'Unique in the pod; a DNS label.' }),
  ...inline(2, volumeSource),
}))
export type Volume = Infer<typeof volume>

export const volumeSource = obj(
  'io.k8s.api.core.v1.VolumeSource',
  'What a volume holds; one of them, emptyDir when none is given.',
  () => ({
    hostPath: opt(1, hostPathVolumeSource, { doc: 'A path of the node.' }),
    emptyDir: opt(2, emptyDirVolumeSource, { doc: 'An empty directory that lives as long as the pod.' }),
    gcePersistentDisk: opt(3, gcePersistentDiskVolumeSource, { doc: 'A disk of Google Compute Engine.' }),
    awsElasticBlockStore: opt(4, awsElasticBlockStoreVolumeSource, { doc: 'A volume of AWS EBS.' }),
    gitRepo: opt(5, gitRepoVolumeSource, { doc: 'A clone of a git repository; deprecated.' }),
    secret: opt(6, secretVolumeSource, { doc: 'The keys of a Secret as files.' }),
    nfs: opt(7, nfsVolumeSource, { doc: 'An NFS share.' }),
    iscsi: opt(8, iscsiVolumeSource, { doc: 'An iSCSI disk.' }),
    glusterfs: opt(9, glusterfsVolumeSource, { doc: 'A Gluster volume.' }),
    persistentVolumeClaim: opt(10, persistentVolumeClaimVolumeSource, { doc: 'The volume of a claim.' }),
    rbd: opt(11, rbdVolumeSource, { doc: 'A Ceph block device.' }),
    flexVolume: opt(12, flexVolumeSource, { doc: 'A volume of an exec plugin.' }),
    cinder: opt(13, cinderVolumeSource, { doc: 'An OpenStack Cinder volume.' }),
    cephfs: opt(14, cephFSVolumeSource, { doc: 'A Ceph file system.' }),
    flocker: opt(15, flockerVolumeSource, { doc: 'A Flocker dataset.' }),
    downwardAPI: opt(16, downwardAPIVolumeSource, { doc: 'Fields of the pod as files.' }),
    fc: opt(17, fcVolumeSource, { doc: 'A Fibre Channel disk.' }),
    azureFile: opt(18, azureFileVolumeSource, { doc: 'An Azure file share.' }),
    configMap: opt(19, configMapVolumeSource, { doc: 'The keys of a ConfigMap as files.' }),
    vsphereVolume: opt(20, vsphereVirtualDiskVolumeSource, { doc: 'A vSphere disk.' }),
    quobyte: opt(21, quobyteVolumeSource, { doc: 'A Quobyte volume.' }),
    azureDisk: opt(22, azureDiskVolumeSource, { doc: 'An Azure disk.' }),
    photonPersistentDisk: opt(23, photonPersistentDiskVolumeSource, { doc: 'A Photon disk.' }),
    projected: opt(26, projectedVolumeSource, { doc: 'Several sources in one directory.' }),
    portworxVolume: opt(24, portworxVolumeSource, { doc: 'A Portworx volume.' }),
    scaleIO: opt(25, scaleIOVolumeSource, { doc: 'A ScaleIO volume.' }),
    storageos: opt(27, storageOSVolumeSource, { doc: 'A StorageOS volume.' }),
    csi: opt(28, csiVolumeSource, { doc: 'An inline volume of a CSI driver.' }),
    ephemeral: opt(29, ephemeralVolumeSource, { doc: 'A claim made for the pod and deleted with it.' }),
    image: opt(30, imageVolumeSource, { doc: 'The contents of an image, read-only.' }),
  }),
)
export type VolumeSource = Infer<typeof volumeSource>

export const emptyDirVolumeSource = obj('io.k8s.api.core.v1.EmptyDirVolumeSource', 'An empty directory.', () => ({
  medium: opt(1, str(), { doc: 'Memory for a tmpfs, else the disk of the node.' }),
  sizeLimit: opt(2, quantity(), { doc: 'The most that it may hold.' }),
}))
export type EmptyDirVolumeSource = Infer<typeof emptyDirVolumeSource>

export const hostPathVolumeSource = obj('io.k8s.api.core.v1.HostPathVolumeSource', 'A path of the node.', () => ({
  path: req(1, str(), { doc: 'The path.' }),
  type: opt(2, str(['', 'DirectoryOrCreate', 'Directory', 'FileOrCreate', 'File', 'Socket', 'CharDevice', 'BlockDevice']), {
    doc: 'What must be there, or is made; nothing is checked when empty.',
    default: '',
    pointer: true,
  }),
}))
export type HostPathVolumeSource = Infer<typeof hostPathVolumeSource>

export const configMapVolumeSource = obj('io.k8s.api.core.v1.ConfigMapVolumeSource', 'The keys of a ConfigMap as files.', () => ({
  ...inline(1, localObjectReference),
  items: opt(2, list(keyToPath), { doc: 'Which keys become files, and where; all keys when empty.' }),
  defaultMode: opt(3, int32(), { doc: 'Permission bits of files that name none of their own.', default: 420 }),
  optional: opt(4, bool(), { doc: 'Whether it may be missing.' }),
}))
export type ConfigMapVolumeSource = Infer<typeof configMapVolumeSource>

export const secretVolumeSource = obj('io.k8s.api.core.v1.SecretVolumeSource', 'The keys of a Secret as files.', () => ({
  secretName: opt(1, str(), { doc: 'Name of the Secret.' }),
  items: opt(2, list(keyToPath), { doc: 'Which keys become files, and where; all keys when empty.' }),
  defaultMode: opt(3, int32(), { doc: 'Permission bits of files that name none of their own.', default: 420 }),
  optional: opt(4, bool(), { doc: 'Whether it may be missing.' }),
}))
export type SecretVolumeSource = Infer<typeof secretVolumeSource>

export const keyToPath = obj('io.k8s.api.core.v1.KeyToPath', 'A key that becomes a file.', () => ({
  key: req(1, str(), { doc: 'The key.' }),
  path: req(2, str(), { doc: 'Relative path of the file.' }),
  mode: opt(3, int32(), { doc: 'Permission bits of the file; the default of the volume when absent.' }),
}))
export type KeyToPath = Infer<typeof keyToPath>

export const downwardAPIVolumeSource = obj('io.k8s.api.core.v1.DownwardAPIVolumeSource', 'Fields of the pod as files.', () => ({
  items: opt(1, list(downwardAPIVolumeFile), { doc: 'The files.' }),
  defaultMode: opt(2, int32(), { doc: 'Permission bits of files that name none of their own.', default: 420 }),
}))
export type DownwardAPIVolumeSource = Infer<typeof downwardAPIVolumeSource>

export const downwardAPIVolumeFile = obj('io.k8s.api.core.v1.DownwardAPIVolumeFile', 'A file with a field of the pod.', () => ({
  path: req(1, str(), { doc: 'Relative path of the file.' }),
  fieldRef: opt(2, objectFieldSelector, { doc: 'A field of the pod.' }),
  resourceFieldRef: opt(3, resourceFieldSelector, { doc: 'A resource of a container.' }),
  mode: opt(4, int32(), { doc: 'Permission bits of the file; the default of the volume when absent.' }),
}))
export type DownwardAPIVolumeFile = Infer<typeof downwardAPIVolumeFile>

export const persistentVolumeClaimVolumeSource = obj(
  'io.k8s.api.core.v1.PersistentVolumeClaimVolumeSource',
  'The volume of a claim.',
  () => ({
    claimName: req(1, str(), { doc: 'Name of the claim.' }),
    readOnly: opt(2, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  }),
)
export type PersistentVolumeClaimVolumeSource = Infer<typeof persistentVolumeClaimVolumeSource>

export const ephemeralVolumeSource = obj('io.k8s.api.core.v1.EphemeralVolumeSource', 'A claim that lives with the pod.', () => ({
  volumeClaimTemplate: opt(1, persistentVolumeClaimTemplate, { doc: 'From which the claim is made.' }),
}))
export type EphemeralVolumeSource = Infer<typeof ephemeralVolumeSource>

export const csiVolumeSource = obj('io.k8s.api.core.v1.CSIVolumeSource', 'An inline volume of a CSI driver.', () => ({
  driver: req(1, str(), { doc: 'Name of the driver.' }),
  readOnly: opt(2, bool(), { doc: 'Mounts it read-only.' }),
  fsType: opt(3, str(), { doc: 'File system type, such as ext4; guessed when empty.', pointer: true }),
  volumeAttributes: opt(4, map(str()), { doc: 'Settings for the driver.' }),
  nodePublishSecretRef: opt(5, localObjectReference, { doc: 'Secret for the driver.' }),
}))
export type CSIVolumeSource = Infer<typeof csiVolumeSource>

export const imageVolumeSource = obj('io.k8s.api.core.v1.ImageVolumeSource', 'An image mounted as a volume.', () => ({
  reference: opt(1, str(), { doc: 'Name of the image.' }),
  pullPolicy: opt(2, str(['Always', 'Never', 'IfNotPresent']), { doc: 'When to pull it.' }),
}))
export type ImageVolumeSource = Infer<typeof imageVolumeSource>

export const nfsVolumeSource = obj('io.k8s.api.core.v1.NFSVolumeSource', 'An NFS share.', () => ({
  server: req(1, str(), { doc: 'Host name or address of the server.' }),
  path: req(2, str(), { doc: 'Exported path.' }),
  readOnly: opt(3, bool(), { doc: 'Mounts it read-only.', pointer: false }),
}))
export type NFSVolumeSource = Infer<typeof nfsVolumeSource>

export const gitRepoVolumeSource = obj('io.k8s.api.core.v1.GitRepoVolumeSource', 'A clone of a git repository.', () => ({
  repository: req(1, str(), { doc: 'URL of the repository.' }),
  revision: opt(2, str(), { doc: 'Commit to check out.' }),
  directory: opt(3, str(), { doc: 'Directory to clone into.' }),
}))
export type GitRepoVolumeSource = Infer<typeof gitRepoVolumeSource>
