/**
 * local: a PersistentVolume that is a directory of this node, or a device: with volumeMode Block as it is, else with a file system, which
 * is made when there is none and mounted once for all pods. A device of the local provisioner is there while pods use it. pkg/volume/local
 */
import { stat } from 'node:fs/promises'
import type { PersistentVolumeSpec } from '#shared/api/core/persistentvolume.ts'
import { unmount } from '#shared/linux/mount.ts'
import { mountDevice } from './device.ts'
import { attachLocalDevice, detachLocalDevice, isLocalDevice, isLocalVolume, localDevice, mountLocalVolume } from './localvolumes.ts'
import { ownByGroup } from './ownership.ts'
import { SetUpError, type ResolvedVolume, type VolumePlugin } from './plugin.ts'

const specOf = (volume: ResolvedVolume): PersistentVolumeSpec | undefined => volume.persistentVolume?.spec
const isBlock = (volume: ResolvedVolume): boolean => specOf(volume)?.volumeMode === 'Block'

export const localVolume: VolumePlugin = {
  name: 'kubernetes.io/local-volume',
  matches: volume => specOf(volume)?.local !== undefined,
  follows: false,
  owns: false,
  onNodeDisk: () => false,
  usage: volume => (isBlock(volume) ? 'none' : 'filesystem'),
  stage: {
    async key(volume) {
      const { path } = specOf(volume)!.local!
      if (isBlock(volume)) return isLocalDevice(path) ? `image ${path}` : undefined
      return (await stat(path).catch(() => undefined))?.isBlockDevice() ? `device ${path}` : undefined
    },
    async setUp(volume, directory) {
      const { local, mountOptions = [] } = specOf(volume)!
      if (isBlock(volume)) return attachLocalDevice(local!.path)
      await mountDevice(local!.path, directory, local!.fsType ?? '', mountOptions)
    },
    tearDown: (volume, directory) => (isBlock(volume) ? detachLocalDevice(specOf(volume)!.local!.path) : unmount([directory])),
  },
  async setUp({ pod, volume, facts, staged }) {
    const given = specOf(volume)!.local!.path
    const path = (isBlock(volume) && isLocalDevice(given) ? await localDevice(given) : undefined) ?? given
    if (facts.rootDir !== undefined && isLocalVolume(path, facts.rootDir)) await mountLocalVolume(path)
    const found = await stat(path).catch(() => undefined)
    if (!found) throw new SetUpError('MountVolume.NewMounter initialization failed', `path ${JSON.stringify(path)} does not exist`)
    if (isBlock(volume)) {
      if (!found.isBlockDevice()) throw new SetUpError('MapVolume.SetUpDevice failed', `${path} is not a block device`)
      return path
    }
    const directory = staged ?? path
    if (staged === undefined && !found.isDirectory()) throw new Error(`only filesystem volume can be mounted: ${path} is not a directory`)
    const { fsGroup, fsGroupChangePolicy } = pod.spec.securityContext ?? {}
    if (!volume.persistentVolumeClaim?.readOnly) await ownByGroup(directory, fsGroup, fsGroupChangePolicy !== 'OnRootMismatch')
    return directory
  },
}
