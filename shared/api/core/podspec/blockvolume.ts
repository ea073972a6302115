/**
 * Volume sources that are block devices of clouds and storage systems.
 * https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
 */
import { bool, int32, list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'
import { localObjectReference } from '../objectreference.ts'

export const awsElasticBlockStoreVolumeSource = obj('io.k8s.api.core.v1.AWSElasticBlockStoreVolumeSource', 'A volume of AWS EBS.', () => ({
  volumeID: req(1, str(), { doc: 'Id of the volume at the provider.' }),
  fsType: opt(2, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  partition: opt(3, int32(), { doc: 'Partition to mount; the whole disk when 0.', pointer: false }),
  readOnly: opt(4, bool(), { doc: 'Mounts it read-only.', pointer: false }),
}))
export type AWSElasticBlockStoreVolumeSource = Infer<typeof awsElasticBlockStoreVolumeSource>

export const azureDiskVolumeSource = obj('io.k8s.api.core.v1.AzureDiskVolumeSource', 'An Azure disk.', () => ({
  diskName: req(1, str(), { doc: 'Name of the disk.' }),
  diskURI: req(2, str(), { doc: 'URI of the disk.' }),
  cachingMode: opt(3, str(['None', 'ReadOnly', 'ReadWrite']), { doc: 'Caching on the host.', default: 'ReadWrite', pointer: true }),
  fsType: opt(4, str(), { doc: 'File system type, such as ext4; guessed when empty.', default: 'ext4', pointer: true }),
  readOnly: opt(5, bool(), { doc: 'Mounts it read-only.', default: false }),
  kind: opt(6, str(['Shared', 'Dedicated', 'Managed']), { doc: 'Shared, Dedicated or Managed.', default: 'Shared', pointer: true }),
}))
export type AzureDiskVolumeSource = Infer<typeof azureDiskVolumeSource>

export const cinderVolumeSource = obj('io.k8s.api.core.v1.CinderVolumeSource', 'An OpenStack Cinder volume.', () => ({
  volumeID: req(1, str(), { doc: 'Id of the volume at the provider.' }),
  fsType: opt(2, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  readOnly: opt(3, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  secretRef: opt(4, localObjectReference, { doc: 'Secret with the credentials.' }),
}))
export type CinderVolumeSource = Infer<typeof cinderVolumeSource>

export const fcVolumeSource = obj('io.k8s.api.core.v1.FCVolumeSource', 'A Fibre Channel disk.', () => ({
  targetWWNs: opt(1, list(str()), { doc: 'World wide names of the targets.' }),
  lun: opt(2, int32(), { doc: 'Number of the logical unit.' }),
  fsType: opt(3, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  readOnly: opt(4, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  wwids: opt(5, list(str()), { doc: 'World wide identifiers, instead of target and unit.' }),
}))
export type FCVolumeSource = Infer<typeof fcVolumeSource>

export const gcePersistentDiskVolumeSource = obj(
  'io.k8s.api.core.v1.GCEPersistentDiskVolumeSource',
  'A disk of Google Compute Engine.',
  () => ({
    pdName: req(1, str(), { doc: 'Name of the disk.' }),
    fsType: opt(2, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
    partition: opt(3, int32(), { doc: 'Partition to mount; the whole disk when 0.', pointer: false }),
    readOnly: opt(4, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  }),
)
export type GCEPersistentDiskVolumeSource = Infer<typeof gcePersistentDiskVolumeSource>

export const iscsiVolumeSource = obj('io.k8s.api.core.v1.ISCSIVolumeSource', 'An iSCSI disk.', () => ({
  targetPortal: req(1, str(), { doc: 'Address of the portal.' }),
  iqn: req(2, str(), { doc: 'Qualified name of the target.' }),
  lun: req(3, int32(), { doc: 'Number of the logical unit.' }),
  iscsiInterface: opt(4, str(), { doc: 'Interface to use.', default: 'default' }),
  fsType: opt(5, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  readOnly: opt(6, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  portals: opt(7, list(str()), { doc: 'Further portals.' }),
  chapAuthDiscovery: opt(8, bool(), { doc: 'CHAP for discovery.', pointer: false }),
  chapAuthSession: opt(11, bool(), { doc: 'CHAP for the session.', pointer: false }),
  secretRef: opt(10, localObjectReference, { doc: 'Secret with the credentials.' }),
  initiatorName: opt(12, str(), { doc: 'Own name of the initiator.', pointer: true }),
}))
export type ISCSIVolumeSource = Infer<typeof iscsiVolumeSource>

export const photonPersistentDiskVolumeSource = obj('io.k8s.api.core.v1.PhotonPersistentDiskVolumeSource', 'A Photon disk.', () => ({
  pdID: req(1, str(), { doc: 'Id of the disk.' }),
  fsType: opt(2, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
}))
export type PhotonPersistentDiskVolumeSource = Infer<typeof photonPersistentDiskVolumeSource>

export const portworxVolumeSource = obj('io.k8s.api.core.v1.PortworxVolumeSource', 'A Portworx volume.', () => ({
  volumeID: req(1, str(), { doc: 'Id of the volume at the provider.' }),
  fsType: opt(2, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  readOnly: opt(3, bool(), { doc: 'Mounts it read-only.', pointer: false }),
}))
export type PortworxVolumeSource = Infer<typeof portworxVolumeSource>

export const rbdVolumeSource = obj('io.k8s.api.core.v1.RBDVolumeSource', 'A Ceph block device.', () => ({
  monitors: req(1, list(str()), { doc: 'Addresses of the Ceph monitors.' }),
  image: req(2, str(), { doc: 'Name of the device image.' }),
  fsType: opt(3, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  pool: opt(4, str(), { doc: 'Pool that it is in.', default: 'rbd' }),
  user: opt(5, str(), { doc: 'User name at the storage system.', default: 'admin' }),
  keyring: opt(6, str(), { doc: 'Path of the key ring.', default: '/etc/ceph/keyring' }),
  secretRef: opt(7, localObjectReference, { doc: 'Secret with the credentials.' }),
  readOnly: opt(8, bool(), { doc: 'Mounts it read-only.', pointer: false }),
}))
export type RBDVolumeSource = Infer<typeof rbdVolumeSource>

export const scaleIOVolumeSource = obj('io.k8s.api.core.v1.ScaleIOVolumeSource', 'A ScaleIO volume.', () => ({
  gateway: req(1, str(), { doc: 'Address of the gateway.' }),
  system: req(2, str(), { doc: 'Name of the storage system.' }),
  secretRef: req(3, localObjectReference, { doc: 'Secret with the credentials.' }),
  sslEnabled: opt(4, bool(), { doc: 'Whether to use TLS.', pointer: false }),
  protectionDomain: opt(5, str(), { doc: 'Protection domain.' }),
  storagePool: opt(6, str(), { doc: 'Storage pool.' }),
  storageMode: opt(7, str(), { doc: 'ThickProvisioned or ThinProvisioned.', default: 'ThinProvisioned' }),
  volumeName: opt(8, str(), { doc: 'Name of the volume.' }),
  fsType: opt(9, str(), { doc: 'File system type, such as ext4; guessed when empty.', default: 'xfs' }),
  readOnly: opt(10, bool(), { doc: 'Mounts it read-only.', pointer: false }),
}))
export type ScaleIOVolumeSource = Infer<typeof scaleIOVolumeSource>

export const storageOSVolumeSource = obj('io.k8s.api.core.v1.StorageOSVolumeSource', 'A StorageOS volume.', () => ({
  volumeName: opt(1, str(), { doc: 'Name of the volume.' }),
  volumeNamespace: opt(2, str(), { doc: 'Scope of the volume at StorageOS.' }),
  fsType: opt(3, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  readOnly: opt(4, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  secretRef: opt(5, localObjectReference, { doc: 'Secret with the credentials.' }),
}))
export type StorageOSVolumeSource = Infer<typeof storageOSVolumeSource>

export const vsphereVirtualDiskVolumeSource = obj('io.k8s.api.core.v1.VsphereVirtualDiskVolumeSource', 'A vSphere disk.', () => ({
  volumePath: req(1, str(), { doc: 'Path of the disk.' }),
  fsType: opt(2, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  storagePolicyName: opt(3, str(), { doc: 'Name of the storage policy.' }),
  storagePolicyID: opt(4, str(), { doc: 'Id of the storage policy.' }),
}))
export type VsphereVirtualDiskVolumeSource = Infer<typeof vsphereVirtualDiskVolumeSource>
