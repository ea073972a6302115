/** Loop devices: files of the machine as block devices. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
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

/** Some openers of a device are gone a moment after they are. */
const freedMs = 1_000

/** Frees a device of a file; resolves with whether it is free: one whose mounts are gone may still be held by a process. Idempotent. */
export async function isFreed(file: string, device: string): Promise<boolean> {
  await detachLoop(file, device)
  for (const began = performance.now(); performance.now() - began < freedMs; await sleep(20))
    if (!(await devicesOf(file)).includes(device)) return true
  return false
}

/** Frees the devices of those files of a directory that end so: nobody is left who could. */
export async function freeLoops(directory: string, ending: string): Promise<void> {
  const files = (await readdir(directory).catch(() => [])).filter(name => name.endsWith(ending)).map(name => join(directory, name))
  for (const file of files) for (const device of await devicesOf(file)) await detachLoop(file, device)
}
