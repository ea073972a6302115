/** emptyDir: a directory that lives as long as its pod on this node; with medium Memory a tmpfs. */
import { chmod, mkdir } from 'node:fs/promises'
import { quantityValue } from '#shared/machinery/quantity.ts'
import { ownByGroup } from './ownership.ts'
import type { VolumePlugin } from './plugin.ts'
import { ensureTmpfs } from './tmpfs.ts'

export const emptyDir: VolumePlugin = {
  name: 'kubernetes.io/empty-dir',
  matches: volume => volume.emptyDir !== undefined,
  follows: false,
  async setUp({ pod, volume, directory }) {
    const { medium, sizeLimit } = volume.emptyDir ?? {}
    if (medium === 'Memory') await ensureTmpfs(directory, 0o777, sizeLimit ? quantityValue(sizeLimit) : undefined)
    else if (medium && !medium.startsWith('HugePages')) throw new Error(`unknown storage medium "${medium}"`)
    else if (await mkdir(directory, { recursive: true })) await chmod(directory, 0o777)
    await ownByGroup(directory, pod.spec.securityContext?.fsGroup)
    return directory
  },
}
