/** Extended resources: device plugins that come, change, fail, go and come back, and the containers that have their devices. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { credentials, loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { servePodResources } from '#node-agent/kubelet/podresources.ts'
import { startDevicePlugin, type DevicePlugin, type DevicePluginOptions } from '../../fixtures/deviceplugin.ts'
import { harness, isolated, type Harness } from './harness.ts'

let h: Harness
let outside: string
const started: DevicePlugin[] = []
beforeAll(async () => {
  h = await harness([], { devices: true })
  outside = await mkdtemp(join(tmpdir(), 'devices-'))
  await writeFile(join(outside, 'firmware'), 'v7')
})
afterEach(async () => {
  for (const plugin of started.splice(0)) await plugin.stop()
})
afterAll(async () => {
  await h.close()
  await rm(outside, { recursive: true, force: true })
})

const directory = (): string => join(h.rootDir, 'device-plugins')
async function plugin(name: string, options: DevicePluginOptions): Promise<DevicePlugin> {
  const made = await startDevicePlugin(directory(), name, options)
  started.push(made)
  return made
}
const manager = () => h.options().devices!
const counts = (resource: string) => [manager().resources().capacity[resource], manager().resources().allocatable[resource]]
const becomes = (resource: string, ...found: (string | undefined)[]) => expect.poll(() => counts(resource)).toEqual(found)
const wants = (resource: string, count: number, more = {}) => ({
  name: 'c',
  image: 'busybox',
  command: ['sleep', '1000'],
  resources: { limits: { [resource]: String(count) }, requests: { [resource]: String(count) } },
  ...more,
})
const running = (p: Pod) => p.status?.phase === 'Running'
const idsOf = (pod: Pod, container = 'c') =>
  manager()
    .allocations()
    .filter(a => a.pod === pod.metadata.uid && a.container === container)
    .flatMap(a => a.ids)

test('a container has the variables, mounts and devices that its plugin gives it', async () => {
  const p = await plugin('full', {
    resource: 'example.com/full',
    devices: ['a', 'b'],
    options: { pre_start_required: true },
    gives: ids => ({
      envs: { DEVICES: ids.join(), PATH_TO: '/firmware' },
      mounts: [{ container_path: '/firmware', host_path: join(outside, 'firmware'), read_only: true }],
      devices: [{ container_path: '/dev/example', host_path: '/dev/fuse', permissions: 'r' }],
      annotations: { 'example.com/device': ids.join() },
    }),
  })
  await becomes('example.com/full', '2', '2')
  const script = isolated
    ? 'echo $DEVICES $PATH_TO $OWN $(cat /firmware) $( (: < /dev/example) && echo opened); (: > /dev/example) || echo refused; sleep 1000'
    : 'echo $DEVICES $PATH_TO $OWN; sleep 1000'
  const env = [
    { name: 'OWN', value: '1' },
    { name: 'PATH_TO', value: 'mine' },
  ]
  h.pod('full', {
    containers: [wants('example.com/full', 2, { command: ['sh', '-c', script], env })],
    terminationGracePeriodSeconds: 1,
  })
  await h.until('full', running)
  const log = () => h.log('full', 'c')
  await expect.poll(log).toContain(isolated ? 'a,b mine 1 v7 opened' : 'a,b mine 1')
  if (isolated) await expect.poll(log).toContain('refused')
  expect(p.asked).toEqual(['allocate a,b', 'prestart a,b'])
})

test('what is asked for is what there is: healthy, and nobody else has it', async () => {
  const p = await plugin('some', { resource: 'example.com/some', devices: ['d1', 'd2', 'd3'] })
  await becomes('example.com/some', '3', '3')
  const first = h.pod('first', { containers: [wants('example.com/some', 2)], terminationGracePeriodSeconds: 1 })
  await h.until('first', running)
  expect(idsOf(first)).toEqual(['d1', 'd2'])
  h.pod('too-many', { containers: [wants('example.com/some', 2)] })
  const rejected = await h.until('too-many', pod => pod.status?.phase === 'Failed')
  expect(rejected.status).toMatchObject({
    reason: 'UnexpectedAdmissionError',
    message:
      'Pod was rejected: Allocate failed due to requested number of devices unavailable for example.com/some. Requested: 2, Available: 1, which is unexpected',
  })
  p.setHealth('d3', 'Unhealthy')
  await becomes('example.com/some', '3', '2')
  h.delete('first', 1)
  await h.api.until(() => h.kubelet().find('default', 'first') === undefined || h.kubelet().find('default', 'first')!.stage === 'removed')
  const second = h.pod('second', { containers: [wants('example.com/some', 2)], terminationGracePeriodSeconds: 1 })
  await h.until('second', running)
  expect(idsOf(second)).toEqual(['d1', 'd2'])
  p.setHealth('d3', 'Healthy')
  await becomes('example.com/some', '3', '3')
})

/** What the kubelet tells monitoring tools. */
async function podResources(name: string, request = {}): Promise<object> {
  const definition = loadPackageDefinition(
    loadSync(join(import.meta.dirname, '../../fixtures/podresources.proto'), { keepCase: true, longs: Number }),
  )
  const { PodResourcesLister } = definition['v1'] as unknown as Record<string, ServiceClientConstructor>
  const client = new PodResourcesLister!(`unix:${join(h.rootDir, 'pod-resources/kubelet.sock')}`, credentials.createInsecure())
  try {
    return await new Promise((resolve, reject) =>
      (client[name] as (...args: unknown[]) => void).call(client, request, (e: Error | null, answer: object) =>
        e ? reject(e) : resolve(answer),
      ),
    )
  } finally {
    client.close()
  }
}

test('who has which devices is told to those who ask', async () => {
  const stop = new AbortController()
  await servePodResources(h.rootDir, manager(), undefined, () => h.kubelet().activePods(), h.options().log, stop.signal)
  await plugin('told', { resource: 'example.com/told', devices: ['t1', 't2'] })
  await becomes('example.com/told', '2', '2')
  h.pod('told', { containers: [wants('example.com/told', 1), { name: 'bare', image: 'busybox', command: ['sleep', '1000'] }] })
  await h.until('told', running)
  const mine = {
    name: 'told',
    namespace: 'default',
    containers: [{ name: 'c', devices: [{ resource_name: 'example.com/told', device_ids: ['t1'] }] }, { name: 'bare' }],
  }
  expect(await podResources('Get', { pod_name: 'told', pod_namespace: 'default' })).toMatchObject({ pod_resources: mine })
  expect(await podResources('List')).toMatchObject({
    pod_resources: expect.arrayContaining([expect.objectContaining({ name: 'told' })]) as unknown,
  })
  expect(await podResources('GetAllocatableResources')).toMatchObject({
    devices: expect.arrayContaining([expect.objectContaining({ resource_name: 'example.com/told', device_ids: ['t1', 't2'] })]) as unknown,
  })
  await expect(podResources('Get', { pod_name: 'x', pod_namespace: 'default' })).rejects.toThrow('pod x in namespace default not found')
  stop.abort()
})

test("a plugin's preference is followed; plain init containers lend their devices to those after them", async () => {
  const p = await plugin('picky', {
    resource: 'example.com/picky',
    devices: ['x1', 'x2', 'x3', 'x4'],
    options: { get_preferred_allocation_available: true },
  })
  await becomes('example.com/picky', '4', '4')
  const pod = h.pod('picky', {
    initContainers: [{ ...wants('example.com/picky', 1, { command: ['true'] }), name: 'init' }],
    containers: [wants('example.com/picky', 2)],
    terminationGracePeriodSeconds: 1,
  })
  await h.until('picky', running)
  expect([idsOf(pod, 'init'), idsOf(pod).toSorted()]).toEqual([['x4'], ['x3', 'x4']])
  expect(p.asked[0]).toBe('preferred 1 of x1,x2,x3,x4')
})

test('who registers wrongly hears why', async () => {
  const p = await plugin('wrong', { resource: 'example.com/wrong', devices: [] })
  await expect(p.register({ version: 'v1' })).rejects.toThrow(
    'requested API version "v1" is not supported by kubelet. Supported version is "v1beta1"',
  )
  await expect(p.register({ resource_name: 'cpu' })).rejects.toThrow('the ResourceName "cpu" is invalid')
  await expect(p.register({ endpoint: '../../elsewhere.sock' })).rejects.toThrow('must be the name of a socket')
})

test('a plugin that refuses rejects the pod; devices of another plugin that the pod was given are free again', async () => {
  await plugin('deny', { resource: 'example.com/deny', devices: ['n'], refuses: () => 'out of order' })
  await becomes('example.com/deny', '1', '1')
  h.pod('denied', { containers: [wants('example.com/deny', 1)] })
  const { status } = await h.until('denied', pod => pod.status?.phase === 'Failed')
  expect(status?.message).toBe(
    'Pod was rejected: Allocate failed due to rpc error: code = Internal desc = out of order, which is unexpected',
  )
})

test('a plugin that goes leaves its resource for a while; one that comes back, and another kubelet, know who has what', async () => {
  const resource = 'example.com/lasting'
  const p = await plugin('lasting', { resource, devices: ['k1', 'k2'] })
  await becomes(resource, '2', '2')
  const holder = h.pod('holder', { containers: [wants(resource, 1)], terminationGracePeriodSeconds: 1 })
  const { status } = await h.until('holder', running)
  expect(idsOf(holder)).toEqual(['k1'])
  await p.stop()
  await becomes(resource, '2', '0')
  h.pod('unlucky', { containers: [wants(resource, 1)] })
  expect((await h.until('unlucky', pod => pod.status?.phase === 'Failed')).status?.message).toContain(
    `no healthy devices present; cannot allocate unhealthy devices ${resource}`,
  )
  const again = await plugin('lasting', { resource, devices: ['k1', 'k2'] })
  await becomes(resource, '2', '2')
  await h.restart()
  // It sees that there is another kubelet.
  await again.untilRegistered(2)
  await becomes(resource, '2', '2')
  expect(idsOf(holder)).toEqual(['k1'])
  const next = h.pod('next', { containers: [wants(resource, 1)], terminationGracePeriodSeconds: 1 })
  await h.until('next', running)
  expect(idsOf(next)).toEqual(['k2'])
  expect(h.get('holder')?.status?.containerStatuses?.[0]?.containerID).toBe(status?.containerStatuses?.[0]?.containerID)
})
