/**
 * The work of CSI drivers' sidecars and of attach/detach: a real API server and controllers, and of a node what hands calls to a driver that
 * checks their order.
 */
import { createServer } from 'node:http'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { parseAllDocuments } from 'yaml'
import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { CSIDriver } from '#shared/api/storage/csidriver.ts'
import type { CustomResourceDefinition } from '#shared/api/apiextensions/customresourcedefinition.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import type { VolumeAttributesClass } from '#shared/api/storage/volumeattributesclass.ts'
import {
  csiDrivers as driverKind,
  csiNodes,
  csiStorageCapacities,
  customResourceDefinitions,
  events,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
  volumeAttachments,
  volumeAttributesClasses,
} from '#shared/api/kinds.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import { serveSessions } from '#shared/bus/sessions.ts'
import { sessionStream } from '#shared/bus/sessionstream.ts'
import { nodeSubject } from '#shared/bus/subjects.ts'
import { newClient } from '#shared/client/rest.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { controllerAnnotation, controllerName } from '#control-plane/controller-manager/csi/driver.ts'
import { volumePopulators, type VolumePopulator } from '#control-plane/controller-manager/csi/populators.ts'
import {
  volumeSnapshotClasses,
  volumeSnapshotContents,
  volumeSnapshots,
  type VolumeSnapshot,
  type VolumeSnapshotClass,
} from '#control-plane/controller-manager/csi/snapshots.ts'
import { csiNodeRecord } from '#node-agent/kubelet/csi/csinode.ts'
import { csiDrivers, type CsiDrivers } from '#node-agent/kubelet/csi/drivers.ts'
import { followPlugins } from '#node-agent/kubelet/pluginmanager/pluginmanager.ts'
import { serveCsi } from '#node-agent/kubelet/server/csi.ts'
import { newBackend, startCsiDriver, type Backend, type TestCsiDriver } from '../../fixtures/csidriver.ts'
import { quiet, startControl, startNode, until, type Control } from './setup.ts'

const name = 'csi.test'
let c: Control
let ns: string
let root: string
const backend: Backend = newBackend()
const stop = new AbortController()
const drivers = new Map<string, TestCsiDriver>()
const started: { stop(): void }[] = []

/** Of a kubelet what registers drivers and hands them calls. */
async function startCsiNode(node: string): Promise<TestCsiDriver> {
  started.push(await startNode(c.client, node, { binds: node === 'node-1' }))
  const rootDir = join(root, node)
  const connection = await c.api.nats.connect(`system:node:${node}`)
  const own = newClient(natsTransport(connection), { userAgent: 'kubelet' })
  const object = await own.get(nodes, '', node)
  const all: CsiDrivers = csiDrivers(
    csiNodeRecord(own, () => object, quiet),
    quiet,
  )
  followPlugins(
    join(rootDir, 'plugins_registry'),
    { CSIPlugin: all },
    path => path.replace('/var/lib/kubelet', rootDir),
    quiet,
    stop.signal,
  )
  const server = createServer((req, res) => {
    const [, ...rest] = new URL(req.url ?? '/', 'http://kubelet').pathname.split('/').filter(Boolean).map(decodeURIComponent)
    void serveCsi(all, rest, req, res)
  })
  const service = serveSessions(connection, nodeSubject(connection.identity, 'http'), async session => {
    const stream = sessionStream(session, 'acceptor')
    server.emit('connection', stream)
    await new Promise(resolve => stream.once('close', resolve))
  })
  stop.signal.addEventListener('abort', () => service.close())
  const driver = await startCsiDriver(rootDir, {
    name,
    nodeId: node,
    controller: [
      'CREATE_DELETE_VOLUME',
      'PUBLISH_UNPUBLISH_VOLUME',
      'CREATE_DELETE_SNAPSHOT',
      'CLONE_VOLUME',
      'EXPAND_VOLUME',
      'MODIFY_VOLUME',
      'GET_CAPACITY',
      'LIST_VOLUMES',
      'LIST_VOLUMES_PUBLISHED_NODES',
    ],
    topology: { 'topology.csi.test/zone': node === 'node-1' ? 'a' : 'b' },
    backend,
  })
  await until(`driver on ${node}`, async () => (await c.client.get(csiNodes, '', node).catch(() => undefined))?.spec.drivers?.length === 1)
  drivers.set(node, driver)
  return driver
}

beforeAll(async () => {
  c = await startControl()
  root = await mkdtemp(join(tmpdir(), 'csi-control-'))
  await c.control()
  ns = await c.namespace('csi')
  const made = {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSIDriver',
    metadata: { name, annotations: { [controllerAnnotation]: controllerName } },
    spec: { attachRequired: true, storageCapacity: true },
  } as CSIDriver
  await c.client.create(driverKind, '', made)
  const storageClass = {
    metadata: { name: 'test' },
    provisioner: name,
    parameters: { kind: 'fast', 'csi.storage.k8s.io/fstype': 'ext4' },
    allowVolumeExpansion: true,
    volumeBindingMode: 'Immediate',
  } as unknown as StorageClass
  await c.client.create(storageClasses, '', storageClass)
  await startCsiNode('node-1')
  await startCsiNode('node-2')
})
afterEach(() => {
  for (const driver of drivers.values()) expect(driver.violations).toEqual([])
})
afterAll(async () => {
  for (const node of started) node.stop()
  stop.abort()
  for (const driver of drivers.values()) await driver.stop()
  await c?.stop()
  await rm(root, { recursive: true, force: true })
})

const claim = (claimName: string, more: object = {}, storage = '2Mi') =>
  c.client.create(persistentVolumeClaims, ns, {
    metadata: { name: claimName },
    spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'test', resources: { requests: { storage } }, ...more },
  } as unknown as PersistentVolumeClaim)
const isBound = (claimName: string) =>
  until(`claim ${claimName} to be bound`, async () => {
    const found = await c.client.get(persistentVolumeClaims, ns, claimName)
    return found.status?.phase === 'Bound' ? found : undefined
  })
const volumeOf = async (claimName: string) => c.client.get(persistentVolumes, '', (await isBound(claimName)).spec.volumeName ?? '')
const remove = async (claimName: string): Promise<void> => {
  await c.client.delete(persistentVolumeClaims, ns, claimName)
  await until(`claim ${claimName} to be gone`, () => c.client.get(persistentVolumeClaims, ns, claimName).then(() => false, isNotFound))
}
const nothingLeft = async () => {
  const left = async () => {
    const lists = await Promise.all([persistentVolumes, volumeAttachments].map(kind => c.client.list(kind as typeof persistentVolumes, '')))
    return [...lists.flatMap(l => l.items.map(o => [o.metadata, o.status])), ...backend.volumes.keys(), ...backend.published.keys()]
  }
  await until('nothing to be left', async () => (await left()).length === 0).catch(async () => expect(await left()).toEqual([]))
}
const fault = (call: string, what: Parameters<TestCsiDriver['fault']>[1]) => drivers.forEach(d => d.fault(call, what))
const called = (call: string) => [...drivers.values()].flatMap(d => d.calls).filter(x => x.startsWith(`${call} `))
const eventOf = (object: string, reason: string) =>
  until(`event ${reason} of ${object}`, async () =>
    (await c.client.list(events, ns)).items.find(e => e.involvedObject.name === object && e.reason === reason),
  )
const pod = (podName: string, claimName: string, nodeName: string) =>
  c.client.create(pods, ns, {
    metadata: { name: podName },
    spec: {
      nodeName,
      containers: [{ name: 'c', image: 'x' }],
      volumes: [{ name: 'v', persistentVolumeClaim: { claimName } }],
    },
  } as Pod)

test('a claim gets a volume of the driver, with its topology, and gives it back', async () => {
  await claim('plain')
  const volume = await volumeOf('plain')
  expect(volume.spec).toMatchObject({
    csi: { driver: name, volumeHandle: `vol-${volume.metadata.name}`, fsType: 'ext4', volumeAttributes: { made: 'yes' } },
    capacity: { storage: '2Mi' },
    persistentVolumeReclaimPolicy: 'Delete',
  })
  const [term] = volume.spec.nodeAffinity?.required?.nodeSelectorTerms ?? []
  expect(term?.matchExpressions?.[0]).toMatchObject({ key: 'topology.csi.test/zone', operator: 'In' })
  const asked = [...drivers.values()].map(d => d.last['CreateVolume']).find(Boolean)
  expect(asked).toMatchObject({ parameters: { kind: 'fast' }, volume_capabilities: [{ access_mode: { mode: 'SINGLE_NODE_WRITER' } }] })
  expect(asked.accessibility_requirements.requisite).toHaveLength(2)
  expect((await isBound('plain')).metadata.finalizers).toEqual(['kubernetes.io/pvc-protection'])
  await remove('plain')
  await nothingLeft()
})

test('a volume is attached where its pod is, once at a time, and detached when its kubelet has let go', async () => {
  await claim('att')
  const volume = await volumeOf('att')
  const unique = `kubernetes.io/csi/${name}^${volume.spec.csi!.volumeHandle}`
  await pod('one', 'att', 'node-1')
  const attached = () =>
    until('the attachment', async () =>
      (await c.client.list(volumeAttachments, '')).items.find(a => a.status?.attached && !a.metadata.deletionTimestamp),
    )
  expect((await attached()).status?.attachmentMetadata).toEqual({ device: `/dev/${volume.spec.csi!.volumeHandle}` })
  await until('node status', async () => (await c.client.get(nodes, '', 'node-1')).status?.volumesAttached?.[0]?.name === unique)
  await eventOf('one', 'SuccessfulAttachVolume')
  await c.client.patch(nodes, '', 'node-1', 'merge', { status: { volumesInUse: [unique] } }, 'status')
  await pod('two', 'att', 'node-2')
  expect((await eventOf('two', 'FailedAttachVolume')).message).toBe(
    `Multi-Attach error for volume "${volume.metadata.name}" Volume is already used by pod(s) one`,
  )
  await c.client.delete(pods, ns, 'one')
  await until('pod one to be gone', () => c.client.get(pods, ns, 'one').then(() => false, isNotFound))
  // Mounted still.
  expect(called('ControllerUnpublishVolume')).toEqual([])
  await c.client.patch(nodes, '', 'node-1', 'merge', { status: { volumesInUse: [] } }, 'status')
  await until('attachment to node-2', async () => (await attached()).spec.nodeName === 'node-2')
  expect((await c.client.get(nodes, '', 'node-1')).status?.volumesAttached ?? []).toEqual([])
  // A node that is out of service does not have to let go.
  await c.client.patch(nodes, '', 'node-2', 'merge', { status: { volumesInUse: [unique] } }, 'status')
  await c.client.delete(pods, ns, 'two')
  const taints = [{ key: 'node.kubernetes.io/out-of-service', effect: 'NoExecute' }]
  await c.client.patch(nodes, '', 'node-2', 'merge', { spec: { taints } })
  await until('no attachment', async () => (await c.client.list(volumeAttachments, '')).items.length === 0)
  await c.client.patch(nodes, '', 'node-2', 'merge', { spec: { taints: null }, status: { volumesInUse: null } })
  await c.client.patch(nodes, '', 'node-2', 'merge', { status: { volumesInUse: [] } }, 'status')
  await remove('att')
  await nothingLeft()
})

test('a node that is not healthy loses its volume after a while, one that is healthy does not', async () => {
  await c.stopControllers()
  await c.control({ forceDetachMs: 300 })
  await claim('force')
  const volume = await volumeOf('force')
  const unique = `kubernetes.io/csi/${name}^${volume.spec.csi!.volumeHandle}`
  const ready = (state: 'True' | 'Unknown') =>
    c.client.patch(nodes, '', 'node-2', 'strategic', { status: { conditions: [{ type: 'Ready', status: state }] } }, 'status')
  const attached = async () => (await c.client.list(volumeAttachments, '')).items.some(a => a.status?.attached)
  await pod('forced', 'force', 'node-2')
  await until('the attachment', attached)
  await c.client.patch(nodes, '', 'node-2', 'merge', { status: { volumesInUse: [unique] } }, 'status')
  await c.client.delete(pods, ns, 'forced')
  await until('pod to be gone', () => c.client.get(pods, ns, 'forced').then(() => false, isNotFound))
  // Looked at again after the time, and left alone.
  await c.client.patch(persistentVolumes, '', volume.metadata.name ?? '', 'merge', { metadata: { labels: { seen: 'yes' } } })
  const calls = called('ControllerUnpublishVolume').length
  expect(await attached()).toBe(true)
  await ready('Unknown')
  await until('no attachment', async () => !(await attached()))
  expect(called('ControllerUnpublishVolume').length).toBeGreaterThan(calls)
  await ready('True')
  await c.client.patch(nodes, '', 'node-2', 'merge', { status: { volumesInUse: [] } }, 'status')
  await remove('force')
  await nothingLeft()
  await c.stopControllers()
  await c.control()
})

test('what was attached after it had been taken back is taken back by whoever is refused for it', async () => {
  await claim('other')
  const other = (await volumeOf('other')).spec.csi!.volumeHandle
  await claim('stray')
  const handle = (await volumeOf('stray')).spec.csi!.volumeHandle
  const isFree = (id: string) => until(`${id} to be free`, () => Promise.resolve(!backend.published.has(id)))
  // As a process does it that stood still meanwhile.
  backend.published.set(handle, new Set(['node-2']))
  const refusal = { code: status.FAILED_PRECONDITION, message: 'it is attached to node-2' }
  fault('ControllerPublishVolume', refusal)
  await pod('strayed', 'stray', 'node-1')
  await isFree(handle)
  fault('ControllerPublishVolume', undefined)
  const attached = async () => (await c.client.list(volumeAttachments, '')).items.find(a => a.status?.attached)
  await until('the attachment', attached)
  // What has a VolumeAttachment stays where it is, though a driver refuses.
  fault('DeleteVolume', refusal)
  backend.published.set(other, new Set(['node-2']))
  await remove('other')
  await isFree(other)
  expect([...(backend.published.get(handle) ?? [])]).toEqual(['node-1'])
  fault('DeleteVolume', undefined)
  await c.client.delete(pods, ns, 'strayed')
  await remove('stray')
  await nothingLeft()
})

test('pods are told that nobody attaches their volume, which is not attached any more once its driver says that it need not be', async () => {
  await c.stopControllers()
  await c.control({ attachTimeoutMs: 300 })
  const common = { accessModes: ['ReadWriteOnce'], storageClassName: '' } as const
  await c.client.create(persistentVolumes, '', {
    metadata: { name: 'alone' },
    spec: { ...common, capacity: { storage: '1Mi' }, claimRef: { namespace: ns, name: 'alone' }, csi: { driver: 'nobody.test', volumeHandle: 'h' } },
  } as never) // prettier-ignore
  await c.client.create(persistentVolumeClaims, ns, { metadata: { name: 'alone' }, spec: { ...common, resources: { requests: { storage: '1Mi' } } } } as never) // prettier-ignore
  await isBound('alone')
  await pod('alone', 'alone', 'node-1')
  expect((await eventOf('alone', 'FailedAttachVolume')).message).toBe(
    'AttachVolume.Attach failed for volume "alone" : timed out waiting for external-attacher of nobody.test CSI driver to attach volume h',
  )
  // Also one that a kubelet uses, as it may without.
  const inUse = (volumesInUse: string[]) => c.client.patch(nodes, '', 'node-1', 'merge', { status: { volumesInUse } }, 'status')
  await inUse(['kubernetes.io/csi/nobody.test^h'])
  await c.client.create(driverKind, '', { metadata: { name: 'nobody.test' }, spec: { attachRequired: false } } as never)
  await until('no attachment', async () => (await c.client.list(volumeAttachments, '')).items.length === 0)
  await inUse([])
  await c.client.delete(pods, ns, 'alone')
  await remove('alone')
  await c.client.delete(persistentVolumes, '', 'alone')
  await c.client.delete(driverKind, '', 'nobody.test')
  await nothingLeft()
  await c.stopControllers()
  await c.control()
})

test('a claim whose data somebody else brings waits for him, and takes the volume that he has filled', async () => {
  const manifest = readFileSync(join(import.meta.dirname, '../../../drivers/manifests/populators.yaml'), 'utf8')
  await c.client.create(customResourceDefinitions, '', parseAllDocuments(manifest)[0]!.toJSON() as CustomResourceDefinition)
  const registered = {
    apiVersion: 'populator.storage.k8s.io/v1beta1',
    kind: 'VolumePopulator',
    sourceKind: { group: 'g.test', kind: 'Known' },
  }
  await until(
    'the kind to be served',
    () =>
    c.client.create(volumePopulators, '', { ...registered, metadata: { name: 'known' } } as VolumePopulator).then(() => true, () => false), // prettier-ignore
  )
  const dataSourceRef = { apiGroup: 'g.test', kind: 'Known', name: 'x' }
  await claim('unknown', { dataSourceRef: { ...dataSourceRef, kind: 'Unknown' } })
  expect((await eventOf('unknown', 'UnrecognizedDataSourceKind')).message).toBe(
    'The datasource for this PVC does not match any registered VolumePopulator',
  )
  await claim('filled', { dataSourceRef })
  expect((await eventOf('filled', 'Provisioning')).message).toBe('Assuming an external populator will provision the volume')
  // As lib-volume-populator: a claim of its own, whose volume it fills and then gives away.
  await claim('prime')
  const { metadata, spec } = await volumeOf('prime')
  const { uid, resourceVersion } = (await c.client.get(persistentVolumeClaims, ns, 'filled')).metadata
  const claimRef = { ...spec.claimRef, name: 'filled', uid, resourceVersion }
  await c.client.patch(persistentVolumes, '', metadata.name ?? '', 'merge', { spec: { claimRef } })
  expect((await isBound('filled')).spec.volumeName).toBe(metadata.name)
  await until('prime to be lost', async () => (await c.client.get(persistentVolumeClaims, ns, 'prime')).status?.phase === 'Lost')
  await remove('prime')
  expect((await c.client.get(persistentVolumes, '', metadata.name ?? '')).status?.phase).toBe('Bound')
  expect(backend.volumes.size).toBe(1)
  for (const claimName of ['filled', 'unknown']) await remove(claimName)
  await nothingLeft()
})

test('how much room a driver has is told for each of its classes and zones, and goes with it', async () => {
  const told = async () =>
    (await c.client.list(csiStorageCapacities, '')).items
      .map(o => [o.storageClassName, o.nodeTopology?.matchLabels?.['topology.csi.test/zone'], o.capacity, o.maximumVolumeSize])
      .sort()
  const late = { metadata: { name: 'late' }, provisioner: name, volumeBindingMode: 'WaitForFirstConsumer', parameters: { kind: 'slow' } }
  await c.client.create(storageClasses, '', late as unknown as StorageClass)
  await until('capacities', async () => (await told()).length === 2)
  expect(await told()).toEqual([
    ['late', 'a', '10Gi', '5Gi'],
    ['late', 'b', '10Gi', '5Gi'],
  ])
  expect(drivers.get('node-1')!.last['GetCapacity'] ?? drivers.get('node-2')!.last['GetCapacity']).toMatchObject({
    parameters: { kind: 'slow' },
    accessible_topology: { segments: { 'topology.csi.test/zone': expect.stringMatching(/^[ab]$/) as string } },
  })
  // A volume takes room.
  backend.capacity = 7 * 2 ** 30
  await claim('room')
  await isBound('room')
  await until('less', async () => (await told()).every(o => o[2] === '7Gi'))
  await remove('room')
  await nothingLeft()
  await c.client.delete(storageClasses, '', 'late')
  await until('none', async () => (await told()).length === 0)
})

test('a driver that fails, answers nonsense or to nobody leaves nothing behind, whoever is killed', async () => {
  fault('CreateVolume', { code: status.INTERNAL, message: 'out of order' })
  await claim('sick')
  expect((await eventOf('sick', 'ProvisioningFailed')).message).toBe(
    'failed to provision volume with StorageClass "test": rpc error: code = Internal desc = out of order',
  )
  fault('CreateVolume', 'garbage')
  const seen = called('CreateVolume').length
  await until('another try', () => called('CreateVolume').length > seen)
  fault('CreateVolume', { code: status.UNAVAILABLE, done: true })
  await until('a volume that nobody was told of', () => backend.volumes.size === 1)
  await c.client.delete(persistentVolumeClaims, ns, 'sick')
  await c.stopControllers()
  fault('CreateVolume', undefined)
  await c.control()
  await until('claim to be gone', () => c.client.get(persistentVolumeClaims, ns, 'sick').then(() => false, isNotFound))
  await nothingLeft()
  // Between any two calls of a volume's life.
  for (const call of ['ControllerPublishVolume', 'ControllerUnpublishVolume', 'DeleteVolume']) {
    const own = `kill-${call.toLowerCase()}`
    await claim(own)
    await isBound(own)
    fault(call, { code: status.UNAVAILABLE, done: true })
    await pod(own, own, 'node-1')
    const before = called(call).length
    const reached = () => until(`${call} to be called`, () => called(call).length > before)
    if (call === 'ControllerPublishVolume') await reached()
    else await until('the attachment', async () => (await c.client.list(volumeAttachments, '')).items.some(a => a.status?.attached))
    await c.client.delete(pods, ns, own)
    await c.client.delete(persistentVolumeClaims, ns, own)
    if (call !== 'ControllerPublishVolume') await reached()
    await c.stopControllers()
    fault(call, undefined)
    await c.control()
    await nothingLeft()
  }
}, 60_000)

test('a driver that lies, or whose answers cannot be read, is not believed', async () => {
  const failure = (claimName: string, text: string) =>
    until(`${claimName}: ${text}`, async () =>
      (await c.client.list(events, ns)).items.some(
        e => e.involvedObject.name === claimName && e.reason === 'ProvisioningFailed' && e.message?.includes(text),
      ),
    )
  fault('CreateVolume', 'noise')
  await claim('lied')
  await failure('lied', 'the answer of /csi.v1.Controller/CreateVolume is none')
  // Less than was asked for: it goes back.
  fault('CreateVolume', { lie: honest => ({ volume: { ...honest.volume, capacity_bytes: 1 << 20 } }) })
  await failure('lied', `created volume capacity ${1 << 20} less than requested capacity ${2 << 20}`)
  await until('it to be given back', () => called('DeleteVolume').length > 0 && backend.volumes.size === 0)
  fault('CreateVolume', undefined)
  await isBound('lied')
  fault('CreateVolume', { lie: honest => ({ volume: { ...honest.volume, content_source: null } }) })
  await claim('empty', { dataSource: { kind: 'PersistentVolumeClaim', name: 'lied' } })
  await failure('empty', 'volume content source missing')
  fault('CreateVolume', undefined)
  await isBound('empty')
  await remove('empty')
  fault('ControllerExpandVolume', { lie: () => ({ capacity_bytes: 1, node_expansion_required: false }) })
  await c.client.patch(persistentVolumeClaims, ns, 'lied', 'merge', { spec: { resources: { requests: { storage: '5Mi' } } } })
  expect((await eventOf('lied', 'VolumeResizeFailed')).message).toContain('the driver says that the volume has 1 bytes')
  expect((await volumeOf('lied')).spec.capacity).toEqual({ storage: '2Mi' })
  fault('ControllerExpandVolume', undefined)
  await until('the claim to have grown', async () => (await c.client.get(persistentVolumeClaims, ns, 'lied')).status?.capacity?.['storage'] === '5Mi') // prettier-ignore
  fault('ControllerPublishVolume', 'noise')
  await pod('lied', 'lied', 'node-1')
  expect((await eventOf('lied', 'FailedAttachVolume')).message).toContain(
    'the answer of /csi.v1.Controller/ControllerPublishVolume is none',
  )
  fault('ControllerPublishVolume', undefined)
  await until('the attachment', async () => (await c.client.list(volumeAttachments, '')).items.some(a => a.status?.attached))
  await c.client.delete(pods, ns, 'lied')
  await remove('lied')
  await nothingLeft()
}, 60_000)

/** Every order of what is in the list. */
const orders = <T>(of: readonly T[]): T[][] =>
  of.length < 2 ? [[...of]] : of.flatMap(first => orders(of.filter(x => x !== first)).map(rest => [first, ...rest]))

test('whatever is deleted first of a pod, its claim, their volume, its attachment and the class, nothing is left', async () => {
  const all = orders(['pod', 'claim', 'volume', 'attachment', 'class'] as const)
  // Some at a time, each with objects of its own.
  const left = all.entries()
  const worker = async (): Promise<void> => {
    for (const [n, order] of left) {
      const own = `order-${n}`
      await c.client.create(storageClasses, '', { metadata: { name: own }, provisioner: name, volumeBindingMode: 'Immediate' } as unknown as StorageClass) // prettier-ignore
      await claim(own, { storageClassName: own })
      await pod(own, own, n % 2 ? 'node-1' : 'node-2')
      const volume = (await volumeOf(own)).metadata.name!
      const attachment = await until(`${own} to be attached`, async () =>
        (await c.client.list(volumeAttachments, '')).items.find(a => a.spec.source.persistentVolumeName === volume && a.status?.attached),
      )
      const remove = {
        pod: () => c.client.delete(pods, ns, own),
        claim: () => c.client.delete(persistentVolumeClaims, ns, own),
        volume: () => c.client.delete(persistentVolumes, '', volume),
        attachment: () => c.client.delete(volumeAttachments, '', attachment.metadata.name!),
        class: () => c.client.delete(storageClasses, '', own),
      }
      // What was deleted with something else is gone.
      for (const what of order) await remove[what]().catch((e: unknown) => (isNotFound(e) ? undefined : Promise.reject(e)))
      const gone = (): Promise<boolean> => c.client.get(persistentVolumes, '', volume).then(() => false, isNotFound)
      await until(`the volume to be gone: ${order.join()}`, gone)
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  await nothingLeft()
}, 120_000)

test('a claim grows, and changes its attributes', async () => {
  await claim('size')
  await isBound('size')
  await c.client.patch(persistentVolumeClaims, ns, 'size', 'merge', { spec: { resources: { requests: { storage: '5Mi' } } } })
  await until('the claim to have grown', async () => {
    const { status: now } = await c.client.get(persistentVolumeClaims, ns, 'size')
    return now?.capacity?.['storage'] === '5Mi' && !now.conditions?.length && !now.allocatedResourceStatuses?.['storage']
  })
  expect((await volumeOf('size')).spec.capacity).toEqual({ storage: '5Mi' })
  await eventOf('size', 'VolumeResizeSuccessful')
  fault('ControllerExpandVolume', { code: status.OUT_OF_RANGE, message: 'too large' })
  await c.client.patch(persistentVolumeClaims, ns, 'size', 'merge', { spec: { resources: { requests: { storage: '9Mi' } } } })
  await until('infeasible', async () => (await c.client.get(persistentVolumeClaims, ns, 'size')).status?.allocatedResourceStatuses?.['storage'] === 'ControllerResizeInfeasible') // prettier-ignore
  fault('ControllerExpandVolume', undefined)
  for (const [className, parameters] of [
    ['quick', { iops: '100' }],
    ['odd', { refused: 'yes' }],
    ['odd2', { refused: 'yes' }],
  ] as const)
    // prettier-ignore
    await c.client.create(volumeAttributesClasses, '', { metadata: { name: className }, driverName: name, parameters } as unknown as VolumeAttributesClass)
  await c.client.patch(persistentVolumeClaims, ns, 'size', 'merge', { spec: { resources: { requests: { storage: '6Mi' } }, volumeAttributesClassName: 'quick' } }) // prettier-ignore
  await until(
    'quick',
    async () => (await c.client.get(persistentVolumeClaims, ns, 'size')).status?.currentVolumeAttributesClassName === 'quick',
  )
  expect([...backend.volumes.values()][0]?.mutable).toEqual({ iops: '100' })
  await c.client.patch(persistentVolumeClaims, ns, 'size', 'merge', { spec: { volumeAttributesClassName: 'odd' } })
  await until(
    'infeasible',
    async () => (await c.client.get(persistentVolumeClaims, ns, 'size')).status?.modifyVolumeStatus?.status === 'Infeasible',
  )
  // That does not keep it from growing.
  await c.client.patch(persistentVolumeClaims, ns, 'size', 'merge', { spec: { resources: { requests: { storage: '7Mi' } } } })
  await until('it to grow', async () => (await c.client.get(persistentVolumeClaims, ns, 'size')).status?.capacity?.['storage'] === '7Mi')
  await c.client.patch(persistentVolumeClaims, ns, 'size', 'merge', { spec: { volumeAttributesClassName: 'quick' } })
  await until('what was refused to be forgotten', async () => {
    const { status: now } = await c.client.get(persistentVolumeClaims, ns, 'size')
    return now?.currentVolumeAttributesClassName === 'quick' && !now.modifyVolumeStatus && !now.conditions?.length
  })
  await remove('size')
  await nothingLeft()
})

test('a change of attributes whose end is not known is seen through before the next, and one that was refused is given up', async () => {
  await claim('vac')
  await isBound('vac')
  const want = (volumeAttributesClassName: string | null) =>
    c.client.patch(persistentVolumeClaims, ns, 'vac', 'merge', { spec: { volumeAttributesClassName } })
  const now = async () => (await c.client.get(persistentVolumeClaims, ns, 'vac')).status
  const conditions = async () => ((await now())?.conditions ?? []).map(({ type, reason, message }) => [type, reason, message].join(' '))
  await want('odd')
  const refused = 'ModifyingVolume  Modifying volume to "odd" failed. Waiting for retry.'
  await until('it to be refused', async () => (await now())?.modifyVolumeStatus?.status === 'Infeasible')
  expect(await conditions()).toEqual([refused, 'ModifyVolumeError InvalidArgument such a thing cannot be'])
  await want(null)
  expect((await eventOf('vac', 'VolumeModifyCanceled')).message).toBe('Cancelled modify.')
  await until('it to be given up', async () => (await conditions()).length === 1)
  fault('ControllerModifyVolume', { code: status.UNAVAILABLE, message: 'busy' })
  await want('odd2')
  await until('that it is open to be told', async () => (await conditions())[0] === 'ModifyingVolume  Modifying volume to "odd2" is still in progress.') // prettier-ignore
  await want('quick')
  const asked = called('ControllerModifyVolume').length
  await until('another try', () => called('ControllerModifyVolume').length > asked)
  expect((await now())?.modifyVolumeStatus).toEqual({ status: 'InProgress', targetVolumeAttributesClassName: 'odd2' })
  fault('ControllerModifyVolume', undefined)
  await until('quick', async () => (await now())?.currentVolumeAttributesClassName === 'quick')
  expect(await conditions()).toEqual([])
  await expect(want(null)).rejects.toThrow('update to nil is forbidden when status.currentVolumeAttributesClassName is not nil')
  await remove('vac')
  await nothingLeft()
})

test('a snapshot is taken, restored and deleted; a volume is cloned', async () => {
  const manifest = readFileSync(join(import.meta.dirname, '../../../drivers/manifests/snapshots.yaml'), 'utf8')
  for (const document of parseAllDocuments(manifest))
    await c.client.create(customResourceDefinitions, '', document.toJSON() as CustomResourceDefinition)
  const snapshotClass = {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshotClass',
    metadata: { name: 'snap' },
    driver: name,
    deletionPolicy: 'Delete',
  }
  await until('the kinds to be served', () => c.client.create(volumeSnapshotClasses, '', snapshotClass as VolumeSnapshotClass).then(() => true, () => false)) // prettier-ignore
  await claim('src')
  await isBound('src')
  fault('CreateSnapshot', { code: status.UNAVAILABLE, done: true })
  const make = (snapshot: string) =>
    c.client.create(volumeSnapshots, ns, {
      apiVersion: 'snapshot.storage.k8s.io/v1',
      kind: 'VolumeSnapshot',
      metadata: { name: snapshot },
      spec: { volumeSnapshotClassName: 'snap', source: { persistentVolumeClaimName: 'src' } },
    } as VolumeSnapshot)
  await make('one')
  await until('a snapshot that nobody was told of', () => backend.snapshots.size === 1)
  fault('CreateSnapshot', undefined)
  const ready = await until('the snapshot to be ready', async () => {
    const found = await c.client.get(volumeSnapshots, ns, 'one')
    return found.status?.readyToUse ? found : undefined
  })
  expect(ready.status).toMatchObject({ restoreSize: String(2 << 20), boundVolumeSnapshotContentName: `snapcontent-${ready.metadata.uid}` })
  expect(ready.status?.error).toBeUndefined()
  expect(backend.snapshots.size).toBe(1)
  const [snapshot] = backend.snapshots.values()
  await claim('restored', { dataSource: { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: 'one' } })
  await claim('cloned', { dataSource: { kind: 'PersistentVolumeClaim', name: 'src' } })
  for (const claimName of ['restored', 'cloned']) await isBound(claimName)
  // A raw device that is mounted as a file system, or the other way round, somebody has to answer for.
  const volumeSnapshot = { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: 'one' }
  await claim('raw', { volumeMode: 'Block', dataSource: volumeSnapshot })
  const contentName = `snapcontent-${ready.metadata.uid}`
  const mayChange = 'snapshot.storage.kubernetes.io/allow-volume-mode-change'
  expect((await eventOf('raw', 'ProvisioningFailed')).message).toContain(
    `requested volume ${ns}/raw modifies the mode of the source volume but does not have permission to do so. ${mayChange} annotation is not present on snapshotcontent ${contentName}`,
  )
  await c.client.patch(volumeSnapshotContents, '', contentName, 'merge', { metadata: { annotations: { [mayChange]: 'true' } } })
  expect((await volumeOf('raw')).spec.volumeMode).toBe('Block')
  const sources = [...backend.volumes.values()].map(v => JSON.stringify(v.source ?? {}))
  expect(sources.some(s => s.includes(snapshot!.id))).toBe(true)
  expect(sources.some(s => s.includes(`"volume_id":"vol-`))).toBe(true)
  await c.client.delete(volumeSnapshots, ns, 'one')
  await until('the snapshot to be gone', () => c.client.get(volumeSnapshots, ns, 'one').then(() => false, isNotFound))
  // Deleted while it is being taken.
  fault('CreateSnapshot', { code: status.UNAVAILABLE, done: true })
  await make('two')
  await until('another that nobody was told of', () => backend.snapshots.size === 1)
  await c.client.delete(volumeSnapshots, ns, 'two')
  fault('CreateSnapshot', undefined)
  await until(
    'that to be gone',
    async () => backend.snapshots.size === 0 && (await c.client.list(volumeSnapshotContents, '')).items.length === 0,
  )
  for (const claimName of ['restored', 'cloned', 'raw']) await remove(claimName)
  // A claim that is deleted while it is copied waits for that; where no copy was begun, none is.
  fault('CreateVolume', { code: status.UNAVAILABLE })
  const dataSource = { kind: 'PersistentVolumeClaim', name: 'src' }
  await claim('copy', { dataSource })
  const held = 'provisioner.storage.kubernetes.io/cloning-protection'
  await until('it to be held', async () => (await c.client.get(persistentVolumeClaims, ns, 'src')).metadata.finalizers?.includes(held))
  await c.client.delete(persistentVolumeClaims, ns, 'src')
  fault('CreateVolume', undefined)
  await isBound('copy')
  await until('the source to be gone', () => c.client.get(persistentVolumeClaims, ns, 'src').then(() => false, isNotFound))
  await claim('late', { dataSource })
  expect((await eventOf('late', 'ProvisioningFailed')).message).toContain('error getting PVC src')
  for (const claimName of ['copy', 'late']) await remove(claimName)
  await nothingLeft()
}, 60_000)
