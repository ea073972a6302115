/** Directories of a node that are volumes: made, limited, mounted again after a restart, and removed, however far somebody came. */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freeLoops } from '#shared/linux/loop.ts'
import { listMounts, unmount } from '#shared/linux/mount.ts'
import { run } from '#shared/linux/run.ts'
import {
  attachLocalDevice,
  detachLocalDevice,
  isLocalDevice,
  isLocalVolume,
  localDevice,
  localVolumes,
  mountLocalVolume,
  type LocalVolumes,
} from '#node-agent/kubelet/volumes/localvolumes.ts'
import { isolated } from './harness.ts'

let root: string
let volumes: LocalVolumes
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'localvolumes-'))
  volumes = localVolumes(root)
})
afterEach(async () => {
  for (const name of await volumes.list()) await volumes.remove(name)
  await rm(root, { recursive: true })
})
const newName = (): string => `pvc-${randomUUID()}`
const megabyte = 1024 * 1024

test('a directory for everybody, made once and removed with what is in it', async () => {
  const name = newName()
  const { path } = await volumes.create(name, megabyte, 'directory')
  expect((await stat(path)).mode & 0o777).toBe(0o777)
  expect(isLocalVolume(path, root)).toBe(true)
  expect(isLocalVolume(root, root)).toBe(false)
  await writeFile(join(path, 'kept'), 'x')
  expect(await volumes.create(name, megabyte, 'directory')).toEqual({ path })
  expect(await readdir(path)).toEqual(['kept'])
  expect(await volumes.list()).toEqual([name])
  await volumes.remove(name)
  await volumes.remove(name)
  expect(await volumes.list()).toEqual([])
})

test('what is no volume, or larger than the disk, is refused', async () => {
  await expect(volumes.create('../pods', 1, 'directory')).rejects.toMatchObject({ code: 400 })
  await expect(volumes.remove('images')).rejects.toMatchObject({ code: 400 })
  await expect(volumes.create(newName(), NaN, 'directory')).rejects.toMatchObject({ code: 400 })
  await expect(volumes.create(newName(), 2 ** 60, 'directory')).rejects.toMatchObject({ code: 507 })
  await mkdir(join(root, 'local-volumes', 'images'), { recursive: true })
  expect(await volumes.list()).toEqual([])
})

describe.skipIf(!isolated)('a capacity that is enforced', () => {
  const mounted = async (path: string): Promise<boolean> => (await listMounts()).some(m => m.target === path)
  test('is all that can be written, survives a restart of the node, and goes with the volume', async () => {
    const name = newName()
    const { path } = await volumes.create(name, 8 * megabyte, 'filesystem')
    expect(await readdir(path)).toEqual([])
    await writeFile(join(path, 'half'), Buffer.alloc(4 * megabyte))
    await expect(writeFile(join(path, 'more'), Buffer.alloc(8 * megabyte))).rejects.toThrow('ENOSPC')
    await rm(join(path, 'more'))
    // Its mounts go with a node.
    await unmount([path])
    expect(await readdir(path)).toEqual([])
    await mountLocalVolume(path)
    await mountLocalVolume(path)
    expect((await listMounts()).filter(m => m.target === path)).toHaveLength(1)
    expect(await readdir(path)).toEqual(['half'])
    await volumes.remove(name)
    expect(await mounted(path)).toBe(false)
    expect(await readdir(join(root, 'local-volumes', 'images'))).toEqual([])
  })
  test('is made by who comes next when somebody was killed in between', async () => {
    const name = newName()
    const images = join(root, 'local-volumes', 'images')
    await mkdir(images, { recursive: true })
    await mkdir(join(root, 'local-volumes', name))
    await writeFile(join(images, `${name}.img.new`), 'half a file system')
    const { path } = await volumes.create(name, 4 * megabyte, 'filesystem')
    expect(await mounted(path)).toBe(true)
    await unmount([path])
    await writeFile(join(images, `${name}.img.new`), 'of an earlier time')
    await volumes.remove(name)
    expect(existsSync(join(images, `${name}.img.new`))).toBe(false)
    expect(existsSync(path)).toBe(false)
  })
})

test.skipIf(!isolated)('a device is of its size, keeps what is on it over a restart of the node, and goes with the volume', async () => {
  const name = newName()
  const { path } = await volumes.create(name, 3 * megabyte, 'device')
  expect([isLocalDevice(path), await localDevice(path)]).toEqual([true, undefined])
  await attachLocalDevice(path)
  await attachLocalDevice(path)
  const device = await localDevice(path)
  expect(await run('blockdev', ['--getsize64', device!])).toBe(`${3 * megabyte}\n`)
  await writeFile(device!, Buffer.alloc(megabyte, 'x'))
  // As whoever ends a node does.
  await freeLoops(join(root, 'local-volumes', 'images'), '.raw')
  expect(await localDevice(path)).toBeUndefined()
  await volumes.create(name, 3 * megabyte, 'device')
  await attachLocalDevice(path)
  expect((await run('head', ['-c', '3', (await localDevice(path))!])).trim()).toBe('xxx')
  await detachLocalDevice(path)
  await attachLocalDevice(path)
  await volumes.remove(name)
  expect(await readdir(join(root, 'local-volumes', 'images'))).toEqual([])
  expect(await localDevice(path).catch(() => undefined)).toBeUndefined()
})
