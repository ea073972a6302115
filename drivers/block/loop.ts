/** Loop devices: files of the machine as block devices. */
import { run } from '#shared/linux/run.ts'

/** The device of a file; undefined when it has none. */
export async function deviceOf(file: string): Promise<string | undefined> {
  const listed = await run('losetup', ['--list', '--noheadings', '--output', 'NAME', '--associated', file])
  return listed.split('\n')[0]?.trim() || undefined
}

/** The device of a file, made when it has none. */
export async function attachLoop(file: string): Promise<string> {
  const known = await deviceOf(file)
  if (known !== undefined) return known
  const made = async (more: string[]): Promise<string> => (await run('losetup', ['--find', '--show', ...more, file])).trim()
  // Past the page cache, where the file system can: what is written is held once.
  return await made(['--direct-io=on']).catch(() => made([]))
}

/** Frees the devices of a file: those that are in use as soon as they are not. */
export async function detachLoop(file: string): Promise<void> {
  const listed = await run('losetup', ['--list', '--noheadings', '--output', 'NAME', '--associated', file])
  for (const name of listed.split('\n').map(line => line.trim()))
    if (name !== '')
      await run('losetup', ['--detach', name]).catch(async (e: Error) => ((await deviceOf(file)) === undefined ? '' : Promise.reject(e)))
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
