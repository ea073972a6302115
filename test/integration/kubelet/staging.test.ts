/** Volumes that pods share, and volumes that hold somebody's data: what the kubelet keeps of them, and what it never removes. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pods } from '#shared/api/kinds.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { listMounts, mount, unmount } from '#shared/linux/mount.ts'
import { run } from '#shared/linux/run.ts'
import type { VolumePlugin } from '#node-agent/kubelet/volumes/plugin.ts'
import { harness, isolated, type Harness } from './harness.ts'

const isMounted = async (path: string) => (await listMounts()).some(m => m.target === path)
const steps: string[] = []
/** A disk, of a plugin as CSI's: staged on the node, bound into pods. */
const disk: VolumePlugin = {
  name: 'test.io/disk',
  matches: volume => volume.csi?.driver === 'disk',
  follows: false,
  owns: false,
  onNodeDisk: () => false,
  stage: {
    key: volume => volume.csi!.volumeAttributes!['id']!,
    async setUp(_, directory) {
      if (await isMounted(directory)) return
      steps.push('stage')
      await mount('tmpfs', 'tmpfs', directory)
    },
    async tearDown(_, directory) {
      steps.push('unstage')
      await unmount([directory])
    },
  },
  async setUp({ directory, staged }) {
    await mkdir(directory, { recursive: true })
    if (!(await isMounted(directory))) await run('mount', ['--bind', staged!, directory])
    return directory
  },
  async tearDown({ directory, volume }) {
    steps.push(`unpublish ${volume.name}`)
    await unmount([directory])
  },
}
/** A plugin whose data lies where it should only be mounted. */
const broken: VolumePlugin = {
  name: 'test.io/broken',
  matches: volume => volume.csi?.driver === 'broken',
  follows: false,
  owns: false,
  onNodeDisk: () => false,
  async setUp({ directory }) {
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, 'precious'), 'data')
    return directory
  },
}

let h: Harness
beforeAll(async () => {
  h = await harness([disk, broken])
})
afterAll(async () => {
  await h.close()
})

const isReady = (p: Pod) => p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')
const user = (name: string, driver: string, script: string) =>
  h.pod(name, {
    terminationGracePeriodSeconds: 1,
    volumes: [{ name: `v-${name}`, csi: { driver, volumeAttributes: { id: 'shared' } } }],
    containers: [
      {
        name: 'c',
        image: 'busybox',
        command: ['sh', '-c', `${script}; sleep 1000`],
        volumeMounts: [{ name: `v-${name}`, mountPath: '/v' }],
        readinessProbe: { exec: { command: ['test', '-e', 'v/word'] } },
      },
    ],
  })
const staged = async () => (await readdir(join(h.rootDir, 'plugins/test.io~disk')).catch(() => [])).length

test.runIf(isolated)('a volume is staged once, for all of its pods, and ended after the last', async () => {
  user('one', 'disk', 'echo hello > v/word')
  await h.until('one', isReady)
  // It finds what the first has written.
  user('two', 'disk', 'true')
  await h.until('two', isReady)
  expect(steps).toEqual(['stage'])
  expect(await h.options().nodeVolumes.staged.inUse()).toEqual(['shared'])
  h.delete('one', 1)
  await h.api.until(() => !h.get('one'))
  expect(steps).toEqual(['stage', 'unpublish v-one'])
  expect(await staged()).toBe(1)
  // Another kubelet finds nothing but the disk, not even the pod.
  await h.restart()
  h.api.remove(pods, 'default', 'two')
  await expect.poll(staged).toBe(0)
  expect(steps).toEqual(['stage', 'unpublish v-one', 'unpublish v-two', 'unstage'])
  expect((await listMounts()).filter(m => m.target.startsWith(h.rootDir) && m.target.includes('disk'))).toEqual([])
})

test('data that lies where only a mount should be is never removed', async () => {
  const { uid } = user('careless', 'broken', 'touch v/word').metadata
  await h.until('careless', isReady)
  h.delete('careless', 1)
  const place = join(h.rootDir, 'pods', uid!, 'volumes/test.io~broken/v-careless')
  await h.until('careless', p => p.status?.containerStatuses?.[0]?.state?.terminated)
  const worker = h.kubelet().worker(uid!)!
  await expect.poll(() => worker.failure).toContain('is not empty')
  expect(await readFile(join(place, 'precious'), 'utf8')).toBe('data')
  await rm(place, { recursive: true })
  worker.kick()
  await h.api.until(() => !h.get('careless'))
  expect(existsSync(join(h.rootDir, 'pods', uid!))).toBe(false)
})
