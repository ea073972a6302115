/** local: a PersistentVolume that is a directory, or with volumeMode Block a device, of this node. */
import { stat } from 'node:fs/promises'
import type { PersistentVolumeSpec } from '#shared/api/core/persistentvolume.ts'
import { isLocalVolume, mountLocalVolume } from './localvolumes.ts'
import { ownByGroup } from './ownership.ts'
import { SetUpError, type ResolvedVolume, type VolumePlugin } from './plugin.ts'

const specOf = (volume: ResolvedVolume): PersistentVolumeSpec | undefined => volume.persistentVolume?.spec

export const localVolume: VolumePlugin = {
  name: 'kubernetes.io/local-volume',
  matches: volume => specOf(volume)?.local !== undefined,
  follows: false,
  owns: false,
  onNodeDisk: () => false,
  usage: volume => (specOf(volume)?.volumeMode === 'Block' ? 'none' : 'filesystem'),
  async setUp({ pod, volume, facts }) {
    const { local, volumeMode } = specOf(volume)!
    const { path } = local!
    if (facts.rootDir !== undefined && isLocalVolume(path, facts.rootDir)) await mountLocalVolume(path)
    const found = await stat(path).catch(() => undefined)
    if (!found) throw new SetUpError('MountVolume.NewMounter initialization failed', `path ${JSON.stringify(path)} does not exist`)
    if (volumeMode === 'Block') {
      if (!found.isBlockDevice()) throw new SetUpError('MapVolume.SetUpDevice failed', `${path} is not a block device`)
      return path
    }
    if (!found.isDirectory()) throw new Error(`local volume ${path} is not a directory: this node formats and mounts no devices`)
    const { fsGroup, fsGroupChangePolicy } = pod.spec.securityContext ?? {}
    if (!volume.persistentVolumeClaim?.readOnly) await ownByGroup(path, fsGroup, fsGroupChangePolicy !== 'OnRootMismatch')
    return path
  },
}
