/** A volume made of several sources. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, inline, int32, int64, list, map, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'
import { labelSelector } from '../../meta/labelselector.ts'
import { localObjectReference } from '../objectreference.ts'
import { downwardAPIVolumeFile, keyToPath } from './volume.ts'

export const projectedVolumeSource = obj('io.k8s.api.core.v1.ProjectedVolumeSource', '', () => ({
  sources: opt(1, list(volumeProjection)),
  defaultMode: opt(2, int32(), { default: 420 }),
}))
export type ProjectedVolumeSource = Infer<typeof projectedVolumeSource>

export const volumeProjection = obj('io.k8s.api.core.v1.VolumeProjection', '', () => ({
  secret: opt(1, secretProjection),
  downwardAPI: opt(2, downwardAPIProjection),
  configMap: opt(3, configMapProjection),
  serviceAccountToken: opt(4, serviceAccountTokenProjection),
  clusterTrustBundle: opt(5, clusterTrustBundleProjection),
  podCertificate: opt(6, podCertificateProjection),
}))
export type VolumeProjection = Infer<typeof volumeProjection>

export const configMapProjection = obj('io.k8s.api.core.v1.ConfigMapProjection', '', () => ({
  ...inline(1, localObjectReference),
  items: opt(2, list(keyToPath)),
  optional: opt(4, bool()),
}))
export type ConfigMapProjection = Infer<typeof configMapProjection>

export const secretProjection = obj('io.k8s.api.core.v1.SecretProjection', '', () => ({
  ...inline(1, localObjectReference),
  items: opt(2, list(keyToPath)),
  optional: opt(4, bool()),
}))
export type SecretProjection = Infer<typeof secretProjection>

export const downwardAPIProjection = obj('io.k8s.api.core.v1.DownwardAPIProjection', '', () => ({
  items: opt(1, list(downwardAPIVolumeFile)),
}))
export type DownwardAPIProjection = Infer<typeof downwardAPIProjection>

export const serviceAccountTokenProjection = obj('io.k8s.api.core.v1.ServiceAccountTokenProjection', '', () => ({
  audience: opt(1, str()),
  expirationSeconds: opt(2, int64(), { default: 3600 }),
  path: req(3, str()),
}))
export type ServiceAccountTokenProjection = Infer<typeof serviceAccountTokenProjection>

export const clusterTrustBundleProjection = obj('io.k8s.api.core.v1.ClusterTrustBundleProjection', '', () => ({
  name: opt(1, str(), { pointer: true }),
  signerName: opt(2, str(), { pointer: true }),
  labelSelector: opt(3, labelSelector),
  optional: opt(5, bool()),
  path: req(4, str()),
}))
export type ClusterTrustBundleProjection = Infer<typeof clusterTrustBundleProjection>

export const podCertificateProjection = obj('io.k8s.api.core.v1.PodCertificateProjection', '', () => ({
  signerName: opt(1, str()),
  keyType: opt(2, str()),
  maxExpirationSeconds: opt(3, int32()),
  credentialBundlePath: opt(4, str()),
  keyPath: opt(5, str()),
  certificateChainPath: opt(6, str()),
  userAnnotations: opt(7, map(str())),
}))
export type PodCertificateProjection = Infer<typeof podCertificateProjection>
