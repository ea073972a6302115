/** Devices that pods want as file systems: formatted when nothing is on them, and mounted. As k8s.io/mount-utils' SafeFormatAndMount. */
import { listMounts, mount } from '#shared/linux/mount.ts'
import { CommandError, run } from '#shared/linux/run.ts'
import { SetUpError } from './plugin.ts'

const formatMs = 300_000
const step = 'MountVolume.MountDevice failed'
/** Options of mkfs by the file systems that can be made. */
const formats: Readonly<Record<string, readonly string[]>> = {
  ext2: ['-F', '-m0'],
  ext3: ['-F', '-m0'],
  ext4: ['-F', '-m0'],
  xfs: ['-f'],
  btrfs: ['-f'],
}

/** What is on the device: a file system's type, or words for something else; undefined for nothing. */
async function contentOf(device: string): Promise<string | undefined> {
  try {
    const found = await run('blkid', ['-p', '-s', 'TYPE', '-s', 'PTTYPE', '-o', 'export', device])
    return /^TYPE=(.*)$/m.exec(found)?.[1] ?? 'unknown data, probably partitions'
  } catch (e) {
    // 2: nothing that blkid knows.
    if (e instanceof CommandError && e.code === 2) return undefined
    throw e
  }
}

/**
 * Idempotent; one at a time for a device. Without `fsType` it is what is there, or ext4. Whoever unmounts the target leaves what is on the
 * device.
 */
export async function mountDevice(device: string, target: string, fsType: string, options: readonly string[]): Promise<void> {
  if ((await listMounts()).some(m => m.target === target)) return
  const content = await contentOf(device)
  const wanted = fsType || content || 'ext4'
  if (content === undefined) {
    const how = Object.hasOwn(formats, wanted) ? formats[wanted]! : undefined
    if (!how) throw new SetUpError(step, `this node makes no file systems of type ${JSON.stringify(wanted)}`)
    await run(`mkfs.${wanted}`, [...how, device], { timeoutMs: formatMs })
  }
  try {
    await mount(wanted, device, target, ['defaults', ...options])
  } catch (e) {
    const why =
      content === undefined || content === wanted
        ? (e as Error).message
        : `failed to mount the volume as ${JSON.stringify(wanted)}, it already contains ${content}. Mount error: ${(e as Error).message}`
    throw new SetUpError(step, `local: failed to mount device ${device} at ${target} (fstype: ${wanted}), error ${why}`)
  }
}
