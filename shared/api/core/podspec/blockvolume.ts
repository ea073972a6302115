/** Volume sources that are block devices of clouds and storage systems. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, int32, list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'
import { localObjectReference } from '../objectreference.ts'

export const awsElasticBlockStoreVolumeSource = obj('io.k8s.api.core.v1.AWSElasticBlockStoreVolumeSource', '', () => ({
  volumeID: req(1, str()),
  fsType: opt(2, str()),
  partition: opt(3, int32(), { pointer: false }),
  readOnly: opt(4, bool(), { pointer: false }),
}))
export type AWSElasticBlockStoreVolumeSource = Infer<typeof awsElasticBlockStoreVolumeSource>

export const azureDiskVolumeSource = obj('io.k8s.api.core.v1.AzureDiskVolumeSource', '', () => ({
  diskName: req(1, str()),
  diskURI: req(2, str()),
  cachingMode: opt(3, str(['None', 'ReadOnly', 'ReadWrite']), { default: 'ReadWrite', pointer: true }),
  fsType: opt(4, str(), { default: 'ext4', pointer: true }),
  readOnly: opt(5, bool(), { default: false }),
  kind: opt(6, str(['Shared', 'Dedicated', 'Managed']), { default: 'Shared', pointer: true }),
}))
export type AzureDiskVolumeSource = Infer<typeof azureDiskVolumeSource>

export const cinderVolumeSource = obj('io.k8s.api.core.v1.CinderVolumeSource', '', () => ({
  volumeID: req(1, str()),
  fsType: opt(2, str()),
  readOnly: opt(3, bool(), { pointer: false }),
  secretRef: opt(4, localObjectReference),
}))
export type CinderVolumeSource = Infer<typeof cinderVolumeSource>

export const fcVolumeSource = obj('io.k8s.api.core.v1.FCVolumeSource', '', () => ({
  targetWWNs: opt(1, list(str())),
  lun: opt(2, int32()),
  fsType: opt(3, str()),
  readOnly: opt(4, bool(), { pointer: false }),
  wwids: opt(5, list(str())),
}))
export type FCVolumeSource = Infer<typeof fcVolumeSource>

export const gcePersistentDiskVolumeSource = obj('io.k8s.api.core.v1.GCEPersistentDiskVolumeSource', '', () => ({
  pdName: req(1, str()),
  fsType: opt(2, str()),
  partition: opt(3, int32(), { pointer: false }),
  readOnly: opt(4, bool(), { pointer: false }),
}))
export type GCEPersistentDiskVolumeSource = Infer<typeof gcePersistentDiskVolumeSource>

export const iscsiVolumeSource = obj('io.k8s.api.core.v1.ISCSIVolumeSource', '', () => ({
  targetPortal: req(1, str()),
  iqn: req(2, str()),
  lun: req(3, int32()),
  iscsiInterface: opt(4, str(), { default: 'default' }),
  fsType: opt(5, str()),
  readOnly: opt(6, bool(), { pointer: false }),
  portals: opt(7, list(str())),
  chapAuthDiscovery: opt(8, bool(), { pointer: false }),
  chapAuthSession: opt(11, bool(), { pointer: false }),
  secretRef: opt(10, localObjectReference),
  initiatorName: opt(12, str(), { pointer: true }),
}))
export type ISCSIVolumeSource = Infer<typeof iscsiVolumeSource>

export const photonPersistentDiskVolumeSource = obj('io.k8s.api.core.v1.PhotonPersistentDiskVolumeSource', '', () => ({
  pdID: req(1, str()),
  fsType: opt(2, str()),
}))
export type PhotonPersistentDiskVolumeSource = Infer<typeof photonPersistentDiskVolumeSource>

export const portworxVolumeSource = obj('io.k8s.api.core.v1.PortworxVolumeSource', '', () => ({
  volumeID: req(1, str()),
  fsType: opt(2, str()),
  readOnly: opt(3, bool(), { pointer: false }),
}))
export type PortworxVolumeSource = Infer<typeof portworxVolumeSource>

export const rbdVolumeSource = obj('io.k8s.api.core.v1.RBDVolumeSource', '', () => ({
  monitors: req(1, list(str())),
  image: req(2, str()),
  fsType: opt(3, str()),
  pool: opt(4, str(), { default: 'rbd' }),
  user: opt(5, str(), { default: 'admin' }),
  keyring: opt(6, str(), { default: '/etc/ceph/keyring' }),
  secretRef: opt(7, localObjectReference),
  readOnly: opt(8, bool(), { pointer: false }),
}))
export type RBDVolumeSource = Infer<typeof rbdVolumeSource>

export const scaleIOVolumeSource = obj('io.k8s.api.core.v1.ScaleIOVolumeSource', '', () => ({
  gateway: req(1, str()),
  system: req(2, str()),
  secretRef: req(3, localObjectReference),
  sslEnabled: opt(4, bool(), { pointer: false }),
  protectionDomain: opt(5, str()),
  storagePool: opt(6, str()),
  storageMode: opt(7, str(), { default: 'ThinProvisioned' }),
  volumeName: opt(8, str()),
  fsType: opt(9, str(), { default: 'xfs' }),
  readOnly: opt(10, bool(), { pointer: false }),
}))
export type ScaleIOVolumeSource = Infer<typeof scaleIOVolumeSource>

export const storageOSVolumeSource = obj('io.k8s.api.core.v1.StorageOSVolumeSource', '', () => ({
  volumeName: opt(1, str()),
  volumeNamespace: opt(2, str()),
  fsType: opt(3, str()),
  readOnly: opt(4, bool(), { pointer: false }),
  secretRef: opt(5, localObjectReference),
}))
export type StorageOSVolumeSource = Infer<typeof storageOSVolumeSource>

export const vsphereVirtualDiskVolumeSource = obj('io.k8s.api.core.v1.VsphereVirtualDiskVolumeSource', '', () => ({
  volumePath: req(1, str()),
  fsType: opt(2, str()),
  storagePolicyName: opt(3, str()),
  storagePolicyID: opt(4, str()),
}))
export type VsphereVirtualDiskVolumeSource = Infer<typeof vsphereVirtualDiskVolumeSource>
