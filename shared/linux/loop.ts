/** Loop devices: files of the machine as block devices. */
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from './run.ts'

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

/**
 * LOOP_GET_STATUS64 and LOOP_SET_STATUS64 of linux/loop.h, with a size limit of one byte, which is no sector. EAGAIN: pages were written
 * meanwhile.
 */
const emptied = `
open(F, "+<", $ARGV[0]) or die "open: $!";
my $info = "\\0" x 232;
for (1 .. 200) {
  ioctl(F, 0x4C05, $info) or die "get: $!";
  substr($info, 32, 8) = pack("Q", 1);
  exit 0 if ioctl(F, 0x4C04, $info);
  die "set: $!" unless $!{EAGAIN};
  select(undef, undef, undef, 0.01);
}
die "set: $!"`

/** Leaves nothing of a device, whoever has it open: what is read or written there from now on fails. Its file stays as it is. */
export const emptyLoop = (device: string): Promise<string> => run('perl', ['-MErrno', '-e', emptied, device], { timeoutMs: 60_000 })

/** Some openers of a device are gone a moment after they are. */
const freedMs = 1_000

/** Frees a device of a file; resolves with whether it is free: one whose mounts are gone may still be held by a process. Idempotent. */
export async function isFreed(file: string, device: string): Promise<boolean> {
  await detachLoop(file, device)
  for (const began = performance.now(); performance.now() - began < freedMs; await sleep(20))
    if (!(await devicesOf(file)).includes(device)) return true
  return false
}

/** Frees the devices of those files of a directory that end so, and of those that are removed by now: nobody is left who could. */
export async function freeLoops(directory: string, ending: string): Promise<void> {
  // Where there is no such program, there are no such devices.
  const listed = await run('losetup', ['--list', '--noheadings', '--raw', '--output', 'NAME,BACK-FILE']).catch(() => '')
  for (const line of listed.split('\n')) {
    // Blanks are written as \x20.
    const [device = '', backing = ''] = line.split(' ')
    const file = backing.replace(/\\x20\(deleted\)$/, '').replaceAll('\\x20', ' ')
    if (path.dirname(file) === directory && file.endsWith(ending)) await detachLoop(file, device)
  }
}
