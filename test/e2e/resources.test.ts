/** Resources of a node as users see them: a KubeletConfiguration, devices, evictions from a small disk, a shutdown in good order. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { quantityValue } from '#shared/machinery/quantity.ts'
import { listMounts, mount, unmount } from '#shared/linux/mount.ts'
import { eventually, runCox, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'
import { startDevicePlugin } from '../fixtures/deviceplugin.ts'

let cluster: ClusterFixture
const flags: string[] = []
const configuration = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
maxPods: 17
kubeReserved: {cpu: 100m, memory: 100Mi}
systemReserved: {cpu: 200m}
evictionHard: {nodefs.available: 40%}
evictionPressureTransitionPeriod: 2s
shutdownGracePeriod: 4s
shutdownGracePeriodCriticalPods: 2s
cpuManagerPolicy: static
`
const root = (): string => path.join(cluster.dir, 'nodes/node-1')
beforeAll(async () => {
  let file = ''
  cluster = await startCluster({
    nodes: 1,
    prepare: async dir => {
      await mkdir(path.join(dir, 'nodes/node-1'), { recursive: true })
      await mount('tmpfs', 'cox-e2e-resources', path.join(dir, 'nodes/node-1'), ['size=256m'])
      file = path.join(dir, 'kubelet.yaml')
      await writeFile(file, configuration)
      flags.push('--kubelet-config', file)
    },
    flags,
  })
}, 150_000)
afterAll(async () => {
  if (!cluster) return
  await cluster.down()
  await unmount((await listMounts()).map(m => m.target).filter(t => t.startsWith(cluster.dir)))
  await cluster.stop()
}, 60_000)

const get = (what: string, jsonpath: string): Promise<string> => cluster.kubectl('get', ...what.split(' '), '-o', `jsonpath={${jsonpath}}`)
const condition = (type: string): Promise<string> => get('node node-1', `.status.conditions[?(@.type=="${type}")].status`)
const pod = (name: string, script: string, spec: object = {}, container: object = {}): Promise<string> =>
  cluster.apply(
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec: {
        terminationGracePeriodSeconds: 600,
        tolerations: [{ operator: 'Exists' }],
        ...spec,
        containers: [{ name: 'c', image: 'busybox', command: ['sh', '-c', script], ...container }],
      },
    }),
  )

test('a wrong KubeletConfiguration is refused before anything starts', async () => {
  const file = path.join(cluster.dir, 'wrong.yaml')
  await writeFile(file, `${configuration}evictionHrad: {}\n`)
  const ran = await runCox(['up', '--detach', '--state-dir', path.join(cluster.dir, 'never'), '--kubelet-config', file])
  expect(ran.code).not.toBe(0)
  expect(ran.stderr).toContain('unknown field "evictionHrad"')
})

test('what is reserved, or kept free by evictions, is not allocatable', async () => {
  const status = JSON.parse(await get('node node-1', '.status')) as Record<'capacity' | 'allocatable', Record<string, string>>
  expect([status.capacity['pods'], status.allocatable['pods']]).toEqual(['17', '17'])
  const milli = (text: string): number => (text.endsWith('m') ? Number(text.slice(0, -1)) : Number(text) * 1000)
  expect(milli(status.capacity['cpu']!) - milli(status.allocatable['cpu']!)).toBe(300)
  expect(quantityValue(status.capacity['memory']!) - quantityValue(status.allocatable['memory']!)).toBe(100 * 2 ** 20)
  expect(status.capacity['ephemeral-storage']).toBe('256Mi')
  expect(quantityValue(status.allocatable['ephemeral-storage']!)).toBeLessThan(154 * 2 ** 20)
})

test("devices of a plugin are the node's, and a pod that asks for one has it", async () => {
  const plugin = await startDevicePlugin(path.join(root(), 'device-plugins'), 'gpu', {
    resource: 'example.com/gpu',
    devices: ['gpu0', 'gpu1'],
    gives: ids => ({ envs: { GPUS: ids.join() } }),
  })
  try {
    await eventually(async () => (await get('node node-1', '.status.allocatable.example\\.com/gpu')) === '2', 'two devices')
    const volumes = [{ name: 'plugins', hostPath: { path: '/var/lib/kubelet/device-plugins', type: 'Directory' } }]
    await pod(
      'gpu',
      'echo has $GPUS; ls /plugins; sleep 1000',
      { volumes },
      { volumeMounts: [{ name: 'plugins', mountPath: '/plugins' }], resources: { limits: { 'example.com/gpu': 1 } } },
    )
    await eventually(async () => /has gpu0[^]*kubelet.sock/.test((await cluster.tryKubectl('logs', 'gpu')).stdout), 'its log')
    expect(await cluster.kubectl('describe', 'node', 'node-1')).toMatch(/example.com\/gpu +1 +1/)
    plugin.setHealth('gpu1', 'Unhealthy')
    await eventually(async () => (await get('node node-1', '.status.allocatable.example\\.com/gpu')) === '1', 'one device')
    expect(await get('node node-1', '.status.capacity.example\\.com/gpu')).toBe('2')
  } finally {
    await plugin.stop()
  }
  await eventually(async () => (await get('node node-1', '.status.allocatable.example\\.com/gpu')) === '0', 'no device')
  await cluster.kubectl('delete', 'pod', 'gpu', '--now')
}, 90_000)
test('a disk that gets full costs the pod that fills it, and the node takes no more until there is space', async () => {
  await pod('little', 'sleep 1000')
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/little')
  await pod('much', 'dd if=/dev/zero of=file bs=1M count=60; sleep 1000')
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/much')
  // What is not a pod's.
  await execa('dd', ['if=/dev/zero', `of=${path.join(root(), 'filling')}`, 'bs=1M', 'count=110'])
  try {
    await eventually(async () => (await get('pod much', '.status.reason')) === 'Evicted', 'the pod that writes most is evicted')
    expect(await get('pod much', '.status.message')).toMatch(
      /^The node was low on resource: ephemeral-storage. Threshold quantity: \d+\w*, available: \d+\w*. Container c was using 6\d+Ki, request is 0, has larger consumption of ephemeral-storage. $/,
    )
    expect(await get('pod little', '.status.phase')).toBe('Running')
    expect(await cluster.kubectl('get', 'events')).toMatch(/Warning +Evicted +pod\/much +The node was low on resource/)
  } finally {
    await rm(path.join(root(), 'filling'))
  }
  await eventually(async () => (await condition('DiskPressure')) === 'False', 'no DiskPressure')
  await eventually(async () => !(await get('node node-1', '.spec.taints')).includes('disk-pressure'), 'no taint')
  await cluster.kubectl('delete', 'pod', 'much', 'little', '--now')
}, 90_000)

test('a node that is told to go ends its pods first, critical ones last, and says why it is not ready', async () => {
  const stubborn = "trap '' TERM; while :; do sleep 0.1; done"
  await pod('plain', stubborn)
  await pod('critical', stubborn, { priorityClassName: 'system-cluster-critical' })
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/plain', 'pod/critical')
  const init = (await cluster.ps()).find(r => r.component === 'node-init')!
  process.kill(init.pid, 'SIGTERM')
  const told = eventually(
    async () => (await get('node node-1', '.status.conditions[?(@.type=="Ready")].message')) === 'node is shutting down',
    'why it is not ready',
  )
  await eventually(async () => (await get('pod critical', '.status.phase')) === 'Failed', 'its pods have ended')
  await told
  const ends = await Promise.all(
    ['plain', 'critical'].map(async name => {
      expect(await get(`pod ${name}`, '.status.reason')).toBe('Terminated')
      expect(await get(`pod ${name}`, '.status.message')).toBe('Pod was terminated in response to imminent node shutdown.')
      return Date.parse(await get(`pod ${name}`, '.status.containerStatuses[0].state.terminated.finishedAt'))
    }),
  )
  expect(ends[0]).toBeLessThan(ends[1]!)
}, 90_000)
