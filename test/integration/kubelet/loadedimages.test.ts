/** Images that come while pods wait for them: the store of the machine tells, nobody asks again and again. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mappedFile, writeMapped } from '#node-agent/runtime/images/mapped.ts'
import { openImageStore, type ImageStore } from '#node-agent/runtime/images/imagestore.ts'
import { busyboxLayer, putImage } from '../../fixtures/images.ts'
import { harness, type Harness } from './harness.ts'

let node: Harness
let store: ImageStore
beforeAll(async () => {
  node = await harness()
  store = await openImageStore(join(node.rootDir, 'image-store'))
})
afterAll(() => node.close())

const wait = (name: string, reason: string) =>
  node.until(name, p => p.status?.containerStatuses?.[0]?.state?.waiting?.reason === reason, 30_000)
const waiter = (name: string, image: string, imagePullPolicy: string) =>
  node.pod(name, { containers: [{ name: 'c', image, imagePullPolicy, command: ['sh', '-c', 'exec sleep 1000'] }] })
const load = (name: string) => putImage(store, name, { layers: [busyboxLayer()], config: { Cmd: ['sh'] } })

test.each(['IfNotPresent', 'Always'])('a pod in ImagePullBackOff runs when its image is loaded, with %s', async policy => {
  const [pod, image] = [`waits-${policy.toLowerCase()}`, `localhost:1/loaded-${randomUUID()}:1`]
  waiter(pod, image, policy)
  await wait(pod, 'ImagePullBackOff')
  await load(image)
  // The first back-off takes 10 s.
  await node.until(pod, p => p.status?.phase === 'Running', 8_000)
  node.delete(pod, 0)
  await expect.poll(() => node.get(pod)).toBeUndefined()
})

test('a pod that never pulls runs when its image is there, loaded or mapped to a program', async () => {
  waiter('never', 'acme/never:1', 'Never')
  waiter('mapped', 'acme/mapped:1', 'Never')
  await wait('never', 'ErrImageNeverPull')
  await wait('mapped', 'ErrImageNeverPull')
  await load('acme/never:1')
  await node.until('never', p => p.status?.phase === 'Running', 8_000)
  await writeMapped(mappedFile(join(node.rootDir, 'image-store')), [{ names: ['docker.io/acme/mapped'], entrypoint: ['sh'] }])
  await node.until('mapped', p => p.status?.phase === 'Running', 8_000)
  for (const pod of ['never', 'mapped']) node.delete(pod, 0)
  await expect.poll(() => node.get('never') ?? node.get('mapped')).toBeUndefined()
})
