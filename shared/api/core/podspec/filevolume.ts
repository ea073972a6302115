/** Volume sources that are network file systems. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, list, map, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'
import { localObjectReference } from '../objectreference.ts'

export const azureFileVolumeSource = obj('io.k8s.api.core.v1.AzureFileVolumeSource', 'An Azure file share.', () => ({
  secretName: req(1, str(), { doc: 'Secret with account name and key.' }),
  shareName: req(2, str(), { doc: 'Name of the share.' }),
  readOnly: opt(3, bool(), { doc: 'Mounts it read-only.', pointer: false }),
}))
export type AzureFileVolumeSource = Infer<typeof azureFileVolumeSource>

export const cephFSVolumeSource = obj('io.k8s.api.core.v1.CephFSVolumeSource', 'A Ceph file system.', () => ({
  monitors: req(1, list(str()), { doc: 'Addresses of the Ceph monitors.' }),
  path: opt(2, str(), { doc: 'Directory to mount; the root when empty.' }),
  user: opt(3, str(), { doc: 'User name at the storage system.' }),
  secretFile: opt(4, str(), { doc: 'Path of the key ring on the node.' }),
  secretRef: opt(5, localObjectReference, { doc: 'Secret with the credentials.' }),
  readOnly: opt(6, bool(), { doc: 'Mounts it read-only.', pointer: false }),
}))
export type CephFSVolumeSource = Infer<typeof cephFSVolumeSource>

export const flexVolumeSource = obj('io.k8s.api.core.v1.FlexVolumeSource', 'A volume of an exec plugin.', () => ({
  driver: req(1, str(), { doc: 'Name of the driver.' }),
  fsType: opt(2, str(), { doc: 'File system type, such as ext4; guessed when empty.' }),
  secretRef: opt(3, localObjectReference, { doc: 'Secret with the credentials.' }),
  readOnly: opt(4, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  options: opt(5, map(str()), { doc: 'Settings for the driver.' }),
}))
export type FlexVolumeSource = Infer<typeof flexVolumeSource>

export const flockerVolumeSource = obj('io.k8s.api.core.v1.FlockerVolumeSource', 'A Flocker dataset.', () => ({
  datasetName: opt(1, str(), { doc: 'Name of the dataset.' }),
  datasetUUID: opt(2, str(), { doc: 'UUID of the dataset.' }),
}))
export type FlockerVolumeSource = Infer<typeof flockerVolumeSource>

export const glusterfsVolumeSource = obj('io.k8s.api.core.v1.GlusterfsVolumeSource', 'A Gluster volume.', () => ({
  endpoints: req(1, str(), { doc: 'Endpoints with the addresses of the servers.' }),
  path: req(2, str(), { doc: 'Name of the Gluster volume.' }),
  readOnly: opt(3, bool(), { doc: 'Mounts it read-only.', pointer: false }),
}))
export type GlusterfsVolumeSource = Infer<typeof glusterfsVolumeSource>

export const quobyteVolumeSource = obj('io.k8s.api.core.v1.QuobyteVolumeSource', 'A Quobyte volume.', () => ({
  registry: req(1, str(), { doc: 'Addresses of the registry.' }),
  volume: req(2, str(), { doc: 'Name of the volume.' }),
  readOnly: opt(3, bool(), { doc: 'Mounts it read-only.', pointer: false }),
  user: opt(4, str(), { doc: 'User name at the storage system.' }),
  group: opt(5, str(), { doc: 'Group to map to.' }),
  tenant: opt(6, str(), { doc: 'Tenant that owns the volume.' }),
}))
export type QuobyteVolumeSource = Infer<typeof quobyteVolumeSource>
