/** Volumes that are images, from a real registry. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { containerDirectory, podDirectory } from '#node-agent/kubelet/pod/directory.ts'
import { listMounts } from '#shared/linux/mount.ts'
import { symlink, tarOf } from '../../fixtures/images.ts'
import { pushImage, startRegistry, type TestRegistry } from '../../fixtures/registry.ts'
import { harness, type Harness } from './harness.ts'

let node: Harness
let registry: TestRegistry
beforeAll(async () => {
  ;[node, registry] = await Promise.all([harness(), startRegistry()])
  await pushImage(registry, 'data', '1', {
    layers: [
      tarOf([
        { name: 'model/weights', content: 'lower' },
        { name: 'model/gone', content: 'x' },
        symlink('outside', '../../..'),
        { name: 'bin/tool', content: '#!/bin/sh\necho tool\n', mode: 0o755 },
      ]),
      tarOf([{ name: 'model/weights', content: 'upper' }, { name: 'model/.wh.gone' }]),
    ],
  })
})
afterAll(async () => {
  await node.close()
  await registry.close()
})

const volumes = (reference: string) => [{ name: 'data', image: { reference, pullPolicy: 'IfNotPresent' } }]
const container = (script: string, mounts: object[]) => ({
  name: 'c',
  image: 'busybox',
  imagePullPolicy: 'IfNotPresent',
  command: ['sh', '-c', script],
  volumeMounts: mounts as never,
})

test('an image is a read-only volume, whole or a part of it', async () => {
  node.pod('reader', {
    restartPolicy: 'Never',
    volumes: volumes(`${registry.host}/data:1`),
    containers: [
      container(
        'cat /data/model/weights; ls /data/model; echo no > /data/x; echo; cat /part/weights; echo; /data/bin/tool; . /data/bin/tool',
        [
          { name: 'data', mountPath: '/data' },
          { name: 'data', mountPath: '/part', subPath: 'model' },
        ],
      ),
    ],
  })
  const pod = await node.until('reader', p => p.status?.phase === 'Succeeded' || p.status?.phase === 'Failed')
  const log = await node.log('reader', 'c')
  expect(log).toContain('upper')
  expect(log).not.toContain('lower')
  expect(log).not.toContain('gone')
  expect(log).toMatch(/x: Read-only file system/)
  expect(log.match(/upper/g)).toHaveLength(2)
  // As upstream: files may be read, not run.
  expect(log).toMatch(/bin\/tool: Permission denied/)
  // On a line of its own: what several processes write to one stream without ends of lines may be read as one.
  expect(log).toMatch(/ stdout F tool$/m)
  const told = node.events('reader').map(e => e.message)
  expect(told.some(m => m?.startsWith(`Successfully pulled image "${registry.host}/data:1" in `))).toBe(true)
  node.delete('reader', 1)
  await expect.poll(() => node.get('reader')).toBeUndefined()
  const root = podDirectory(node.rootDir, pod.metadata.uid!).root
  await expect.poll(async () => (await listMounts()).filter(m => m.target.startsWith(root))).toEqual([])
})

test('a part that an image does not have, or that leads out of it, is not created', async () => {
  const part = async (name: string, subPath: string) => {
    node.pod(name, {
      volumes: volumes(`${registry.host}/data:1`),
      containers: [container('true', [{ name: 'data', mountPath: '/data', subPath }])],
    })
    const pod = await node.until(name, p => p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CreateContainerError')
    node.delete(name, 1)
    await expect.poll(() => node.get(name)).toBeUndefined()
    return pod.status!.containerStatuses![0]!.state!.waiting!.message
  }
  const prefix = 'failed to mount image volume: failed to ensure image subpath: subPath'
  expect(await part('nowhere', 'model/nowhere')).toBe(`${prefix} "model/nowhere": ENOENT`)
  expect(await part('outside', 'outside')).toBe(`${prefix} "outside" leads out of its volume`)
})

test('its layers stay while a container has it, and another kubelet finds it mounted', async () => {
  node.pod('keeper', {
    volumes: volumes(`${registry.host}/data:1`),
    containers: [
      container('trap exit TERM; while :; do cat /data/model/weights; sleep 1 & wait; done', [{ name: 'data', mountPath: '/data' }]),
    ],
  })
  const running = await node.until('keeper', p => p.status?.phase === 'Running')
  const { images } = node.options().runtime
  const stored = (await images.list()).find(i => i.names.includes(`${registry.host}/data:1`))!
  await images.remove(stored.id)
  expect((await images.list()).some(i => i.id === stored.id)).toBe(true)
  await node.restart()
  const mounts = (await listMounts()).filter(m => m.target.includes('kubernetes.io~image')).length
  const directory = containerDirectory(podDirectory(node.rootDir, running.metadata.uid!), 'c', 0)
  await node.options().runtime.kill(directory, 'SIGKILL')
  await node.until('keeper', p => p.status?.containerStatuses?.[0]?.restartCount === 1 && p.status.containerStatuses[0].state?.running)
  expect((await listMounts()).filter(m => m.target.includes('kubernetes.io~image'))).toHaveLength(mounts)
  node.delete('keeper', 1)
  await expect.poll(() => node.get('keeper')).toBeUndefined()
})

test('an image that cannot be had holds the container up', async () => {
  node.pod('none', {
    volumes: volumes(`${registry.host}/nowhere:1`),
    containers: [container('true', [{ name: 'data', mountPath: '/data' }])],
  })
  const pod = await node.until('none', p => p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ErrImagePull')
  expect(pod.status!.containerStatuses![0]!.state!.waiting!.message).toContain(`${registry.host}/nowhere:1: not found`)
  await node.until('none', p => p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ImagePullBackOff')
  node.delete('none', 1)
  await expect.poll(() => node.get('none')).toBeUndefined()
})
