/** Loop devices: files of the machine as block devices. */
import { run, type CommandError } from '#shared/linux/run.ts'

/** All devices of a file. One that its mount, in whatever mount namespace, still holds is among them, also when it was detached. */
export async function devicesOf(file: string): Promise<string[]> {
  const listed = await run('losetup', ['--list', '--noheadings', '--output', 'NAME', '--associated', file])
  return listed
    .split('\n')
    .map(line => line.trim())
    .filter(Boolean)
}

/** A new device of a file. */
export async function attachLoop(file: string): Promise<string> {
  const made = async (more: string[]): Promise<string> => (await run('losetup', ['--find', '--show', ...more, file])).trim()
  // Past the page cache, where the file system can: what is written is held once.
  return await made(['--direct-io=on']).catch(() => made([]))
}

/** Frees a device of a file: at once, or when it is not in use any more. Idempotent. */
export async function detachLoop(file: string, device: string): Promise<void> {
  await run('losetup', ['--detach', device]).catch(async (e: Error) => {
    if ((await devicesOf(file)).includes(device)) throw e
  })
}

/** The file system on a device; empty for none. */
export async function fileSystemOf(device: string): Promise<string> {
  // 2: nothing is found.
  return (
    await run('blkid', ['--probe', '--output', 'value', '--match-tag', 'TYPE', device]).catch((e: { code?: number }) =>
      e.code === 2 ? '' : Promise.reject(e),
    )
  ).trim()
}

/** Whether an ext4 file system is as large as its device. */
export async function fillsDevice(device: string): Promise<boolean> {
  const [head, bytes] = await Promise.all([run('dumpe2fs', ['-h', device]), run('blockdev', ['--getsize64', device])])
  const number = (name: string): number => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(head)?.[1] ?? 0)
  const block = number('Block size')
  return number('Block count') >= Math.floor(Number(bytes) / block)
}

/** EXT4_IOC_SHUTDOWN of linux/ext4.h with EXT4_GOING_FLAGS_DEFAULT: what is written is on disk, and nothing is written any more. */
const shutdown = 'open(F, "<", $ARGV[0]) or die $!; my $flags = pack("L", 0); ioctl(F, 0x8004587d, $flags) or die $!'

/** Ends a file system, wherever it is mounted: who still has it gets errors. `place` is any mount of it. */
export async function endFileSystem(place: string, timeoutMs: number): Promise<void> {
  await run('perl', ['-e', shutdown, place], { timeoutMs }).catch((e: CommandError) => {
    // EIO: it has been ended before.
    if (!e.stderr.includes('Input/output error')) throw e
  })
}
