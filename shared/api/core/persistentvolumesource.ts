/** The storage systems that a PersistentVolume may be on. Some differ from a pod's volumes in that a Secret is of any namespace. */
import { bool, int32, list, map, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { objectReference } from './objectreference.ts'
import {
  awsElasticBlockStoreVolumeSource,
  azureDiskVolumeSource,
  fcVolumeSource,
  gcePersistentDiskVolumeSource,
  photonPersistentDiskVolumeSource,
  portworxVolumeSource,
  vsphereVirtualDiskVolumeSource,
} from './podspec/blockvolume.ts'
import { flockerVolumeSource, quobyteVolumeSource } from './podspec/filevolume.ts'
import { hostPathVolumeSource, nfsVolumeSource } from './podspec/volume.ts'
import { secretReference } from './secretreference.ts'

export const persistentVolumeSource = obj('io.k8s.api.core.v1.PersistentVolumeSource', 'Where the storage is; one of them.', () => ({
  gcePersistentDisk: opt(1, gcePersistentDiskVolumeSource, { doc: 'A disk of Google Compute Engine.' }),
  awsElasticBlockStore: opt(2, awsElasticBlockStoreVolumeSource, { doc: 'A volume of AWS EBS.' }),
  hostPath: opt(3, hostPathVolumeSource, { doc: 'A path of the node; for clusters of one node.' }),
  glusterfs: opt(4, glusterfsPersistentVolumeSource, { doc: 'A Gluster volume.' }),
  nfs: opt(5, nfsVolumeSource, { doc: 'An NFS share.' }),
  rbd: opt(6, rbdPersistentVolumeSource, { doc: 'A Ceph block device.' }),
  iscsi: opt(7, iscsiPersistentVolumeSource, { doc: 'An iSCSI disk.' }),
  cinder: opt(8, cinderPersistentVolumeSource, { doc: 'An OpenStack Cinder volume.' }),
  cephfs: opt(9, cephFSPersistentVolumeSource, { doc: 'A Ceph file system.' }),
  fc: opt(10, fcVolumeSource, { doc: 'A Fibre Channel disk.' }),
  flocker: opt(11, flockerVolumeSource, { doc: 'A Flocker dataset.' }),
  flexVolume: opt(12, flexPersistentVolumeSource, { doc: 'A volume of an exec plugin.' }),
  azureFile: opt(13, azureFilePersistentVolumeSource, { doc: 'An Azure file share.' }),
  vsphereVolume: opt(14, vsphereVirtualDiskVolumeSource, { doc: 'A vSphere disk.' }),
  quobyte: opt(15, quobyteVolumeSource, { doc: 'A Quobyte volume.' }),
  azureDisk: opt(16, azureDiskVolumeSource, { doc: 'An Azure disk.' }),
  photonPersistentDisk: opt(17, photonPersistentDiskVolumeSource, { doc: 'A Photon disk.' }),
  portworxVolume: opt(18, portworxVolumeSource, { doc: 'A Portworx volume.' }),
  scaleIO: opt(19, scaleIOPersistentVolumeSource, { doc: 'A ScaleIO volume.' }),
  local: opt(20, localVolumeSource, { doc: 'A directory or device of a node.' }),
  storageos: opt(21, storageOSPersistentVolumeSource, { doc: 'A StorageOS volume.' }),
  csi: opt(22, csiPersistentVolumeSource, { doc: 'A volume of a CSI driver.' }),
}))
export type PersistentVolumeSource = Infer<typeof persistentVolumeSource>
const localVolumeSource = obj('io.k8s.api.core.v1.LocalVolumeSource', 'A directory or device of a node.', () => ({
  path: req(1, str(), { doc: 'Full path on the node.', default: '' }),
  fsType: opt(2, str(), { doc: 'File system type of a device; guessed when absent.', pointer: true }),
}))
export type LocalVolumeSource = Infer<typeof localVolumeSource>
const csiPersistentVolumeSource = obj('io.k8s.api.core.v1.CSIPersistentVolumeSource', 'A volume of a CSI driver.', () => ({
  driver: req(1, str(), { doc: 'Name of the driver.', default: '' }),
  volumeHandle: req(2, str(), { doc: "The driver's name for the volume.", default: '' }),
  readOnly: opt(3, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  fsType: opt(4, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  volumeAttributes: opt(5, map(str()), { doc: 'Settings for the driver.' }),
  controllerPublishSecretRef: opt(6, secretReference, { doc: 'Secret for attaching and detaching.' }),
  nodeStageSecretRef: opt(7, secretReference, { doc: 'Secret for staging on a node.' }),
  nodePublishSecretRef: opt(8, secretReference, { doc: 'Secret for mounting.' }),
  controllerExpandSecretRef: opt(9, secretReference, { doc: 'Secret for expanding.' }),
  nodeExpandSecretRef: opt(10, secretReference, { doc: 'Secret for expanding on a node.' }),
}))
export type CSIPersistentVolumeSource = Infer<typeof csiPersistentVolumeSource>
const glusterfsPersistentVolumeSource = obj('io.k8s.api.core.v1.GlusterfsPersistentVolumeSource', 'A Gluster volume.', () => ({
  endpoints: req(1, str(), { doc: 'Endpoints that hold the servers.', default: '' }),
  path: req(2, str(), { doc: 'Path of the volume.', default: '' }),
  readOnly: opt(3, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  endpointsNamespace: opt(4, str(), { doc: 'Namespace of the endpoints; that of the claim when absent.', pointer: true }),
}))
export type GlusterfsPersistentVolumeSource = Infer<typeof glusterfsPersistentVolumeSource>
const rbdPersistentVolumeSource = obj('io.k8s.api.core.v1.RBDPersistentVolumeSource', 'A Ceph block device.', () => ({
  monitors: req(1, list(str()), { doc: 'Addresses of the Ceph monitors.', listType: 'atomic' }),
  image: req(2, str(), { doc: 'Name of the device image.', default: '' }),
  fsType: opt(3, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  pool: opt(4, str(), { doc: 'Pool that it is in.', default: 'rbd' }),
  user: opt(5, str(), { doc: 'User name at the storage system.', default: 'admin' }),
  keyring: opt(6, str(), { doc: 'Path of the key ring.', default: '/etc/ceph/keyring' }),
  secretRef: opt(7, secretReference, { doc: 'Secret with the credentials.' }),
  readOnly: opt(8, bool(), { doc: 'Mounts it read-only.', pointer: false }),
}))
export type RBDPersistentVolumeSource = Infer<typeof rbdPersistentVolumeSource>
const iscsiPersistentVolumeSource = obj('io.k8s.api.core.v1.ISCSIPersistentVolumeSource', 'An iSCSI disk.', () => ({
  targetPortal: req(1, str(), { doc: 'Address of the portal.', default: '' }),
  iqn: req(2, str(), { doc: 'Qualified name of the target.', default: '' }),
  lun: req(3, int32(), { doc: 'Number of the logical unit.' }),
  iscsiInterface: opt(4, str(), { doc: 'Interface to use.', default: 'default' }),
  fsType: opt(5, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  readOnly: opt(6, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  portals: opt(7, list(str()), { doc: 'Further portals.', listType: 'atomic' }),
  chapAuthDiscovery: opt(8, bool(), { doc: 'CHAP for discovery.', pointer: false }),
  chapAuthSession: opt(11, bool(), { doc: 'CHAP for the session.', pointer: false }),
  secretRef: opt(10, secretReference, { doc: 'Secret with the credentials.' }),
  initiatorName: opt(12, str(), { doc: 'Own name of the initiator.', pointer: true }),
}))
export type ISCSIPersistentVolumeSource = Infer<typeof iscsiPersistentVolumeSource>
const cinderPersistentVolumeSource = obj('io.k8s.api.core.v1.CinderPersistentVolumeSource', 'An OpenStack Cinder volume.', () => ({
  volumeID: req(1, str(), { doc: 'Id of the volume.', default: '' }),
  fsType: opt(2, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  readOnly: opt(3, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  secretRef: opt(4, secretReference, { doc: 'Secret with the credentials.' }),
}))
export type CinderPersistentVolumeSource = Infer<typeof cinderPersistentVolumeSource>
const cephFSPersistentVolumeSource = obj('io.k8s.api.core.v1.CephFSPersistentVolumeSource', 'A Ceph file system.', () => ({
  monitors: req(1, list(str()), { doc: 'Addresses of the Ceph monitors.', listType: 'atomic' }),
  path: opt(2, str(), { doc: 'Path in it that is mounted.' }),
  user: opt(3, str(), { doc: 'User name at the storage system.' }),
  secretFile: opt(4, str(), { doc: 'Path of the key ring.' }),
  secretRef: opt(5, secretReference, { doc: 'Secret with the credentials.' }),
  readOnly: opt(6, bool(), { doc: 'Mounts it read-only.', pointer: false }),
}))
export type CephFSPersistentVolumeSource = Infer<typeof cephFSPersistentVolumeSource>
const flexPersistentVolumeSource = obj('io.k8s.api.core.v1.FlexPersistentVolumeSource', 'A volume of an exec plugin.', () => ({
  driver: req(1, str(), { doc: 'Name of the plugin.', default: '' }),
  fsType: opt(2, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  secretRef: opt(3, secretReference, { doc: 'Secret for the plugin.' }),
  readOnly: opt(4, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  options: opt(5, map(str()), { doc: 'Settings for the plugin.' }),
}))
export type FlexPersistentVolumeSource = Infer<typeof flexPersistentVolumeSource>
const azureFilePersistentVolumeSource = obj('io.k8s.api.core.v1.AzureFilePersistentVolumeSource', 'An Azure file share.', () => ({
  secretName: req(1, str(), { doc: 'Secret with the account and its key.', default: '' }),
  shareName: req(2, str(), { doc: 'Name of the share.', default: '' }),
  readOnly: opt(3, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  secretNamespace: opt(4, str(), { doc: 'Namespace of the Secret; that of the claim when absent.', pointer: true }),
}))
export type AzureFilePersistentVolumeSource = Infer<typeof azureFilePersistentVolumeSource>
const scaleIOPersistentVolumeSource = obj('io.k8s.api.core.v1.ScaleIOPersistentVolumeSource', 'A ScaleIO volume.', () => ({
  gateway: req(1, str(), { doc: 'Address of the gateway.', default: '' }),
  system: req(2, str(), { doc: 'Name of the storage system.', default: '' }),
  secretRef: req(3, secretReference, { doc: 'Secret with the credentials.', pointer: true }),
  sslEnabled: opt(4, bool(), { doc: 'Whether to use TLS.', pointer: false }),
  protectionDomain: opt(5, str(), { doc: 'Protection domain.' }),
  storagePool: opt(6, str(), { doc: 'Storage pool.' }),
  storageMode: opt(7, str(), { doc: 'ThickProvisioned or ThinProvisioned.', default: 'ThinProvisioned' }),
  volumeName: opt(8, str(), { doc: 'Name of the volume.' }),
  fsType: opt(9, str(), { doc: 'File system type, such as ext4; guessed when empty.', default: 'xfs' }),
  readOnly: opt(10, bool(), { doc: 'Mounts it read-only.', pointer: false }),
}))
export type ScaleIOPersistentVolumeSource = Infer<typeof scaleIOPersistentVolumeSource>
const storageOSPersistentVolumeSource = obj('io.k8s.api.core.v1.StorageOSPersistentVolumeSource', 'A StorageOS volume.', () => ({
  volumeName: opt(1, str(), { doc: 'Name of the volume.' }),
  volumeNamespace: opt(2, str(), { doc: 'Scope of the volume at StorageOS.' }),
  fsType: opt(3, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  readOnly: opt(4, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  secretRef: opt(5, objectReference, { doc: 'Secret with the credentials.' }),
}))
export type StorageOSPersistentVolumeSource = Infer<typeof storageOSPersistentVolumeSource>
