/** Volume sources that are network file systems. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, list, map, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'
import { localObjectReference } from '../objectreference.ts'

export const azureFileVolumeSource = obj('io.k8s.api.core.v1.AzureFileVolumeSource', '', () => ({
  secretName: req(1, str()),
  shareName: req(2, str()),
  readOnly: opt(3, bool(), { pointer: false }),
}))
export type AzureFileVolumeSource = Infer<typeof azureFileVolumeSource>

export const cephFSVolumeSource = obj('io.k8s.api.core.v1.CephFSVolumeSource', '', () => ({
  monitors: req(1, list(str())),
  path: opt(2, str()),
  user: opt(3, str()),
  secretFile: opt(4, str()),
  secretRef: opt(5, localObjectReference),
  readOnly: opt(6, bool(), { pointer: false }),
}))
export type CephFSVolumeSource = Infer<typeof cephFSVolumeSource>

export const flexVolumeSource = obj('io.k8s.api.core.v1.FlexVolumeSource', '', () => ({
  driver: req(1, str()),
  fsType: opt(2, str()),
  secretRef: opt(3, localObjectReference),
  readOnly: opt(4, bool(), { pointer: false }),
  options: opt(5, map(str())),
}))
export type FlexVolumeSource = Infer<typeof flexVolumeSource>

export const flockerVolumeSource = obj('io.k8s.api.core.v1.FlockerVolumeSource', '', () => ({
  datasetName: opt(1, str()),
  datasetUUID: opt(2, str()),
}))
export type FlockerVolumeSource = Infer<typeof flockerVolumeSource>

export const glusterfsVolumeSource = obj('io.k8s.api.core.v1.GlusterfsVolumeSource', '', () => ({
  endpoints: req(1, str()),
  path: req(2, str()),
  readOnly: opt(3, bool(), { pointer: false }),
}))
export type GlusterfsVolumeSource = Infer<typeof glusterfsVolumeSource>

export const quobyteVolumeSource = obj('io.k8s.api.core.v1.QuobyteVolumeSource', '', () => ({
  registry: req(1, str()),
  volume: req(2, str()),
  readOnly: opt(3, bool(), { pointer: false }),
  user: opt(4, str()),
  group: opt(5, str()),
  tenant: opt(6, str()),
}))
export type QuobyteVolumeSource = Infer<typeof quobyteVolumeSource>
