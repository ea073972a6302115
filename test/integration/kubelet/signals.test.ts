/** What a node has left, as the kernel tells it: of the machine, or of the control group that the node is in. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cgroupDirectory, killCgroup, removeCgroup } from '#shared/linux/cgroup.ts'
import { ensureCgroup } from '#shared/linux/cgroupresources.ts'
import { mount, unmount } from '#shared/linux/mount.ts'
import { hasImageDisk, memoryCapacity, observe } from '#node-agent/kubelet/eviction/signals.ts'

const Mi = 2 ** 20
const node = `/cox-signals-${process.pid}`
let rootDir: string
let child: ChildProcess
beforeAll(async () => {
  rootDir = mkdtempSync(join(tmpdir(), 'signals-'))
  await ensureCgroup(node, { memoryBytes: 512 * Mi, pids: 50 })
  await ensureCgroup(`${node}/kubepods`, { memoryBytes: 256 * Mi })
  child = spawn('sh', ['-c', 'read -r _; dd if=/dev/zero bs=100M count=1 2>/dev/null | (sleep 0.5; echo full; sleep 1000)'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  for (const controller of ['memory', 'pids'])
    writeFileSync(join(cgroupDirectory(controller, `${node}/kubepods`), 'cgroup.procs'), String(child.pid))
  child.stdin!.write('\n')
  await new Promise(resolve => child.stdout!.once('data', resolve))
})
afterAll(async () => {
  await killCgroup(node)
  await removeCgroup(node)
  rmSync(rootDir, { recursive: true, force: true })
})

test('memory and processes are those of the group when it is limited', () => {
  expect(memoryCapacity(2 ** 50, node)).toBe(512 * Mi)
  const seen = observe({ rootDir, imageDir: rootDir, cgroupRoot: node })
  const memory = seen.get('memory.available')!
  expect(memory.capacity).toBe(512 * Mi)
  expect(memory.available).toBeGreaterThan(300 * Mi)
  expect(memory.available).toBeLessThan(412 * Mi)
  const pods = seen.get('allocatableMemory.available')!
  expect([pods.capacity, pods.available < 156 * Mi, pods.available > 100 * Mi]).toEqual([256 * Mi, true, true])
  const processes = seen.get('pid.available')!
  expect(processes.capacity).toBe(50)
  expect(processes.available).toBeGreaterThan(40)
  expect(processes.available).toBeLessThan(50)
})

test('a group that does not exist limits nothing', () => {
  const seen = observe({ rootDir, imageDir: rootDir, cgroupRoot: `${node}-none` })
  expect(seen.get('memory.available')!.capacity).toBeGreaterThan(512 * Mi)
  expect(seen.has('allocatableMemory.available')).toBe(false)
})

test('images may have a disk of their own', async () => {
  const images = mkdtempSync(join(rootDir, 'images-'))
  const places = { rootDir, imageDir: images, cgroupRoot: node }
  expect(hasImageDisk(places)).toBe(false)
  await mount('tmpfs', 'cox-signals', images, ['size=8m', 'nr_inodes=100'])
  try {
    expect(hasImageDisk(places)).toBe(true)
    writeFileSync(join(images, 'layer'), Buffer.alloc(Mi))
    const seen = observe(places)
    expect(seen.get('imagefs.available')).toEqual({ capacity: 8 * Mi, available: 7 * Mi })
    expect(seen.get('imagefs.inodesFree')?.capacity).toBe(100)
    expect(seen.get('nodefs.available')!.capacity).not.toBe(8 * Mi)
  } finally {
    await unmount([images])
  }
})
