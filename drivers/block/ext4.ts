/** The file system of a disk, as its device shows it, and its end. */
import { run, type CommandError } from '#shared/linux/run.ts'

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
