/** What a pod refers to in the API. */
import type { Pod } from '#shared/api/core/pod.ts'

/** Credentials of the older kinds of volumes, and of drivers. */
const holdsSecret = (volume: object): boolean =>
  Object.values(volume).some(s => typeof s === 'object' && s !== null && ('secretRef' in s || 'nodePublishSecretRef' in s))

/**
 * The first kind of object that a valid pod refers to, in the words of HasAPIObjectReference of k8s.io/kubernetes; undefined when there is
 * none.
 */
export function apiObjectReference({ spec }: Pod): string | undefined {
  const containers = [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])]
  const values = containers.flatMap(c => c.env ?? []).flatMap(e => e.valueFrom ?? [])
  const wholes = containers.flatMap(c => c.envFrom ?? [])
  const volumes = spec.volumes ?? []
  const projected = volumes.flatMap(v => v.projected?.sources ?? [])
  const some = (...found: boolean[]): boolean => found.includes(true)
  const references: { [kind: string]: boolean } = {
    serviceaccounts: Boolean(spec.serviceAccountName),
    secrets: some(
      (spec.imagePullSecrets ?? []).length > 0,
      values.some(v => v.secretKeyRef),
      wholes.some(f => f.secretRef),
      volumes.some(v => v.secret ?? v.azureFile ?? holdsSecret(v)),
      projected.some(s => s.secret),
    ),
    configmaps: some(
      values.some(v => v.configMapKeyRef),
      wholes.some(f => f.configMapRef),
      volumes.some(v => v.configMap),
      projected.some(s => s.configMap),
    ),
    resourceclaims: (spec.resourceClaims ?? []).length > 0,
    'csidrivers (via CSI volumes)': volumes.some(v => v.csi),
    'endpoints (via glusterFS volumes)': volumes.some(v => v.glusterfs),
    persistentvolumeclaims: volumes.some(v => v.persistentVolumeClaim),
    'persistentvolumeclaims (via ephemeral volumes)': volumes.some(v => v.ephemeral),
    clustertrustbundles: projected.some(s => s.clusterTrustBundle),
    podcertificates: projected.some(s => s.podCertificate),
  }
  return Object.keys(references).find(kind => references[kind])
}
