/** Volumes of a CSI driver that checks the order of its calls, by its registration socket, in every case that the specification knows. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import {
  csiDrivers,
  csiNodes,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  secrets,
  volumeAttachments,
} from '#shared/api/kinds.ts'
import type { CSINode } from '#shared/api/storage/csinode.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { attachmentName } from '#shared/csi/names.ts'
import { listMounts } from '#shared/linux/mount.ts'
import { startCsiDriver, type CsiDriverOptions, type TestCsiDriver } from '../../fixtures/csidriver.ts'
import { kubeletMetrics } from '#node-agent/kubelet/server/metrics.ts'
import { newSampler } from '#node-agent/kubelet/stats/sampler.ts'
import { harness, isolated, type Harness } from './harness.ts'

let h: Harness
const started: TestCsiDriver[] = []
beforeAll(async () => {
  h = await harness([], { csi: true })
  h.api.put(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1', uid: 'node-uid' } })
})
afterEach(async () => {
  for (const pod of h.api.all(pods)) h.delete(pod.metadata.name ?? '', 0)
  await h.api.until(() => h.api.all(pods).length === 0)
  await expect.poll(async () => (await listMounts()).filter(m => m.target.includes('kubernetes.io~csi'))).toEqual([])
  await expect.poll(() => readdir(join(h.rootDir, 'plugins/kubernetes.io~csi')).catch(() => [])).toEqual([])
  for (const driver of started.splice(0)) {
    expect(driver.violations).toEqual([])
    await driver.stop()
  }
})
afterAll(() => h.close())

const isReady = (p: Pod) => p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')
async function driver(
  name: string,
  options: Partial<CsiDriverOptions> = {},
  spec: object = { attachRequired: false },
): Promise<TestCsiDriver> {
  h.api.put(csiDrivers, { apiVersion: 'storage.k8s.io/v1', kind: 'CSIDriver', metadata: { name }, spec } as never)
  const made = await startCsiDriver(h.rootDir, { name, ...options })
  started.push(made)
  await expect.poll(() => made.registration.length).toBeGreaterThan(0)
  return made
}
function bound(name: string, csi: { driver: string; [field: string]: unknown }, more: object = {}): void {
  const uid = `claim-${name}`
  const common = { accessModes: ['ReadWriteOnce'], storageClassName: '' }
  h.api.put(persistentVolumes, {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: `pv-${name}` },
    spec: {
      ...common,
      capacity: { storage: '1Gi' },
      csi: { volumeHandle: `vol-${name}`, ...csi },
      claimRef: { namespace: 'default', name, uid },
      ...more,
    },
  } as never)
  h.api.put(persistentVolumeClaims, {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: 'default', uid },
    spec: { ...common, volumeName: `pv-${name}` },
    status: { phase: 'Bound', capacity: { storage: '1Gi' } },
  } as never)
}
function user(name: string, volume: object, script = ':', spec: Partial<Pod['spec']> = {}) {
  return h.pod(name, {
    terminationGracePeriodSeconds: 1,
    volumes: [{ name: 'data', ...volume }],
    containers: [
      {
        name: 'c',
        image: 'busybox',
        command: ['sh', '-c', `${script}; touch done; exec sleep 1000`],
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
        readinessProbe: { exec: { command: ['test', '-e', 'done'] } },
      },
    ],
    ...spec,
  } as never)
}
const claim = (name: string) => ({ persistentVolumeClaim: { claimName: name } })
const ofVolumes = (d: TestCsiDriver) => d.calls.filter(c => c.includes(' '))
const failures = (name: string) => h.events(name).filter(e => e.reason === 'FailedMount').map(e => e.message ?? '') // prettier-ignore
const gone = (name: string) => {
  h.delete(name, 1)
  return h.api.until(() => !h.get(name))
}

test('a driver that registers is told in CSINode and on the Node, and let go with its socket', async () => {
  const d = await driver('plain.test', { nodeId: 'id-1', topology: { 'topology.plain.test/zone': 'z1' }, maxVolumes: 7 })
  expect(d.registration).toEqual([{ registered: true, error: '' }])
  const of = () => (h.api.get(csiNodes, '', 'n1') as CSINode | undefined)?.spec.drivers
  expect(of()).toEqual([{ name: 'plain.test', nodeID: 'id-1', topologyKeys: ['topology.plain.test/zone'], allocatable: { count: 7 } }])
  const { annotations, labels } = h.api.get(nodes, '', 'n1')!.metadata
  expect(annotations).toMatchObject({ 'csi.volume.kubernetes.io/nodeid': '{"plain.test":"id-1"}' })
  expect(labels).toMatchObject({ 'topology.plain.test/zone': 'z1' })
  await d.stop()
  await expect.poll(of).toEqual([])
})

test('how many volumes a driver takes is asked for again as often as it says', async () => {
  const options = { maxVolumes: 7 }
  const d = await driver('limit.test', options, { attachRequired: false, nodeAllocatableUpdatePeriodSeconds: 10 })
  const count = () => (h.api.get(csiNodes, '', 'n1') as CSINode).spec.drivers?.find(x => x.name === 'limit.test')?.allocatable?.count
  await expect.poll(count).toBe(7)
  d.options.maxVolumes = 3
  await expect.poll(count).toBe(3)
})

test.runIf(isolated)(
  'how full a volume is and whether it is well is what its driver says, for claims in metrics, events and the summary',
  async () => {
    const d = await driver('stats.test', { node: ['STAGE_UNSTAGE_VOLUME', 'GET_VOLUME_STATS', 'VOLUME_CONDITION'] })
    bound('stats', { driver: 'stats.test' })
    user('stats', claim('stats'))
    await h.until('stats', isReady)
    const sampler = newSampler({ ...h.options(), kubelet: h.kubelet() })
    const found = async () => (await sampler.summary()).pods.find(p => p.podRef.name === 'stats')?.volume?.find(v => v.name === 'data')
    expect(await found()).toMatchObject({ capacityBytes: 1000, usedBytes: 400, availableBytes: 600, inodes: 10, inodesUsed: 4 })
    const { text } = kubeletMetrics({ kubelet: h.kubelet(), sampler, nodeName: 'n1' })
    expect(await text()).toContain('kubelet_volume_stats_available_bytes{namespace="default",persistentvolumeclaim="stats"} 600')
    expect(await text()).toMatch(
      /csi_operations_seconds_count\{driver_name="stats.test",method_name="\/csi.v1.Node\/NodePublishVolume",grpc_status_code="OK",migrated="false"\} 1\n/,
    )
    d.condition = { abnormal: true, message: 'a cable is loose' }
    await h.api.until(() =>
      h.events('stats').some(e => e.reason === 'VolumeConditionAbnormal' && e.message === 'Volume data: a cable is loose'),
    )
    const anew = newSampler({ ...h.options(), kubelet: h.kubelet() })
    expect(await kubeletMetrics({ kubelet: h.kubelet(), sampler: anew, nodeName: 'n1' }).text()).toContain(
      'kubelet_volume_stats_health_status_abnormal{namespace="default",persistentvolumeclaim="stats"} 1',
    )
  },
)

test.runIf(isolated)('a driver that wants it is asked to publish again and again, with tokens of the time', async () => {
  const d = await driver('again.test', { node: [] }, { attachRequired: false, requiresRepublish: true, tokenRequests: [{ audience: '' }] })
  bound('again', { driver: 'again.test' })
  user('again', claim('again'))
  await h.until('again', isReady)
  const times = () => d.calls.filter(c => c.startsWith('NodePublishVolume')).length
  const before = times()
  await expect.poll(times).toBeGreaterThan(before + 1)
  expect(d.last['NodePublishVolume'].volume_context['csi.storage.k8s.io/serviceAccount.tokens']).toContain('"token":"a.token.b"')
})

test.runIf(isolated)('a driver that mounts nothing, and makes no directory, has an empty one in the pod', async () => {
  const d = await driver('bare.test', { node: [] })
  d.fault('NodePublishVolume', 'idle')
  bound('bare', { driver: 'bare.test' })
  user('bare', claim('bare'), 'ls -A data | grep . && exec sleep 1000')
  await h.until('bare', isReady)
})

test('a pod whose driver never came goes when it is deleted', async () => {
  user('never', { csi: { driver: 'never.test' } })
  await h.api.until(() => failures('never').some(m => m.includes('never.test')))
  h.delete('never', 1)
  await h.api.until(() => h.api.all(pods).length === 0)
})

test('a driver that cannot be taken is told why', async () => {
  const d = await driver('old.test', { versions: ['0.3.0'] })
  expect(d.registration[0]).toEqual({
    registered: false,
    error:
      'failed to get highest supported version for CSI driver: old.test: None of the CSI versions reported by this driver are supported: 0.3.0',
  })
})

test.runIf(isolated)('a volume is staged once for its pods, published for each, and undone in order', async () => {
  const d = await driver('stage.test')
  bound('two', { driver: 'stage.test', volumeAttributes: { kind: 'fast' }, fsType: 'ext4' }, { mountOptions: ['noatime'] })
  user('one', claim('two'), 'echo hello >data/word')
  await h.until('one', isReady)
  user('two', claim('two'), 'grep hello data/word')
  await h.until('two', isReady)
  expect(ofVolumes(d)).toEqual(['NodeStageVolume vol-two', 'NodePublishVolume vol-two', 'NodePublishVolume vol-two'])
  expect(d.last['NodeStageVolume']).toMatchObject({
    staging_target_path: expect.stringMatching(/^\/var\/lib\/kubelet\/plugins\/kubernetes.io~csi\/\w+\/globalmount$/) as string,
    volume_capability: { mount: { fs_type: 'ext4', mount_flags: ['noatime'] }, access_mode: { mode: 'SINGLE_NODE_WRITER' } },
    volume_context: { kind: 'fast' },
  })
  await gone('one')
  await h.restart()
  await gone('two')
  expect(
    ofVolumes(d)
      .slice(-2)
      .map(c => c.split(' ')[0]),
  ).toEqual(['NodeUnpublishVolume', 'NodeUnstageVolume'])
  expect([...d.published, ...d.staged]).toEqual([])
})

test.runIf(isolated)('a volume is staged when it is attached, with what the driver said of that', async () => {
  const d = await driver('attach.test', {}, { attachRequired: true })
  bound('att', { driver: 'attach.test' })
  user('att', claim('att'))
  await expect.poll(() => h.kubelet().workers().find(w => w.pod.metadata.name === 'att')?.failure).toContain('timed out waiting for the condition') // prettier-ignore
  expect(failures('att')).toEqual([])
  h.api.put(volumeAttachments, {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'VolumeAttachment',
    metadata: { name: attachmentName('vol-att', 'attach.test', 'n1') },
    spec: { attacher: 'attach.test', nodeName: 'n1', source: { persistentVolumeName: 'pv-att' } },
    status: { attached: true, attachmentMetadata: { device: '/dev/x' } },
  } as never)
  h.kubelet().find('default', 'att')!.kick()
  await h.until('att', isReady)
  expect(d.last['NodeStageVolume'].publish_context).toEqual({ device: '/dev/x' })
  expect(d.last['NodePublishVolume'].publish_context).toEqual({ device: '/dev/x' })
})

test.runIf(isolated)('an inline volume is each pod`s own, with what the driver asks of the pod', async () => {
  const d = await driver('inline.test', { node: [] }, {
    attachRequired: false,
    podInfoOnMount: true,
    volumeLifecycleModes: ['Ephemeral'],
    tokenRequests: [{ audience: 'vault' }],
  }) // prettier-ignore
  h.api.put(secrets, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's', namespace: 'default' },
    data: { key: 'dmFsdWU=' },
  } as never)
  const csi = { driver: 'inline.test', volumeAttributes: { a: 'b' }, nodePublishSecretRef: { name: 's' } }
  const { uid } = user('inl', { csi }, 'touch data/x', { serviceAccountName: 'robot' }).metadata
  await h.until('inl', isReady)
  expect(d.last['NodePublishVolume']).toMatchObject({
    volume_id: expect.stringMatching(/^csi-[0-9a-f]{64}$/) as string,
    secrets: { key: 'value' },
    volume_context: {
      a: 'b',
      'csi.storage.k8s.io/ephemeral': 'true',
      'csi.storage.k8s.io/pod.name': 'inl',
      'csi.storage.k8s.io/pod.namespace': 'default',
      'csi.storage.k8s.io/pod.uid': uid,
      'csi.storage.k8s.io/serviceAccount.name': 'robot',
      'csi.storage.k8s.io/serviceAccount.tokens': expect.stringContaining('"vault":{"token":"a.token.b"') as string,
    },
  })
  await gone('inl')
  expect(ofVolumes(d).map(c => c.split(' ')[0])).toEqual(['NodePublishVolume', 'NodeUnpublishVolume'])
})

test('a driver that is not there, refuses a mode or a call is told of in upstream`s words, and tried again', async () => {
  bound('absent', { driver: 'absent.test' })
  user('absent', claim('absent'))
  h.api.put(csiDrivers, { apiVersion: 'storage.k8s.io/v1', kind: 'CSIDriver', metadata: { name: 'absent.test' }, spec: { attachRequired: false } } as never) // prettier-ignore
  await h.api.until(() =>
    failures('absent').includes(
      'MountVolume.MountDevice failed for volume "pv-absent" : driver name absent.test not found in the list of registered CSI drivers',
    ),
  )
  // It comes, and the pod with it.
  const d = await driver('absent.test')
  if (isolated) await h.until('absent', isReady)
  user('wrong', { csi: { driver: 'absent.test' } })
  await h.api.until(() =>
    failures('wrong').includes(
      'MountVolume.SetUp failed for volume "data" : volume mode "Ephemeral" not supported by driver absent.test (only supports ["Persistent"])',
    ),
  )
  d.fault('NodeStageVolume', { code: status.INTERNAL, message: 'disk on fire' })
  bound('fire', { driver: 'absent.test' })
  user('fire', claim('fire'))
  await h.api.until(() =>
    failures('fire').includes('MountVolume.MountDevice failed for volume "pv-fire" : rpc error: code = Internal desc = disk on fire'),
  )
  // What it has refused is not undone.
  user('refused', claim('fire'))
  for (const name of ['refused', 'fire']) await gone(name)
  expect(d.calls).not.toContain('NodeUnstageVolume vol-fire')
  d.fault('NodeStageVolume', undefined)
  user('fire', claim('fire'))
  if (isolated) await h.until('fire', isReady)
})

test.runIf(isolated)(
  'a driver whose answer cannot be read, that is busy, or that says what is not so is asked again, in order',
  async () => {
    const d = await driver('odd.test')
    const named = (call: string) => d.calls.filter(x => x === `${call} vol-odd`).length
    for (const call of ['NodeStageVolume', 'NodePublishVolume']) d.fault(call, 'noise')
    bound('odd', { driver: 'odd.test' })
    user('odd', claim('odd'))
    const told = (text: string) => h.api.until(() => failures('odd').some(m => m.includes(text)))
    const again = () => h.kubelet().find('default', 'odd')!.kick()
    await told(
      'MountVolume.MountDevice failed for volume "pv-odd" : rpc error: code = Internal desc = the answer of /csi.v1.Node/NodeStageVolume is none',
    )
    expect(named('NodePublishVolume')).toBe(0)
    d.fault('NodeStageVolume', undefined)
    again()
    await told(
      'MountVolume.SetUp failed for volume "pv-odd" : rpc error: code = Internal desc = the answer of /csi.v1.Node/NodePublishVolume is none',
    )
    d.fault('NodePublishVolume', undefined)
    again()
    await h.until('odd', isReady)
    // Its mount point is busy; then it says that it has unmounted, and has not.
    const tried = (call: string, times: number) =>
    expect.poll(() => {
      h.kubelet().find('default', 'odd')?.kick()
      return named(call)
    }).toBeGreaterThan(times) // prettier-ignore
    d.fault('NodeUnpublishVolume', { code: status.INTERNAL, message: 'target is busy' })
    h.delete('odd', 1)
    await tried('NodeUnpublishVolume', 1)
    d.fault('NodeUnpublishVolume', 'idle')
    await tried('NodeUnpublishVolume', named('NodeUnpublishVolume') + 1)
    expect(named('NodeUnstageVolume')).toBe(0)
    expect(h.get('odd')).toBeDefined()
    d.fault('NodeUnstageVolume', { code: status.INTERNAL, message: 'device is busy' })
    d.fault('NodeUnpublishVolume', undefined)
    await tried('NodeUnstageVolume', 1)
    d.fault('NodeUnstageVolume', undefined)
    await tried('NodeUnstageVolume', named('NodeUnstageVolume'))
    await expect.poll(() => [...d.published, ...d.staged]).toEqual([])
  },
)

test.runIf(isolated)('pods run on while their driver is away, and go when it is back', async () => {
  const d = await driver('away.test')
  bound('away', { driver: 'away.test' })
  user('away', claim('away'), 'echo word >data/word')
  await h.until('away', isReady)
  await d.stop()
  await expect.poll(() => (h.api.get(csiNodes, '', 'n1') as CSINode).spec.drivers?.some(x => x.name === 'away.test')).toBe(false)
  expect(isReady(h.get('away')!)).toBe(true)
  // Another pod is told; the first one cannot go yet.
  user('late', claim('away'))
  await h.api.until(() => failures('late').some(m => m.includes('driver name away.test not found in the list of registered CSI drivers')))
  h.delete('away', 1)
  const back = await driver('away.test', { staged: d.staged })
  h.kubelet().find('default', 'late')!.kick()
  await h.until('late', isReady)
  await h.api.until(() => !h.get('away'))
  expect(ofVolumes(back).some(call => call.startsWith('NodeUnstage'))).toBe(false)
})

test.runIf(isolated)(
  'a kubelet that ends between any two calls leaves nothing to its successor that it cannot undo',
  async () => {
    const d = await driver('kill.test')
    for (const call of ['NodeStageVolume', 'NodePublishVolume'] as const)
      for (const fault of ['lose', 'hang'] as const) {
        const name = `${call.toLowerCase()}-${fault}`
        bound(name, { driver: 'kill.test' })
        d.fault(call, fault)
        user(name, claim(name))
        await expect.poll(() => d.calls).toContain(`${call} vol-${name}`)
        await h.restart()
        d.fault(call, undefined)
        await h.until(name, isReady)
        // What has succeeded and was not told is undone by another kubelet, without the pod.
        const un = call.replace('Node', 'NodeUn').replace('UnS', 'Uns').replace('UnP', 'Unp')
        d.fault(un, fault)
        h.delete(name, 1)
        await expect.poll(() => d.calls).toContain(`${un} vol-${name}`)
        await h.restart()
        h.api.remove(pods, 'default', name)
        d.fault(un, undefined)
        await expect.poll(() => [...d.published, ...d.staged], { timeout: 20_000 }).toEqual([])
      }
  },
  60_000,
)
