/** configMap: the keys of a ConfigMap as files that follow it. */
import { mkdir } from 'node:fs/promises'
import { atomicWrite } from './atomicwriter.ts'
import { configMapFiles } from './payload.ts'
import type { VolumePlugin } from './plugin.ts'

export const configMapVolume: VolumePlugin = {
  name: 'kubernetes.io/configmap',
  matches: volume => volume.configMap !== undefined,
  follows: true,
  owns: true,
  onNodeDisk: () => true,
  usage: () => 'tree',
  async setUp({ pod, volume, directory, sources }) {
    const source = volume.configMap!
    const name = source.name ?? ''
    const payload = configMapFiles(name, await sources.configMap(name), source, source.defaultMode)
    await mkdir(directory, { recursive: true, mode: 0o755 })
    await atomicWrite(directory, payload, pod.spec.securityContext?.fsGroup)
    return directory
  },
}
