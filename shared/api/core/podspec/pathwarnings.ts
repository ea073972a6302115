/** Files of one volume that get into each other's way (pkg/api/pod/warnings.go warningsForOverlappingVirtualPaths). */
import type { PodSpec } from './podspec.ts'

type Volume = NonNullable<PodSpec['volumes']>[number]
type Source = NonNullable<NonNullable<Volume['projected']>['sources']>[number]
/** A file of a volume; `source` is empty where the volume has but one. */
type File = { path: string; source: string }

/** Files that are compared with each other; nobody has more. */
const maxFiles = 500
/** More than anybody is shown. */
const maxOverlaps = 100

export function warningsForPaths(volume: Volume): string[] {
  const { configMap, secret, downwardAPI, projected } = volume
  const said = (kind: string, files: readonly File[]) =>
    overlaps(files).map(overlap => `volume ${JSON.stringify(volume.name)} (${kind}): overlapping paths: ${overlap}`)
  if (configMap) return said(`ConfigMap ${JSON.stringify(configMap.name ?? '')}`, files(configMap.items, ''))
  if (secret) return said(`Secret ${JSON.stringify(secret.secretName ?? '')}`, files(secret.items, ''))
  if (downwardAPI) return said('DownwardAPI', files(downwardAPI.items, ''))
  const sources = projected?.sources ?? []
  return [
    ...sources
      .filter(source => Object.values(source).every(v => v === undefined))
      .map(() => `volume ${JSON.stringify(volume.name)} (Projected) has no sources provided`),
    ...said('Projected', sources.flatMap(filesOf)),
  ]
}

const files = (items: readonly { path?: string | undefined }[] | undefined, source: string): File[] =>
  (items ?? []).map(item => ({ path: item.path ?? '', source }))

function filesOf({
  configMap,
  secret,
  downwardAPI,
  serviceAccountToken,
  clusterTrustBundle: bundle,
  podCertificate: cert,
}: Source): File[] {
  if (configMap?.items) return files(configMap.items, `ConfigMap ${JSON.stringify(configMap.name ?? '')}`)
  if (secret?.items) return files(secret.items, `Secret ${JSON.stringify(secret.name ?? '')}`)
  if (downwardAPI?.items) return files(downwardAPI.items, 'DownwardAPI')
  if (serviceAccountToken) return [{ path: serviceAccountToken.path, source: 'ServiceAccountToken' }]
  if (bundle) return [{ path: bundle.path, source: `ClusterTrustBundle ${JSON.stringify(bundle.name ?? bundle.signerName ?? '')}` }]
  if (!cert) return []
  return [
    { path: cert.certificateChainPath ?? '', source: 'PodCertificate chain' },
    { path: cert.keyPath ?? '', source: 'PodCertificate key' },
    { path: cert.credentialBundlePath ?? '', source: 'PodCertificate credential bundle' },
  ]
}

function overlaps(files: readonly File[]): string[] {
  const seen: File[] = []
  const found: string[] = []
  for (const file of files.slice(0, maxFiles)) {
    const path = file.path.replace(/\/+$/, '')
    if (path === '') continue
    const here = { ...file, path }
    for (const other of seen) {
      if (!`${path}/`.startsWith(`${other.path}/`) && !`${other.path}/`.startsWith(`${path}/`)) continue
      if (found.push(`${show(here)} with ${show(other)}`) >= maxOverlaps) return found
    }
    seen.push(here)
  }
  return found
}

const show = ({ path, source }: File): string => (source === '' ? JSON.stringify(path) : `${JSON.stringify(path)} (${source})`)
