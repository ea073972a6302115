/**
 * Our block driver as csi-test's sanity suite asks drivers, and what that does not ask: of two nodes one writes, whatever the other knows.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { AccessMode, type VolumeCapability } from '#shared/csi/messages.ts'
import { Code } from '#shared/grpc/rpc.ts'
import { lockFile } from '#shared/linux/flock.ts'
import { listMounts } from '#shared/linux/mount.ts'
import { run } from '#shared/linux/run.ts'
import { blockDriver, zoneKey } from '../../../drivers/block/driver.ts'
import { isolated } from '../kubelet/harness.ts'

const MiB = 1 << 20
let directory: string
let driverOf: (node: string, zone?: string) => ReturnType<typeof blockDriver>
let n = 0
let name: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'block-driver-'))
  driverOf = (node, zone = 'z') => blockDriver({ node, zone, directory })
})
beforeEach(() => void (name = `vol-${++n}`))
const devices = async (): Promise<string[]> =>
  (await run('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'])).split('\n').filter(l => l.includes(directory))
afterAll(async () => {
  expect((await listMounts()).filter(m => m.target.startsWith(directory))).toEqual([])
  // A device goes with its last mount, a moment later.
  await vi.waitUntil(async () => (await devices()).length === 0, { timeout: 10_000 })
  await rm(directory, { recursive: true, force: true })
})

const volumeCapability = { mount: { fsType: 'ext4' }, accessMode: { mode: AccessMode.singleNodeWriter } }
const code = (expected: number) => expect.objectContaining({ code: expected }) as Error
const { controller, node } = (() => {
  const at = () => driverOf('a')
  return {
    controller: new Proxy({} as ReturnType<typeof blockDriver>['controller'], { get: (_, k) => at().controller[k as 'createVolume'] }),
    node: new Proxy({} as ReturnType<typeof blockDriver>['node'], { get: (_, k) => at().node[k as 'nodeStageVolume'] }),
  }
})()
const create = (more: object = {}) =>
  controller.createVolume!({ name, capacityRange: { requiredBytes: 20 * MiB }, volumeCapabilities: [volumeCapability], ...more })
/** Attached to a node, staged and published there. */
async function use(at: string, capability: VolumeCapability = volumeCapability): Promise<{ path: string; end(): Promise<void> }> {
  const d = driverOf(at)
  const about = { volumeId: name, volumeCapability: capability }
  const [staging, path] = [join(directory, 'mounts', at, 'staging'), join(directory, 'mounts', at, 'target')]
  await mkdir(staging, { recursive: true })
  await d.controller.controllerPublishVolume!({ ...about, nodeId: `z/${at}` })
  await d.node.nodeStageVolume!({ ...about, stagingTargetPath: staging })
  await d.node.nodePublishVolume!({ ...about, stagingTargetPath: staging, targetPath: path })
  return {
    path,
    async end() {
      await d.node.nodeUnpublishVolume!({ volumeId: name, targetPath: path })
      await d.node.nodeUnstageVolume!({ volumeId: name, stagingTargetPath: staging })
    },
  }
}
const drop = async (at: string): Promise<void> => {
  await controller.controllerUnpublishVolume!({ volumeId: name, nodeId: `z/${at}` })
  await controller.deleteVolume!({ volumeId: name })
}

test('what a call needs is asked for, and what is not there is told', async () => {
  const bad = code(Code.invalidArgument)
  const lost = code(Code.notFound)
  await expect(controller.createVolume!({ volumeCapabilities: [volumeCapability] })).rejects.toEqual(bad)
  await expect(controller.createVolume!({ name })).rejects.toEqual(bad)
  await expect(controller.deleteVolume!({})).rejects.toEqual(bad)
  await expect(controller.deleteVolume!({ volumeId: '../../etc' })).rejects.toEqual(bad)
  await controller.deleteVolume!({ volumeId: 'none' })
  await expect(controller.controllerPublishVolume!({ nodeId: 'z/a', volumeCapability })).rejects.toEqual(bad)
  await expect(controller.controllerPublishVolume!({ volumeId: 'none', nodeId: 'z/a', volumeCapability })).rejects.toEqual(lost)
  await expect(controller.controllerExpandVolume!({ volumeId: 'none', capacityRange: { requiredBytes: 1 } })).rejects.toEqual(lost)
  await expect(controller.validateVolumeCapabilities!({ volumeId: 'none', volumeCapabilities: [volumeCapability] })).rejects.toEqual(lost)
  await expect(controller.createSnapshot!({ name })).rejects.toEqual(bad)
  await expect(controller.createSnapshot!({ name, sourceVolumeId: 'none' })).rejects.toEqual(lost)
  await controller.deleteSnapshot!({ snapshotId: 'none' })
  await expect(node.nodeStageVolume!({ stagingTargetPath: '/x', volumeCapability })).rejects.toEqual(bad)
  await expect(node.nodePublishVolume!({ volumeId: 'none', targetPath: '/x', volumeCapability })).rejects.toEqual(lost)
  await expect(node.nodeUnpublishVolume!({ targetPath: '/x' })).rejects.toEqual(bad)
  await expect(node.nodeGetVolumeStats!({ volumeId: 'none', volumePath: '/x' })).rejects.toEqual(lost)
})

test('a volume is made once by its name; another of that name, a too large or too small one is refused', async () => {
  const made = await create()
  expect(made.volume).toMatchObject({ volumeId: name, capacityBytes: 20 * MiB, accessibleTopology: [{ segments: { [zoneKey]: 'z' } }] })
  expect(await create()).toEqual(made)
  await expect(create({ capacityRange: { requiredBytes: 30 * MiB } })).rejects.toEqual(code(Code.alreadyExists))
  await expect(create({ name: 'x', capacityRange: { requiredBytes: 2 ** 60 } })).rejects.toEqual(code(Code.resourceExhausted))
  const huge = { volumeId: name, capacityRange: { requiredBytes: 2 ** 60 } }
  await expect(controller.controllerExpandVolume!(huge)).rejects.toEqual(code(Code.outOfRange))
  await expect(create({ name: 'x', capacityRange: { requiredBytes: 9 * MiB, limitBytes: 5 } })).rejects.toEqual(code(Code.outOfRange))
  const many = { ...volumeCapability, accessMode: { mode: AccessMode.multiNodeMultiWriter } }
  await expect(create({ name: 'x', volumeCapabilities: [many] })).rejects.toEqual(code(Code.invalidArgument))
  const content = { volumeContentSource: { snapshot: { snapshotId: 'none' } } }
  await expect(create({ name: 'x', ...content })).rejects.toEqual(code(Code.notFound))
  expect((await controller.listVolumes!({})).entries?.map(e => e.volume?.volumeId)).toEqual([name])
  await controller.deleteVolume!({ volumeId: name })
  expect((await controller.listVolumes!({})).entries).toEqual([])
})

test('an attachment that nobody waits for any more is not made, also when it was asked for before it was taken back', async () => {
  await create()
  const lock = await lockFile(join(directory, 'volumes', name, 'lock'))
  const caller = { cancelled: false }
  const publish = driverOf('a').controller.controllerPublishVolume!({ volumeId: name, volumeCapability, nodeId: 'z/a' }, caller)
  const unpublish = driverOf('b').controller.controllerUnpublishVolume!({ volumeId: name, nodeId: 'z/a' })
  const refused = expect(publish).rejects.toEqual(code(Code.canceled))
  caller.cancelled = true
  await lock.release()
  await Promise.all([refused, unpublish])
  await controller.deleteVolume!({ volumeId: name })
})

test('a volume is attached to one node of its zone at a time, and not deleted while it is', async () => {
  await create()
  const attach = (nodeId: string) => controller.controllerPublishVolume!({ volumeId: name, nodeId, volumeCapability })
  await expect(attach('other/a')).rejects.toEqual(code(Code.failedPrecondition))
  await attach('z/a')
  await attach('z/a')
  await expect(attach('z/b')).rejects.toEqual(code(Code.failedPrecondition))
  await expect(controller.deleteVolume!({ volumeId: name })).rejects.toEqual(code(Code.failedPrecondition))
  // Of a node that does not have it.
  await controller.controllerUnpublishVolume!({ volumeId: name, nodeId: 'z/b' })
  await expect(attach('z/b')).rejects.toEqual(code(Code.failedPrecondition))
  await drop('a')
})

test.runIf(isolated)(
  'a node that has lost its volume writes no more; the one that has it now is not disturbed when the other lets go',
  async () => {
    await create()
    const first = await use('a')
    const file = await open(join(first.path, 'log'), 'w')
    await file.write('one\n')
    await file.sync()
    // By force: node a does not know.
    await controller.controllerUnpublishVolume!({ volumeId: name, nodeId: 'z/a' })
    const second = await use('b')
    expect(await readFile(join(second.path, 'log'), 'utf8')).toBe('one\n')
    await writeFile(join(second.path, 'log'), 'two\n')
    await expect(file.write('lost').then(() => file.sync())).rejects.toThrow(/EIO|EROFS/)
    await expect(writeFile(join(first.path, 'other'), 'x')).rejects.toThrow(/EIO|EROFS/)
    await file.close().catch(() => {})
    await first.end()
    await run('sync', ['-f', second.path])
    expect(await readFile(join(second.path, 'log'), 'utf8')).toBe('two\n')
    await writeFile(join(second.path, 'more'), 'x')
    await second.end()
    const third = await use('b')
    expect(await readFile(join(third.path, 'log'), 'utf8')).toBe('two\n')
    await third.end()
    await drop('b')
  },
)

test.runIf(isolated)('a disk that a process still has open stays where it is; taken away, that process writes no more', async () => {
  await create()
  const used = await use('a')
  const file = await open(join(used.path, 'log'), 'w')
  const busy = { code: Code.failedPrecondition, message: expect.stringContaining('busy') as string }
  await expect(used.end()).rejects.toMatchObject(busy)
  await expect(used.end()).rejects.toMatchObject(busy)
  await file.write('still here')
  await file.sync()
  // By force.
  await controller.controllerUnpublishVolume!({ volumeId: name, nodeId: 'z/a' })
  await expect(file.write('lost').then(() => file.sync())).rejects.toThrow(/EIO|EROFS/)
  await used.end()
  const next = await use('b')
  expect(await readFile(join(next.path, 'log'), 'utf8')).toBe('still here')
  await file.close().catch(() => {})
  await next.end()
  await drop('b')
})

test.runIf(isolated)('a raw disk is taken away from who has it open', async () => {
  const raw = { block: {}, accessMode: { mode: AccessMode.singleNodeWriter } }
  await create({ volumeCapabilities: [raw] })
  const first = await use('a', raw)
  const file = await open(first.path, 'r+')
  await file.write('one', 4096)
  await file.sync()
  await controller.controllerUnpublishVolume!({ volumeId: name, nodeId: 'z/a' })
  await expect(file.write('lost', 8192).then(() => file.sync())).rejects.toThrow(/EIO|ENOSPC/)
  const second = await use('b', raw)
  const other = await open(second.path, 'r+')
  const { buffer } = await other.read(Buffer.alloc(8196), 0, 8196, 0)
  expect([buffer.toString('latin1', 4096, 4099), buffer.toString('latin1', 8192)]).toEqual(['one', '\0\0\0\0'])
  await other.write('two', 4096)
  await other.close()
  await file.close().catch(() => {})
  await first.end()
  await second.end()
  await drop('b')
})

test.runIf(isolated)('a disk goes when the process that had it open is gone', async () => {
  await create()
  const used = await use('a')
  const file = await open(join(used.path, 'log'), 'w')
  await expect(used.end()).rejects.toMatchObject({ code: Code.failedPrecondition })
  await file.close()
  await used.end()
  await drop('a')
  expect(await devices()).toEqual([])
})

test.runIf(isolated)('a disk goes though a mount namespace that was copied meanwhile lives on', async () => {
  await create()
  const used = await use('a')
  const copy = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', 'echo copied; exec sleep 1000'])
  try {
    await once(copy.stdout, 'data')
    expect(await readFile(`/proc/${copy.pid}/mountinfo`, 'utf8')).toContain(used.path)
    await used.end()
    expect(await devices()).toEqual([])
    expect(copy.exitCode).toBe(null)
  } finally {
    copy.kill('SIGKILL')
  }
  await drop('a')
})

test.runIf(isolated)('a call that is repeated changes nothing; what a restarted driver finds it goes on with', async () => {
  await create()
  const used = await use('a')
  const again = await use('a')
  expect((await listMounts()).filter(m => m.target === used.path)).toHaveLength(1)
  const stats = await node.nodeGetVolumeStats!({ volumeId: name, volumePath: used.path })
  expect(stats.usage?.map(u => u.unit)).toEqual([1, 2])
  await again.end()
  await used.end()
  expect(existsSync(used.path)).toBe(false)
  await drop('a')
  await drop('a')
})

test.runIf(isolated)(
  'attributes are the device`s: from the beginning, while it is in use, and refused where there are no such',
  async () => {
    const asked = { mutableParameters: { readAheadKB: '256' } }
    await create(asked)
    const used = await use('a')
    const device = (await listMounts()).find(m => m.target === used.path)!.source
    const readAhead = async (): Promise<number> => Number(await run('blockdev', ['--getra', device])) / 2
    expect(await readAhead()).toBe(256)
    await controller.controllerModifyVolume!({ volumeId: name, mutableParameters: { readAheadKB: '1024' } })
    expect(await readAhead()).toBe(1024)
    for (const mutableParameters of [{ readAheadKB: 'much' }, { iops: '1' }] as Record<string, string>[])
      await expect(controller.controllerModifyVolume!({ volumeId: name, mutableParameters })).rejects.toEqual(code(Code.invalidArgument))
    await used.end()
    await drop('a')
  },
)

test.runIf(isolated)('a snapshot is what was there, a volume of it begins with that and is as large as it is to be', async () => {
  await create()
  const used = await use('a')
  await writeFile(join(used.path, 'then'), 'x')
  const { snapshot } = await controller.createSnapshot!({ name: 'snap', sourceVolumeId: name })
  expect(await controller.createSnapshot!({ name: 'snap', sourceVolumeId: name })).toEqual({ snapshot })
  await rm(join(used.path, 'then'))
  await used.end()
  await drop('a')
  name = `${name}-restored`
  await create({ capacityRange: { requiredBytes: 64 * MiB }, volumeContentSource: { snapshot: { snapshotId: snapshot!.snapshotId! } } })
  const restored = await use('a')
  expect(await readFile(join(restored.path, 'then'), 'utf8')).toBe('x')
  const { usage } = await node.nodeGetVolumeStats!({ volumeId: name, volumePath: restored.path })
  expect(usage?.[0]?.total).toBeGreaterThan(40 * MiB)
  await restored.end()
  await drop('a')
  await controller.deleteSnapshot!({ snapshotId: 'snap' })
  expect((await controller.listSnapshots!({})).entries).toEqual([])
})
