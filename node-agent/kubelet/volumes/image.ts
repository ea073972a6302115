/**
 * image: the files of an image, read-only. The image is had when a container that wants the volume is to start, as its own is
 * (images/imagevolumes.ts): until then there is an empty directory.
 */
import { mkdir } from 'node:fs/promises'
import type { VolumePlugin } from './plugin.ts'

export const imageVolume: VolumePlugin = {
  name: 'kubernetes.io/image',
  matches: volume => volume.image !== undefined,
  follows: false,
  owns: true,
  onNodeDisk: () => false,
  async setUp({ directory }) {
    await mkdir(directory, { recursive: true })
    return directory
  },
}
