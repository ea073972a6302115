/** Volumes that pods of a node share: made ready for the first, ended with the last, and told then to whoever waits for that. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import type { VolumePlugin } from '#node-agent/kubelet/volumes/plugin.ts'
import { stagedVolumes } from '#node-agent/kubelet/volumes/staged.ts'

let root: string
beforeEach(async () => void (root = await mkdtemp(join(tmpdir(), 'staged-'))))
afterEach(() => rm(root, { recursive: true, force: true }))
const pod = (uid: string) => ({ metadata: { name: uid, uid }, spec: { containers: [] } }) as unknown as Pod

test('one is ended with the last pod that uses it, and that is told once it is so', async () => {
  const calls: string[] = []
  let busy = true
  const plugin = {
    name: 'example.com/shared',
    stage: {
      setUp: async () => void calls.push('up'),
      async tearDown() {
        if (busy) throw new Error('busy')
        calls.push('down')
      },
    },
  } as unknown as VolumePlugin
  const staged = stagedVolumes(root, [plugin], key => calls.push(`ended ${key}`))
  const volume = { name: 'data' }
  for (const uid of ['one', 'two']) await staged.acquire(plugin, volume, 'disk', pod(uid))
  expect(await staged.inUse()).toEqual(['disk'])
  await staged.release(plugin.name, 'disk', 'one')
  expect(calls).toEqual(['up', 'up'])
  await expect(staged.release(plugin.name, 'disk', 'two')).rejects.toThrow('busy')
  expect(await staged.inUse()).toEqual(['disk'])
  busy = false
  await staged.retain(new Set())
  expect(calls).toEqual(['up', 'up', 'down', 'ended disk'])
  expect(await staged.inUse()).toEqual([])
  expect(await readdir(join(root, 'plugins/example.com~shared'))).toEqual([])
})
