/** Claims and volumes that are in use stay until they are not. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { VolumeAttributesClass } from '#shared/api/storage/volumeattributesclass.ts'
import { nodes, persistentVolumeClaims, persistentVolumes, pods, volumeAttributesClasses } from '#shared/api/kinds.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { startControl, startNode, until, type Control } from './setup.ts'

let c: Control
let node: { stop(): void }
beforeAll(async () => {
  c = await startControl()
  await c.control()
  node = await startNode(c.client, 'node-1')
})
afterAll(async () => {
  node?.stop()
  await c?.stop()
})

const gone = <T extends KubeObject>(kind: Kind<T>, ns: string, name: string) =>
  until(`${kind.kind} ${name} to be gone`, () => c.client.get(kind, ns, name).then(() => false, isNotFound))
const claim = (name: string) =>
  ({
    metadata: { name },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  }) as unknown as PersistentVolumeClaim

test('a claim goes when the last pod that uses it is gone', async () => {
  const ns = await c.namespace('claims')
  await c.client.create(persistentVolumeClaims, ns, claim('free'))
  await c.client.delete(persistentVolumeClaims, ns, 'free')
  await gone(persistentVolumeClaims, ns, 'free')

  await c.client.create(persistentVolumeClaims, ns, claim('used'))
  const volumes = [{ name: 'v', persistentVolumeClaim: { claimName: 'used' } }]
  const spec = { containers: [{ name: 'c', image: 'nginx' }], volumes } as Pod['spec']
  await c.client.create(pods, ns, { metadata: { name: 'p' }, spec } as Pod)
  await until('the pod to be bound', async () => Boolean((await c.client.get(pods, ns, 'p')).spec.nodeName))
  await c.client.delete(persistentVolumeClaims, ns, 'used')
  await c.client.create(persistentVolumeClaims, ns, claim('later'))
  await c.client.delete(persistentVolumeClaims, ns, 'later')
  await gone(persistentVolumeClaims, ns, 'later')
  expect((await c.client.get(persistentVolumeClaims, ns, 'used')).metadata).toMatchObject({
    deletionTimestamp: expect.any(String),
    finalizers: ['kubernetes.io/pvc-protection'],
  })
  await c.client.delete(pods, ns, 'p')
  await gone(persistentVolumeClaims, ns, 'used')
})

test('the claim of an ephemeral volume goes with a pod that is deleted in the foreground', async () => {
  const ns = await c.namespace('foreground')
  const volumes = [{ name: 'v', ephemeral: { volumeClaimTemplate: { spec: claim('x').spec } } }]
  const spec = { containers: [{ name: 'c', image: 'nginx' }], volumes } as unknown as Pod['spec']
  await c.client.create(pods, ns, { metadata: { name: 'p' }, spec } as Pod)
  await until('the claim', () => c.client.get(persistentVolumeClaims, ns, 'p-v').then(() => true, () => false)) // prettier-ignore
  await until('the pod to be bound', async () => Boolean((await c.client.get(pods, ns, 'p')).spec.nodeName))
  await c.client.delete(pods, ns, 'p', { propagationPolicy: 'Foreground' })
  await gone(persistentVolumeClaims, ns, 'p-v')
  await gone(pods, ns, 'p')
})

test('a volume goes when it is not bound', async () => {
  const ns = await c.namespace('volumes')
  const spec = { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/x' } } as PersistentVolume['spec']
  for (const name of ['bound', 'free']) await c.client.create(persistentVolumes, '', { metadata: { name }, spec } as PersistentVolume)
  const { metadata, spec: wanted } = claim('claim')
  await c.client.create(persistentVolumeClaims, ns, {
    metadata,
    spec: { ...wanted, storageClassName: '', volumeName: 'bound' },
  } as PersistentVolumeClaim)
  const phase = async () => (await c.client.get(persistentVolumes, '', 'bound')).status?.phase
  await until('the volume to be bound', async () => (await phase()) === 'Bound')
  for (const name of ['bound', 'free']) await c.client.delete(persistentVolumes, '', name)
  await gone(persistentVolumes, '', 'free')
  expect((await c.client.get(persistentVolumes, '', 'bound')).metadata.finalizers).toEqual(['kubernetes.io/pv-protection'])
  await c.client.delete(persistentVolumeClaims, ns, 'claim')
  await gone(persistentVolumes, '', 'bound')
})

test('a class of volumes’ attributes goes when no claim names it any more', async () => {
  const ns = await c.namespace('attributes')
  for (const name of ['fast', 'unused'])
    await c.client.create(volumeAttributesClasses, '', {
      metadata: { name },
      driverName: 'x.example.com',
      parameters: { iops: '1' },
    } as unknown as VolumeAttributesClass)
  const { metadata, spec } = claim('quick')
  await c.client.create(persistentVolumeClaims, ns, {
    metadata,
    spec: { ...spec, volumeAttributesClassName: 'fast' },
  } as PersistentVolumeClaim)
  for (const name of ['fast', 'unused']) await c.client.delete(volumeAttributesClasses, '', name)
  await gone(volumeAttributesClasses, '', 'unused')
  expect((await c.client.get(volumeAttributesClasses, '', 'fast')).metadata.finalizers).toEqual(['kubernetes.io/vac-protection'])
  await c.client.delete(persistentVolumeClaims, ns, 'quick')
  await gone(volumeAttributesClasses, '', 'fast')
})

test('kubelets are told for how long they may keep what they read', () =>
  until(
    'the annotation',
    async () => (await c.client.get(nodes, '', 'node-1')).metadata.annotations?.['node.alpha.kubernetes.io/ttl'] === '0',
  ))
