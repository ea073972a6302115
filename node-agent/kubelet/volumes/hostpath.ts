/** hostPath: a path of the node, checked by its type. */
import { lstat, mkdir, open, stat } from 'node:fs/promises'
import type { Stats } from 'node:fs'
import type { HostPathVolumeSource } from '#shared/api/core/podspec/volume.ts'
import { pathOnNode } from '../kubeletpaths.ts'
import type { ResolvedVolume, VolumePlugin } from './plugin.ts'

const checks: { [type: string]: { is: (s: Stats) => boolean; what: string } } = {
  Directory: { is: s => s.isDirectory(), what: 'a directory' },
  DirectoryOrCreate: { is: s => s.isDirectory(), what: 'a directory' },
  File: { is: s => s.isFile(), what: 'a file' },
  FileOrCreate: { is: s => s.isFile(), what: 'a file' },
  Socket: { is: s => s.isSocket(), what: 'a socket file' },
  CharDevice: { is: s => s.isCharacterDevice(), what: 'a character device' },
  BlockDevice: { is: s => s.isBlockDevice(), what: 'a block device' },
}

const sourceOf = (volume: ResolvedVolume): HostPathVolumeSource | undefined => volume.hostPath ?? volume.persistentVolume?.spec.hostPath
/** Go's words for what the kernel said. */
const errorText = ({ code, message }: NodeJS.ErrnoException): string =>
  code === 'ENOENT' ? 'no such file or directory' : code === 'EACCES' ? 'permission denied' : message

export const hostPath: VolumePlugin = {
  name: 'kubernetes.io/host-path',
  matches: volume => sourceOf(volume) !== undefined,
  follows: false,
  owns: false,
  onNodeDisk: () => false,
  async setUp({ volume, facts }) {
    const { path: asked, type = '' } = sourceOf(volume)!
    const path = pathOnNode(asked, facts.rootDir)
    const found = await stat(path).catch(() => undefined)
    if (!found && (type === '' || type === 'DirectoryOrCreate')) {
      // A dangling link is not ours to replace.
      if (!(await lstat(path).catch(() => undefined))) await mkdir(path, { recursive: true, mode: 0o755 })
      return path
    }
    if (!found && type === 'FileOrCreate') {
      // Its directory is not made: as documented.
      const made = await open(path, 'a', 0o644).catch((e: NodeJS.ErrnoException) =>
        Promise.reject(new Error(`open ${path}: ${errorText(e)}`)),
      )
      await made.close()
      return path
    }
    const check = checks[type]
    if (check && !(found && check.is(found))) throw new Error(`hostPath type check failed: ${path} is not ${check.what}`)
    return path
  },
}
