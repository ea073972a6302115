/** secret: the keys of a Secret as files in memory that follow it. */
import { atomicWrite } from './atomicwriter.ts'
import { secretFiles } from './payload.ts'
import type { VolumePlugin } from './plugin.ts'

export const secretVolume: VolumePlugin = {
  name: 'kubernetes.io/secret',
  matches: volume => volume.secret !== undefined,
  follows: true,
  owns: true,
  onNodeDisk: () => false,
  usage: () => 'tree',
  async setUp({ pod, volume, inMemory, sources }) {
    const source = volume.secret!
    const name = source.secretName ?? ''
    const payload = secretFiles(name, await sources.secret(name), source, source.defaultMode)
    const directory = await inMemory()
    await atomicWrite(directory, payload, pod.spec.securityContext?.fsGroup)
    return directory
  },
}
