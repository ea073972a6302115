/** Files of one volume that get into each other's way (pkg/api/pod/warnings.go warningsForOverlappingVirtualPaths). */
import type { PodSpec } from './podspec.ts'

type Volume = NonNullable<PodSpec['volumes']>[number]
type Source = NonNullable<NonNullable<Volume['projected']>['sources']>[number]

/** Files that are compared with each other; nobody has more. */
const maxPaths = 500

export function warningsForPaths(volume: Volume): string[] {
  const { configMap, secret, downwardAPI, projected } = volume
  const text = (kind: string) => () => `volume ${JSON.stringify(volume.name)} (${kind}): overlapping paths`
  if (configMap) return overlaps(pathsOf(configMap.items), text(`ConfigMap ${JSON.stringify(configMap.name ?? '')}`))
  if (secret) return overlaps(pathsOf(secret.items), text(`Secret ${JSON.stringify(secret.secretName ?? '')}`))
  if (downwardAPI) return overlaps(pathsOf(downwardAPI.items), text('DownwardAPI'))
  return projected ? warningsForSources(volume.name, projected.sources ?? []) : []
}

const pathsOf = (items: readonly { path?: string | undefined }[] | undefined): string[] => (items ?? []).map(item => item.path ?? '')

function warningsForSources(volume: string, sources: readonly Source[]): string[] {
  const all = new Set<string>()
  return sources.flatMap(source => {
    if (Object.values(source).every(v => v === undefined)) return [`volume ${JSON.stringify(volume)} (Projected) has no sources provided`]
    const { paths, what } = describe(source)
    if (paths.length === 0) return []
    const text = (): string => `volume ${JSON.stringify(volume)} (Projected ${what()}): overlapping paths`
    const own = [...new Set(paths)]
    const warnings = [...overlaps(paths, text), ...overlaps([...own, ...all].sort(), text)]
    for (const path of own) all.add(path)
    return warnings
  })
}

function describe({ configMap, secret, downwardAPI, serviceAccountToken, clusterTrustBundle: bundle }: Source): {
  paths: string[]
  what: () => string
} {
  if (configMap?.items) return { paths: pathsOf(configMap.items), what: () => `ConfigMap ${JSON.stringify(configMap.name ?? '')}` }
  if (secret?.items) return { paths: pathsOf(secret.items), what: () => `Secret ${JSON.stringify(secret.name ?? '')}` }
  if (downwardAPI?.items) return { paths: pathsOf(downwardAPI.items), what: () => 'DownwardAPI' }
  if (serviceAccountToken) return { paths: [serviceAccountToken.path], what: () => 'ServiceAccountToken' }
  if (bundle) return { paths: [bundle.path], what: () => `ClusterTrustBundle ${JSON.stringify(bundle.name ?? bundle.signerName ?? '')}` }
  return { paths: [], what: () => '' }
}

function overlaps(paths: readonly string[], text: () => string): string[] {
  if (paths.length < 2) return []
  const seen: string[] = []
  const warnings: string[] = []
  for (const given of paths.slice(0, maxPaths)) {
    const path = given.replace(/\/+$/, '')
    const other =
      path === '' || seen.includes('') ? undefined : seen.find(item => `${item}/`.startsWith(path) || `${path}/`.startsWith(item))
    if (other !== undefined) warnings.push(`${text()}: ${JSON.stringify(path)} with ${JSON.stringify(other)}`)
    if (!seen.includes(path)) seen.push(path)
  }
  return warnings
}
