/** The volume types that this node can mount. */
import { configMapVolume } from './configmap.ts'
import { downwardAPIVolume } from './downwardapi.ts'
import { emptyDir } from './emptydir.ts'
import { hostPath } from './hostpath.ts'
import type { ResolvedVolume, VolumePlugin } from './plugin.ts'
import { projected } from './projected.ts'
import { secretVolume } from './secret.ts'

export const volumePlugins: readonly VolumePlugin[] = [emptyDir, hostPath, configMapVolume, secretVolume, projected, downwardAPIVolume]

/** Throws when no plugin takes the volume. */
export function pluginFor(plugins: readonly VolumePlugin[], volume: ResolvedVolume): VolumePlugin {
  const found = plugins.find(p => p.matches(volume))
  if (found) return found
  const source = Object.keys(volume).find(k => k !== 'name') ?? 'unknown'
  throw new Error(`no volume plugin matched: ${source}`)
}
