/** What is done to a disk that a node has: its file system beside other mounts, its size, its attributes. */
import { mkdtemp, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Code, RpcError } from '#shared/grpc/rpc.ts'
import { makeExt4 } from '#shared/linux/ext4.ts'
import { unmount } from '#shared/linux/mount.ts'
import { run, type CommandError } from '#shared/linux/run.ts'
import type { Meta } from '../store.ts'
import { fileSystemOf, fillsDevice } from './ext4.ts'

export const formatMs = 120_000

/** Works on a mounted disk beside whoever else has it mounted. */
export async function mountedBeside<T>(device: string, work: (place: string) => Promise<T>): Promise<T> {
  // The same file system a second time, wherever the first mount is: of the kernel's superblocks there is one.
  const place = await mkdtemp(join(tmpdir(), 'beside-'))
  try {
    await run('mount', ['-t', 'ext4', device, place])
    return await work(place)
  } finally {
    await unmount([place])
    await rmdir(place)
  }
}

/** Makes a file system in an image that has none; resolves with whether it did. */
export async function formatted(image: string, bytes: number): Promise<boolean> {
  if ((await fileSystemOf(image)) !== '') return false
  await makeExt4(image, bytes, formatMs)
  return true
}

/** Gives a device the attributes that its volume has. */
export async function tune(device: string, { readAheadKB }: Pick<Meta, 'readAheadKB'>): Promise<void> {
  // In sectors.
  if (readAheadKB !== undefined) await run('blockdev', ['--setra', String(readAheadKB * 2), device])
}

/** While it is mounted, which the kernel allows with CAP_SYS_RESOURCE only. */
export async function grow(device: string): Promise<void> {
  await run('losetup', ['--set-capacity', device])
  if ((await fileSystemOf(device)) !== 'ext4') return
  await run('resize2fs', [device], { timeoutMs: formatMs }).catch((e: CommandError) => {
    if (!e.stderr.includes('Permission denied')) throw e
    throw new RpcError(
      Code.failedPrecondition,
      'the machine may not resize a mounted file system: it grows when no pod uses it, before the next one does',
    )
  })
}
/** Before it is mounted: a copy of a smaller disk, or one that could not grow while it was in use. */
export async function growUnmounted(device: string): Promise<void> {
  await run('losetup', ['--set-capacity', device])
  if (await fillsDevice(device)) return
  // 1: errors were corrected.
  const check = run('e2fsck', ['-f', '-p', device], { timeoutMs: formatMs })
  await check.catch((e: CommandError) => (e.code === 1 ? '' : Promise.reject(e)))
  await run('resize2fs', [device], { timeoutMs: formatMs })
}
