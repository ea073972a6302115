/** Drivers that fail, lie or hang, processes that are killed between any two calls, deletion in every order: nothing is left. */
import { status } from '@grpc/grpc-js'
import { afterAll, afterEach, expect, test } from 'vitest'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import {
  csiDrivers,
  events,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
  volumeAttachments,
} from '#shared/api/kinds.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { timeoutAnnotation } from '#control-plane/controller-manager/csi/timeout.ts'
import { orders, startCsiControl } from './csicontrol.ts'
import { until } from './setup.ts'

const { c, ns, name, backend, drivers, claim, isBound, volumeOf, remove, nothingLeft, fault, called, eventOf, pod, check, stop } =
  await startCsiControl()
afterEach(check)
afterAll(stop)

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

const attached = async (volume: PersistentVolume): Promise<boolean> =>
  (await c.client.list(volumeAttachments, '')).items.some(
    a => a.spec.source.persistentVolumeName === volume.metadata.name && a.status?.attached,
  )
/** A claim `hung-make` whose volume is not made, and one `hung-attach` whose volume is not attached, until the driver's calls are let go. */
async function hang() {
  await claim('hung-attach')
  const volume = await volumeOf('hung-attach')
  const publish = `ControllerPublishVolume ${volume.spec.csi!.volumeHandle}`
  fault(publish, 'stall')
  await pod('hung-attach', 'hung-attach', 'node-1')
  const { uid } = (await claim('hung-make', { storageClassName: 'none-yet' })).metadata
  const create = `CreateVolume pvc-${uid}`
  fault(create, 'stall')
  await c.client.create(storageClasses, '', { metadata: { name: 'none-yet' }, provisioner: name, volumeBindingMode: 'Immediate' } as unknown as StorageClass) // prettier-ignore
  const asked = () => [publish, create].map(call => called(call.split(' ')[0]!).filter(x => x === call).length)
  await until('both to hang', () => asked().every(times => times > 0))
  return {
    asked,
    async letGo(): Promise<void> {
      for (const call of [publish, create]) fault(call, undefined)
      await isBound('hung-make')
      await until('it to be attached', () => attached(volume))
      await c.client.delete(pods, ns, 'hung-attach')
      for (const own of ['hung-make', 'hung-attach']) await remove(own)
      await c.client.delete(storageClasses, '', 'none-yet')
      await nothingLeft()
    },
  }
}
/** For the driver's calls; the usual one when undefined. */
const deadline = (timeout: string | undefined) =>
  c.client.patch(csiDrivers, '', name, 'merge', { metadata: { annotations: { [timeoutAnnotation]: timeout ?? null } } })

test('while calls hang, those for other claims go on', async () => {
  const hung = await hang()
  const others = Array.from({ length: 12 }, (_, n) => `goes-on-${n}`)
  for (const own of others) {
    await claim(own)
    await pod(own, own, 'node-1')
  }
  for (const own of others) {
    const made = await volumeOf(own)
    await until(`${own} to be attached`, () => attached(made))
  }
  // Neither has been given up yet.
  expect(hung.asked()).toEqual([1, 1])
  for (const own of others) {
    await c.client.delete(pods, ns, own)
    await remove(own)
  }
  await hung.letGo()
}, 60_000)

test('a call that hangs is given up when its time is over, told of and made again', async () => {
  await deadline('1s')
  const hung = await hang()
  const late = 'rpc error: code = DeadlineExceeded desc = Deadline exceeded'
  const told = (object: string, reason: string) =>
    until(`event ${reason} of ${object}: ${late}`, async () =>
      (await c.client.list(events, ns)).items.some(
        e => e.involvedObject.name === object && e.reason === reason && e.message?.includes(late),
      ),
    )
  await told('hung-make', 'ProvisioningFailed')
  await told('hung-attach', 'FailedAttachVolume')
  await until('both to be asked again', () => hung.asked().every(times => times > 1))
  await hung.letGo()
  await deadline(undefined)
}, 60_000)

test('a deadline that is none is told of', async () => {
  await deadline('soon')
  // Those of what has no namespace.
  const { message } = await until('it to be told', async () =>
    (await c.client.list(events, 'default')).items.find(e => e.involvedObject.name === name && e.reason === 'InvalidTimeout'),
  )
  expect(message).toContain('"soon" is no duration between 1ms and 50s')
  await claim('usual')
  await isBound('usual')
  await remove('usual')
  await deadline(undefined)
}, 60_000)

test('of a driver whose process hangs that of another node is asked', async () => {
  const hung = drivers.get('node-1')!
  const other = drivers.get('node-2')!
  const calls = ['Probe', 'CreateVolume', 'DeleteVolume']
  await deadline('2s')
  for (const call of calls) hung.fault(call, 'hang')
  await claim('elsewhere')
  expect((await eventOf('elsewhere', 'ProvisioningFailed')).message).toContain('code = DeadlineExceeded')
  await isBound('elsewhere')
  expect(other.calls).toContain(`CreateVolume ${(await volumeOf('elsewhere')).metadata.name}`)
  // A busy machine's drivers are not to be taken for ones that hang.
  await deadline(undefined)
  for (const call of calls) hung.fault(call, undefined)
  await remove('elsewhere')
  await nothingLeft()
}, 60_000)

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
