/** Snapshots are taken, restored and deleted, volumes cloned. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { parseAllDocuments } from 'yaml'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { CustomResourceDefinition } from '#shared/api/apiextensions/customresourcedefinition.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import { customResourceDefinitions, events, persistentVolumeClaims, storageClasses } from '#shared/api/kinds.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import {
  volumeSnapshotClasses,
  volumeSnapshotContents,
  volumeSnapshots,
  type VolumeSnapshot,
  type VolumeSnapshotClass,
} from '#control-plane/controller-manager/csi/snapshots.ts'
import { orders, startCsiControl } from './csicontrol.ts'
import { until } from './setup.ts'

const { c, ns, name, backend, claim, isBound, volumeOf, remove, nothingLeft, fault, eventOf, check, stop } = await startCsiControl()
afterEach(check)
afterAll(stop)

const snapshotClass = (className: string) =>
  c.client.create(volumeSnapshotClasses, '', {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshotClass',
    metadata: { name: className },
    driver: name,
    deletionPolicy: 'Delete',
  } as VolumeSnapshotClass)
const takeSnapshot = (snapshot: string, volumeSnapshotClassName: string, persistentVolumeClaimName: string) =>
  c.client.create(volumeSnapshots, ns, {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshot',
    metadata: { name: snapshot },
    spec: { volumeSnapshotClassName, source: { persistentVolumeClaimName } },
  } as VolumeSnapshot)
const isGone = (snapshot: string) => c.client.get(volumeSnapshots, ns, snapshot).then(() => false, isNotFound)

beforeAll(async () => {
  const manifest = readFileSync(join(import.meta.dirname, '../../../drivers/manifests/snapshots.yaml'), 'utf8')
  for (const document of parseAllDocuments(manifest))
    await c.client.create(customResourceDefinitions, '', document.toJSON() as CustomResourceDefinition)
  await until('the kinds to be served', () => snapshotClass('snap').then(() => true, () => false)) // prettier-ignore
})

test('a snapshot is taken, restored and deleted; a volume is cloned', async () => {
  await claim('src')
  await isBound('src')
  fault('CreateSnapshot', { code: status.UNAVAILABLE, done: true })
  const make = (snapshot: string) => takeSnapshot(snapshot, 'snap', 'src')
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
  await until('the snapshot to be gone', () => isGone('one'))
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

test('a snapshot that is being restored is not deleted before that is done; one that its driver does not delete says so', async () => {
  await snapshotClass('busy')
  await claim('busy')
  await isBound('busy')
  await takeSnapshot('busy', 'busy', 'busy')
  await until('the snapshot to be ready', async () => (await c.client.get(volumeSnapshots, ns, 'busy')).status?.readyToUse)
  await c.client.create(storageClasses, '', { metadata: { name: 'waits' }, provisioner: name, volumeBindingMode: 'WaitForFirstConsumer' } as unknown as StorageClass) // prettier-ignore
  const dataSource = { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: 'busy' }
  // Of this one nothing is begun, and maybe never will be.
  await claim('a-waits', { dataSource, storageClassName: 'waits' })
  fault('CreateVolume', { code: status.UNAVAILABLE, message: 'busy' })
  await claim('b-restored', { dataSource })
  await until('it to be begun', async () => (await c.client.get(persistentVolumeClaims, ns, 'b-restored')).metadata.finalizers?.some(f => f.includes('provisioning'))) // prettier-ignore
  await c.client.delete(volumeSnapshots, ns, 'busy')
  expect((await eventOf('busy', 'SnapshotDeletePending')).message).toBe('Snapshot is being used to restore a PVC')
  expect([...backend.snapshots.keys()]).toHaveLength(1)
  fault('DeleteSnapshot', { code: status.INTERNAL, message: 'stuck' })
  fault('CreateVolume', undefined)
  await isBound('b-restored')
  await until('that it is not deleted to be told', async () =>
    (await c.client.list(events, '')).items.some(e => e.reason === 'SnapshotDeleteError' && e.message === 'Failed to delete snapshot'),
  )
  expect(await isGone('busy')).toBe(false)
  fault('DeleteSnapshot', undefined)
  await until('the snapshot to be gone', () => isGone('busy'))
  expect(backend.snapshots.size).toBe(0)
  for (const own of ['a-waits', 'b-restored', 'busy']) await remove(own)
  await nothingLeft()
})

test('whatever is deleted first of a snapshot, its content, its class and the claim, also while it is taken, nothing is left', async () => {
  const left = orders(['snapshot', 'content', 'claim', 'class'] as const).entries()
  const worker = async (): Promise<void> => {
    for (const [n, order] of left) {
      const own = `order-${n}`
      await snapshotClass(own)
      await claim(own)
      await isBound(own)
      const { uid } = (await takeSnapshot(own, own, own)).metadata
      const content = `snapcontent-${uid}`
      if (n % 2) await until(`${own} to be ready`, async () => (await c.client.get(volumeSnapshots, ns, own)).status?.readyToUse)
      const remove = {
        snapshot: () => c.client.delete(volumeSnapshots, ns, own),
        content: () => c.client.delete(volumeSnapshotContents, '', content),
        claim: () => c.client.delete(persistentVolumeClaims, ns, own),
        class: () => c.client.delete(volumeSnapshotClasses, '', own),
      }
      // What was deleted with something else is gone, what is not made yet is not there.
      for (const what of order) await remove[what]().catch((e: unknown) => (isNotFound(e) ? undefined : Promise.reject(e)))
      await until(`the snapshot to be gone: ${order.join()}`, () => isGone(own))
      await until(`the content to be gone: ${order.join()}`, () => c.client.get(volumeSnapshotContents, '', content).then(() => false, isNotFound)) // prettier-ignore
      await until(`the claim to be gone: ${order.join()}`, () => c.client.get(persistentVolumeClaims, ns, own).then(() => false, isNotFound)) // prettier-ignore
    }
  }
  await Promise.all(Array.from({ length: 6 }, worker))
  await nothingLeft()
  expect([...backend.snapshots.keys()]).toEqual([])
}, 120_000)
