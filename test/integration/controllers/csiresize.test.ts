/** Claims grow and change their attributes, also when that is refused or its end is not known. */
import { status } from '@grpc/grpc-js'
import { afterAll, afterEach, expect, test } from 'vitest'
import type { VolumeAttributesClass } from '#shared/api/storage/volumeattributesclass.ts'
import { persistentVolumeClaims, volumeAttributesClasses } from '#shared/api/kinds.ts'
import { startCsiControl } from './csicontrol.ts'
import { until } from './setup.ts'

const { c, ns, name, backend, drivers, claim, isBound, volumeOf, remove, nothingLeft, fault, called, eventOf, check, stop } =
  await startCsiControl()
afterEach(check)
afterAll(stop)

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
  for (const [className, parameters, driverName] of [
    ['quick', { iops: '100' }, name],
    ['odd', { refused: 'yes' }, name],
    ['odd2', { refused: 'yes' }, name],
    ['foreign', { iops: '1' }, 'csi.other'],
  ] as const)
    // prettier-ignore
    await c.client.create(volumeAttributesClasses, '', { metadata: { name: className }, driverName, parameters } as unknown as VolumeAttributesClass)
  await c.client.patch(persistentVolumeClaims, ns, 'size', 'merge', { spec: { resources: { requests: { storage: '6Mi' } }, volumeAttributesClassName: 'quick' } }) // prettier-ignore
  await until(
    'quick',
    async () => (await c.client.get(persistentVolumeClaims, ns, 'size')).status?.currentVolumeAttributesClassName === 'quick',
  )
  expect([...backend.volumes.values()][0]?.mutable).toEqual({ iops: '100' })
  await c.client.patch(persistentVolumeClaims, ns, 'size', 'merge', { spec: { volumeAttributesClassName: 'foreign' } })
  expect((await eventOf('size', 'VolumeModifyFailed')).message).toBe(
    'VAC foreign referenced in PVC is for driver csi.other which does not match driver name csi.test',
  )
  await c.client.patch(persistentVolumeClaims, ns, 'size', 'merge', { spec: { volumeAttributesClassName: 'odd' } })
  await until(
    'infeasible',
    async () => (await c.client.get(persistentVolumeClaims, ns, 'size')).status?.modifyVolumeStatus?.status === 'Infeasible',
  )
  // Neither that nor a class that is not there keeps it from growing.
  await c.client.patch(persistentVolumeClaims, ns, 'size', 'merge', { spec: { resources: { requests: { storage: '7Mi' } } } })
  await until('it to grow', async () => (await c.client.get(persistentVolumeClaims, ns, 'size')).status?.capacity?.['storage'] === '7Mi')
  await c.client.patch(persistentVolumeClaims, ns, 'size', 'merge', { spec: { volumeAttributesClassName: 'missing', resources: { requests: { storage: '8Mi' } } } }) // prettier-ignore
  await until('it to grow', async () => (await c.client.get(persistentVolumeClaims, ns, 'size')).status?.capacity?.['storage'] === '8Mi')
  expect((await c.client.get(persistentVolumeClaims, ns, 'size')).status?.modifyVolumeStatus).toEqual({ status: 'Pending', targetVolumeAttributesClassName: 'missing' }) // prettier-ignore
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

test('what a driver, or a node, has refused for good is asked for again after a while', async () => {
  const quick = (await c.client.get(volumeAttributesClasses, '', 'quick')).metadata.name
  await claim('again')
  await isBound('again')
  const now = async () => (await c.client.get(persistentVolumeClaims, ns, 'again')).status
  const state = async () => (await now())?.allocatedResourceStatuses?.['storage']
  const grow = (storage: string) =>
    c.client.patch(persistentVolumeClaims, ns, 'again', 'merge', { spec: { resources: { requests: { storage } } } })
  const refusal = { code: status.INVALID_ARGUMENT, message: 'not today' }
  const askedAgain = async (call: string) => {
    const asked = called(call).length
    await until(`${call} to be called again`, () => called(call).length > asked)
    fault(call, undefined)
  }
  // Another leader does not know since when, and asks at once; this one has refused already when it is asked again.
  await c.stopControllers()
  await c.control({ refusedRetryMs: 300 })
  fault('ControllerModifyVolume', refusal)
  await c.client.patch(persistentVolumeClaims, ns, 'again', 'merge', { spec: { volumeAttributesClassName: quick } })
  await until('infeasible', async () => (await now())?.modifyVolumeStatus?.status === 'Infeasible')
  await askedAgain('ControllerModifyVolume')
  await until('quick', async () => (await now())?.currentVolumeAttributesClassName === quick && !(await now())?.modifyVolumeStatus)
  fault('ControllerExpandVolume', refusal)
  await grow('4Mi')
  await until('infeasible', async () => (await state()) === 'ControllerResizeInfeasible')
  expect((await now())?.conditions?.map(({ type, message }) => [type, message])).toEqual([
    ['Resizing', undefined],
    ['ControllerResizeError', 'failed to expand pvc with rpc error: code = InvalidArgument desc = not today'],
  ])
  await askedAgain('ControllerExpandVolume')
  await until('the claim to have grown', async () => (await now())?.capacity?.['storage'] === '4Mi' && !(await now())?.conditions?.length)
  // What may have been done is seen through before the claim's new wish, which is less.
  fault('ControllerExpandVolume', { code: status.UNAVAILABLE, message: 'busy' })
  await grow('8Mi')
  await eventOf('again', 'ExternalExpanding')
  await eventOf('again', 'VolumeResizeFailed')
  await until('it to be begun', async () => (await now())?.allocatedResources?.['storage'] === '8Mi')
  await grow('6Mi')
  for (const driver of drivers.values()) driver.options.nodeExpansion = true
  await askedAgain('ControllerExpandVolume')
  await until('the rest to be the node’s', async () => (await state()) === 'NodeResizePending')
  expect((await volumeOf('again')).spec.capacity).toEqual({ storage: '8Mi' })
  await c.client.patch(persistentVolumeClaims, ns, 'again', 'merge', { status: { allocatedResourceStatuses: { storage: 'NodeResizeInfeasible' } } }, 'status') // prettier-ignore
  await until('the node to be asked again', async () => (await state()) === 'NodeResizePending')
  for (const driver of drivers.values()) driver.options.nodeExpansion = false
  await c.stopControllers()
  await c.control()
  await remove('again')
  await nothingLeft()
}, 60_000)
