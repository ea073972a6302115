/** nfs: a directory of an NFS server, mounted for each pod, where the machine has the programs for that. */
import { mkdir } from 'node:fs/promises'
import type { NFSVolumeSource } from '#shared/api/core/podspec/volume.ts'
import { listMounts, unmount } from '#shared/linux/mount.ts'
import { run, type CommandError } from '#shared/linux/run.ts'
import type { ResolvedVolume, VolumePlugin } from './plugin.ts'

/** A server that does not answer is given up on, and asked again. */
const timeoutMs = 120_000

const sourceOf = (volume: ResolvedVolume): NFSVolumeSource | undefined => volume.nfs ?? volume.persistentVolume?.spec.nfs

export const nfs: VolumePlugin = {
  name: 'kubernetes.io/nfs',
  matches: volume => sourceOf(volume) !== undefined,
  follows: false,
  owns: false,
  onNodeDisk: () => false,
  usage: () => 'filesystem',
  async setUp({ volume, directory }) {
    const { server, path, readOnly } = sourceOf(volume)!
    const options = [
      ...(readOnly || volume.persistentVolumeClaim?.readOnly ? ['ro'] : []),
      ...(volume.persistentVolume?.spec.mountOptions ?? []),
    ]
    await mkdir(directory, { recursive: true, mode: 0o750 })
    if ((await listMounts()).some(m => m.target === directory)) return directory
    // An IPv6 address would be taken for a name and a path.
    const host = server.includes(':') && !server.startsWith('[') ? `[${server}]` : server
    const args = ['-t', 'nfs', ...(options.length > 0 ? ['-o', options.join(',')] : []), '--', `${host}:${path}`, directory]
    await run('mount', args, { timeoutMs }).catch((e: CommandError) => {
      const shown = args.filter(a => a !== '--').join(' ')
      const why =
        e.code === null ? e.message : `exit status ${e.code}\nMounting command: mount\nMounting arguments: ${shown}\nOutput: ${e.stderr}`
      throw new Error(`mount failed: ${why}`)
    })
    return directory
  },
  tearDown: ({ directory }) => unmount([directory]),
}
