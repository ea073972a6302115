/** A volume made of several sources. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, inline, int32, int64, list, map, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'
import { labelSelector } from '../../meta/labelselector.ts'
import { localObjectReference } from '../objectreference.ts'
import { downwardAPIVolumeFile, keyToPath } from './volume.ts'

export const projectedVolumeSource = obj('io.k8s.api.core.v1.ProjectedVolumeSource', 'Several sources in one directory.', () => ({
  sources: opt(1, list(volumeProjection), { doc: 'The sources, each with one member set.' }),
  defaultMode: opt(2, int32(), { doc: 'Permission bits of files that name none of their own.', default: 420 }),
}))
export type ProjectedVolumeSource = Infer<typeof projectedVolumeSource>

export const volumeProjection = obj('io.k8s.api.core.v1.VolumeProjection', 'One source of a projected volume.', () => ({
  secret: opt(1, secretProjection, { doc: 'Keys of a Secret.' }),
  downwardAPI: opt(2, downwardAPIProjection, { doc: 'Fields of the pod.' }),
  configMap: opt(3, configMapProjection, { doc: 'Keys of a ConfigMap.' }),
  serviceAccountToken: opt(4, serviceAccountTokenProjection, { doc: 'A token of the service account.' }),
  clusterTrustBundle: opt(5, clusterTrustBundleProjection, { doc: 'Trust anchors.' }),
  podCertificate: opt(6, podCertificateProjection, { doc: 'A private key and its certificate chain.' }),
}))
export type VolumeProjection = Infer<typeof volumeProjection>

export const configMapProjection = obj('io.k8s.api.core.v1.ConfigMapProjection', 'Keys of a ConfigMap as files.', () => ({
  ...inline(1, localObjectReference),
  items: opt(2, list(keyToPath), { doc: 'Which keys become files, and where; all keys when empty.' }),
  optional: opt(4, bool(), { doc: 'Whether it may be missing.' }),
}))
export type ConfigMapProjection = Infer<typeof configMapProjection>

export const secretProjection = obj('io.k8s.api.core.v1.SecretProjection', 'Keys of a Secret as files.', () => ({
  ...inline(1, localObjectReference),
  items: opt(2, list(keyToPath), { doc: 'Which keys become files, and where; all keys when empty.' }),
  optional: opt(4, bool(), { doc: 'Whether it may be missing.' }),
}))
export type SecretProjection = Infer<typeof secretProjection>

export const downwardAPIProjection = obj('io.k8s.api.core.v1.DownwardAPIProjection', 'Fields of the pod as files.', () => ({
  items: opt(1, list(downwardAPIVolumeFile), { doc: 'The files.' }),
}))
export type DownwardAPIProjection = Infer<typeof downwardAPIProjection>

export const serviceAccountTokenProjection = obj(
  'io.k8s.api.core.v1.ServiceAccountTokenProjection',
  'A token that is renewed before it expires.',
  () => ({
    audience: opt(1, str(), { doc: 'For whom the token is; the API server when empty.' }),
    expirationSeconds: opt(2, int64(), { doc: 'Life time of the token, at least 600.', default: 3600 }),
    path: req(3, str(), { doc: 'Relative path of the token file.' }),
  }),
)
export type ServiceAccountTokenProjection = Infer<typeof serviceAccountTokenProjection>

export const clusterTrustBundleProjection = obj('io.k8s.api.core.v1.ClusterTrustBundleProjection', 'Trust anchors in one file.', () => ({
  name: opt(1, str(), { doc: 'One bundle by name.', pointer: true }),
  signerName: opt(2, str(), { doc: 'All bundles of a signer.', pointer: true }),
  labelSelector: opt(3, labelSelector, { doc: 'Of those, the ones with these labels.' }),
  optional: opt(5, bool(), { doc: 'Whether it may be missing.' }),
  path: req(4, str(), { doc: 'Relative path of the file.' }),
}))
export type ClusterTrustBundleProjection = Infer<typeof clusterTrustBundleProjection>

export const podCertificateProjection = obj(
  'io.k8s.api.core.v1.PodCertificateProjection',
  'A key pair and a certificate that is renewed.',
  () => ({
    signerName: req(1, str(), { doc: 'Name of the signer.' }),
    keyType: req(2, str(), { doc: 'Kind of key, such as ED25519 or ECDSAP256.' }),
    maxExpirationSeconds: opt(3, int32(), { doc: 'Longest life time of the certificate.' }),
    credentialBundlePath: opt(4, str(), { doc: 'File for key and chain together.' }),
    keyPath: opt(5, str(), { doc: 'File for the key.' }),
    certificateChainPath: opt(6, str(), { doc: 'File for the chain.' }),
    userAnnotations: opt(7, map(str()), { doc: 'Further settings for the signer.' }),
  }),
)
export type PodCertificateProjection = Infer<typeof podCertificateProjection>
