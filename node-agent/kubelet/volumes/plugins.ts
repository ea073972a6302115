/** The volume types that this node can mount. */
import { configMapVolume } from './configmap.ts'
import { downwardAPIVolume } from './downwardapi.ts'
import { emptyDir } from './emptydir.ts'
import { hostPath } from './hostpath.ts'
import { imageVolume } from './image.ts'
import { localVolume } from './local.ts'
import { nfs } from './nfs.ts'
import type { ResolvedVolume, VolumePlugin } from './plugin.ts'
import { projected } from './projected.ts'
import { secretVolume } from './secret.ts'

export const volumePlugins: readonly VolumePlugin[] = [
  emptyDir,
  hostPath,
  configMapVolume,
  secretVolume,
  projected,
  downwardAPIVolume,
  localVolume,
  imageVolume,
  nfs,
]

/** What of a PersistentVolume's spec is no source. */
const notSources = new Set(
  'capacity accessModes claimRef persistentVolumeReclaimPolicy storageClassName mountOptions volumeMode nodeAffinity volumeAttributesClassName'.split(
    ' ',
  ),
)

/** Throws when no plugin takes the volume. */
export function pluginFor(plugins: readonly VolumePlugin[], volume: ResolvedVolume): VolumePlugin {
  const found = plugins.find(p => p.matches(volume))
  if (found) return found
  const { name, persistentVolume, ...source } = volume
  const kind = persistentVolume ? Object.keys(persistentVolume.spec).find(k => !notSources.has(k)) : Object.keys(source)[0]
  throw new Error(
    `failed to get Plugin from volumeSpec for volume ${JSON.stringify(persistentVolume?.name ?? name)} err=no volume plugin matched: ${kind ?? 'unknown'}`,
  )
}
