/** hostPath: a path of the node, checked by its type. */
import { lstat, mkdir, open, stat } from 'node:fs/promises'
import type { Stats } from 'node:fs'
import { dirname } from 'node:path'
import type { VolumePlugin } from './plugin.ts'

const checks: { [type: string]: { is: (s: Stats) => boolean; what: string } } = {
  Directory: { is: s => s.isDirectory(), what: 'a directory' },
  DirectoryOrCreate: { is: s => s.isDirectory(), what: 'a directory' },
  File: { is: s => s.isFile(), what: 'a file' },
  FileOrCreate: { is: s => s.isFile(), what: 'a file' },
  Socket: { is: s => s.isSocket(), what: 'a socket file' },
  CharDevice: { is: s => s.isCharacterDevice(), what: 'a character device' },
  BlockDevice: { is: s => s.isBlockDevice(), what: 'a block device' },
}

export const hostPath: VolumePlugin = {
  name: 'kubernetes.io/host-path',
  matches: volume => volume.hostPath !== undefined,
  follows: false,
  owns: false,
  onNodeDisk: () => false,
  async setUp({ volume }) {
    const { path, type = '' } = volume.hostPath!
    const found = await stat(path).catch(() => undefined)
    if (!found && (type === '' || type === 'DirectoryOrCreate')) {
      // A dangling link is not ours to replace.
      if (!(await lstat(path).catch(() => undefined))) await mkdir(path, { recursive: true, mode: 0o755 })
      return path
    }
    if (!found && type === 'FileOrCreate') {
      await mkdir(dirname(path), { recursive: true, mode: 0o755 })
      await (await open(path, 'a', 0o644)).close()
      return path
    }
    const check = checks[type]
    if (check && !(found && check.is(found))) throw new Error(`hostPath type check failed: ${path} is not ${check.what}`)
    return path
  },
}
