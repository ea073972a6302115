/**
 * What a kubelet finds of an earlier one, or of images, that cannot be read: it says so, breaks nothing that runs, and goes on when it can.
 */
import { existsSync, mkdirSync, renameSync, rmdirSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pods } from '#shared/api/kinds.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { listMounts } from '#shared/linux/mount.ts'
import { openImageStore } from '#node-agent/runtime/images/imagestore.ts'
import { containerDirectory, podDirectory } from '#node-agent/kubelet/pod/directory.ts'
import { processStartTime } from '#shared/component/processes.ts'
import { harness, isolated, type Harness } from './harness.ts'

let h: Harness
beforeAll(async () => void (h = await harness()))
afterAll(() => h.close())

const isReady = (p: Pod) => p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')
const idle = (name: string) =>
  h.pod(name, {
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'c', image: 'busybox', command: ['sh', '-c', 'trap exit TERM; while :; do sleep 1 & wait; done'] }],
  } as never)
const told = (name: string) => h.events(name).filter(e => e.reason === 'FailedSync').map(e => e.message ?? '') // prettier-ignore
const processOf = async (pod: Pod): Promise<{ pid: number; start: number | undefined }> => {
  const directory = containerDirectory(podDirectory(h.rootDir, pod.metadata.uid!), 'c', pod.status!.containerStatuses![0]!.restartCount)
  const { pid } = (await h.options().runtime.status(directory))!
  return { pid: pid!, start: processStartTime(pid!) }
}
/** Runs, with its state on the disk. */
async function running(name: string): Promise<{ pod: Pod; state: string }> {
  idle(name)
  const pod = await h.until(name, isReady)
  const { state } = podDirectory(h.rootDir, pod.metadata.uid!)
  await expect.poll(() => existsSync(state) && !existsSync(`${state}.new`)).toBe(true)
  return { pod, state }
}

test('state of a pod that cannot be read is waited for, and its containers run on', async () => {
  const { pod, state } = await running('waits')
  const before = await processOf(pod)
  renameSync(state, `${state}.away`)
  mkdirSync(state)
  await h.restart()
  await h.api.until(() => told('waits').length > 0)
  expect(told('waits')[0]).toMatch(/^error determining status: EISDIR/)
  expect(h.get('waits')!.status).toEqual(pod.status)
  rmdirSync(state)
  renameSync(`${state}.away`, state)
  await expect.poll(() => h.kubelet().find('default', 'waits')?.stage).toBe('running')
  await expect.poll(async () => await processOf(h.get('waits')!)).toEqual(before)
  expect(h.get('waits')!.status!.containerStatuses![0]).toMatchObject({ restartCount: 0, ready: true })
  h.delete('waits', 1)
  await expect.poll(() => h.get('waits')).toBeUndefined()
})

test('who deletes a pod whose state cannot be read does not wait for it, and nothing of it runs on', async () => {
  const { pod, state } = await running('goes')
  const before = await processOf(pod)
  renameSync(state, `${state}.away`)
  mkdirSync(state)
  await h.restart()
  await h.api.until(() => told('goes').length > 0)
  h.delete('goes', 1)
  await expect.poll(() => h.get('goes')).toBeUndefined()
  expect(processStartTime(before.pid)).not.toBe(before.start)
  expect(existsSync(podDirectory(h.rootDir, pod.metadata.uid!).root)).toBe(false)
})

test('state of a pod that is corrupt is lost: what ran is ended, told of, and started anew', async () => {
  const { pod, state } = await running('corrupt')
  const before = await processOf(pod)
  writeFileSync(state, '{"containers":{"c":')
  await h.restart()
  const after = await h.until('corrupt', p => p.status?.containerStatuses?.[0]?.restartCount === 1 && isReady(p))
  expect(told('corrupt')[0]).toContain(`error determining status: ${state} is corrupt: `)
  expect(after.status!.containerStatuses![0]!.lastState!.terminated).toMatchObject({ reason: 'ContainerStatusUnknown', exitCode: 137 })
  expect(processStartTime(before.pid)).not.toBe(before.start)
  h.delete('corrupt', 1)
  await expect.poll(() => h.get('corrupt')).toBeUndefined()
})

test('of a pod of which nobody knows and nothing can be read all is ended and removed', async () => {
  const uid = h.pod('lost', {
    shareProcessNamespace: true,
    terminationGracePeriodSeconds: 1,
    volumes: [{ name: 'v', emptyDir: { medium: 'Memory' } }],
    containers: [
      {
        name: 'c',
        image: 'busybox',
        command: ['sh', '-c', 'while :; do sleep 1; done'],
        resources: { requests: { cpu: '10m' } },
        volumeMounts: [{ name: 'v', mountPath: '/v' }],
      },
    ],
  } as never).metadata.uid!
  const pod = await h.until('lost', isReady)
  const before = await processOf(pod)
  const { root, state, pod: copy } = podDirectory(h.rootDir, uid)
  await expect.poll(() => [state, copy].every(path => existsSync(path) && !existsSync(`${path}.new`))).toBe(true)
  await h.restart('boot-1', { api: false })
  for (const path of [state, copy]) writeFileSync(path, '{"containers":{')
  h.api.remove(pods, 'default', 'lost')
  await h.restart()
  await expect.poll(() => existsSync(root)).toBe(false)
  expect(processStartTime(before.pid)).not.toBe(before.start)
  expect((await listMounts()).filter(m => m.target.includes(uid))).toEqual([])
  expect((await readdir('/sys/fs/cgroup', { recursive: true })).filter(d => d.includes(`pod${uid}`) && d.includes(h.cgroupRoot))).toEqual(
    [],
  )
})

test.runIf(isolated)('records of images that cannot be read hold a container up, until they can', async () => {
  const store = join(h.rootDir, 'image-store')
  await openImageStore(store)
  await mkdir(store, { recursive: true })
  await writeFile(join(store, 'index.json'), '{"schemaVersion": 2, "manif')
  h.pod('inspect', {
    containers: [{ name: 'c', image: 'example.test/app:1', imagePullPolicy: 'IfNotPresent', command: ['true'] }],
  } as never)
  const pod = await h.until('inspect', p => p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ImageInspectError')
  expect(pod.status!.containerStatuses![0]!.state!.waiting!.message).toMatch(
    /^Failed to inspect image "example.test\/app:1": index.json of the image store is no JSON: /,
  )
  await writeFile(join(store, 'index.json.fresh'), '{"schemaVersion":2,"manifests":[]}')
  renameSync(join(store, 'index.json.fresh'), join(store, 'index.json'))
  // It asks the registry now, which nobody is.
  await h.until('inspect', p => p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ErrImagePull')
  h.delete('inspect', 1)
  await expect.poll(() => h.get('inspect')).toBeUndefined()
})
