/** Volumes of CSI drivers are made, attached, detached and deleted. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { parseAllDocuments } from 'yaml'
import { afterAll, afterEach, expect, test } from 'vitest'
import type { CustomResourceDefinition } from '#shared/api/apiextensions/customresourcedefinition.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import {
  csiDrivers as driverKind,
  csiStorageCapacities,
  customResourceDefinitions,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
  volumeAttachments,
} from '#shared/api/kinds.ts'
import { attachmentName } from '#shared/csi/names.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { volumePopulators, type VolumePopulator } from '#control-plane/controller-manager/csi/populators.ts'
import { startCsiControl } from './csicontrol.ts'
import { until } from './setup.ts'

const { c, ns, name, backend, drivers, claim, isBound, volumeOf, remove, nothingLeft, fault, called, eventOf, pod, check, stop } =
  await startCsiControl()
afterEach(check)
afterAll(stop)

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

test('of a volume that is gone only attachments that a controller has made are removed', async () => {
  const attach = (attachment: string) =>
    c.client.create(volumeAttachments, '', {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'VolumeAttachment',
      metadata: { name: attachment },
      spec: { attacher: 'somebody.example.com', nodeName: 'node-1', source: { persistentVolumeName: 'gone' } },
    } as never)
  const made = attachmentName('handle', 'somebody.example.com', 'node-1')
  await attach('somebodys')
  await attach(made)
  await until('ours to be gone', () => c.client.get(volumeAttachments, '', made).then(() => false, isNotFound))
  expect((await c.client.get(volumeAttachments, '', 'somebodys')).metadata.deletionTimestamp).toBeUndefined()
  await c.client.delete(volumeAttachments, '', 'somebodys')
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
