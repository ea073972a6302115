/**
 * The binder against a real API server: claims and volumes find each other, once each, also when binders are killed between any two writes.
 */
import { existsSync } from 'node:fs'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Client } from '#shared/client/client.ts'
import { bind } from '#control-plane/controller-manager/persistentvolume/bind.ts'
import { events, persistentVolumeClaims, persistentVolumes, pods, storageClasses } from '#shared/api/kinds.ts'
import { newMetrics } from '#shared/component/metrics.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { startControl, until, type Control } from './setup.ts'

let control: Control
const registry = newMetrics()
beforeAll(async () => {
  control = await startControl()
  await control.control({}, registry)
}, 60_000)
afterAll(() => control?.stop(), 30_000)

const volume = (name: string, spec: Partial<PersistentVolume['spec']> = {}): PersistentVolume => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name },
  spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/tmp/none' }, ...spec },
})
const claim = (namespace: string, name: string, spec: Partial<PersistentVolumeClaim['spec']> = {}): PersistentVolumeClaim => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name, namespace },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, storageClassName: '', ...spec },
})
const createVolume = (...args: Parameters<typeof volume>) => control.client.create(persistentVolumes, '', volume(...args))
const createClaim = (...args: Parameters<typeof claim>) => control.client.create(persistentVolumeClaims, args[0], claim(...args))
const getClaim = (namespace: string, name: string) => control.client.get(persistentVolumeClaims, namespace, name)
const getVolume = (name: string) => control.client.get(persistentVolumes, '', name)
const inPhase = (namespace: string, name: string, phase: string) =>
  until(`${name} to be ${phase}`, async () => {
    const found = await getClaim(namespace, name)
    return found.status?.phase === phase ? found : undefined
  })
const volumeInPhase = (name: string, phase: string) =>
  until(`${name} to be ${phase}`, async () => {
    const found = await getVolume(name)
    return found.status?.phase === phase ? found : undefined
  })
const eventOf = (namespace: string, name: string, reason: string) =>
  until(`the event ${reason} of ${name}`, async () => {
    const { items } = await control.client.list(events, namespace, { fieldSelector: `involvedObject.name=${name},reason=${reason}` })
    return items[0]
  })
const gone = (what: string, look: () => Promise<unknown>) =>
  until(`${what} to be gone`, () =>
    look().then(
      () => undefined,
      (e: unknown) => (isNotFound(e) ? true : undefined),
    ),
  )

describe('a claim', () => {
  test('is bound to the volume that fits, and both say so; the volume is released, and kept, when it goes', async () => {
    const ns = await control.namespace('static')
    await createVolume('static-large', { capacity: { storage: '5Gi' } })
    await createVolume('static-small')
    await volumeInPhase('static-small', 'Available')
    await volumeInPhase('static-large', 'Available')
    await createClaim(ns, 'data')
    const bound = await inPhase(ns, 'data', 'Bound')
    expect(bound.spec.volumeName).toBe('static-small')
    expect(bound.status).toMatchObject({ accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' } })
    expect(bound.metadata.annotations).toMatchObject({
      'pv.kubernetes.io/bind-completed': 'yes',
      'pv.kubernetes.io/bound-by-controller': 'yes',
    })
    const taken = await volumeInPhase('static-small', 'Bound')
    expect(taken.spec.claimRef).toMatchObject({ namespace: ns, name: 'data', uid: bound.metadata.uid })
    await control.client.delete(persistentVolumeClaims, ns, 'data')
    await volumeInPhase('static-small', 'Released')
    await createClaim(ns, 'data')
    expect((await inPhase(ns, 'data', 'Bound')).spec.volumeName).toBe('static-large')
    expect((await getVolume('static-small')).status?.phase).toBe('Released')
    await control.client.delete(persistentVolumeClaims, ns, 'data')
    for (const name of ['static-small', 'static-large']) await control.client.delete(persistentVolumes, '', name)
    await gone('the volume', () => getVolume('static-large'))
  })
  test('waits until there is a volume, and gets the one that is for it', async () => {
    const ns = await control.namespace('waiting')
    await createClaim(ns, 'data')
    expect((await eventOf(ns, 'data', 'FailedBinding')).message).toBe(
      'no persistent volumes available for this claim and no storage class is set',
    )
    await createVolume('mine', { claimRef: { namespace: ns, name: 'data' } })
    expect((await inPhase(ns, 'data', 'Bound')).spec.volumeName).toBe('mine')
    expect((await getVolume('mine')).metadata.annotations?.['pv.kubernetes.io/bound-by-controller']).toBeUndefined()
    // A volume that is in use stays, and its claim is lost only when it is really gone.
    await control.client.delete(persistentVolumes, '', 'mine')
    expect((await getVolume('mine')).metadata.deletionTimestamp).toBeDefined()
    expect((await getClaim(ns, 'data')).status?.phase).toBe('Bound')
    await control.client.patch(persistentVolumes, '', 'mine', 'merge', { metadata: { finalizers: null } })
    await inPhase(ns, 'data', 'Lost')
    expect((await eventOf(ns, 'data', 'ClaimLost')).message).toContain('has lost its PersistentVolume')
    await control.client.delete(persistentVolumeClaims, ns, 'data')
  })
  test('that names a volume which it cannot have is told why', async () => {
    const ns = await control.namespace('naming')
    await createVolume('tiny', { capacity: { storage: '1Mi' } })
    await createClaim(ns, 'data', { volumeName: 'tiny' })
    expect((await eventOf(ns, 'data', 'VolumeMismatch')).message).toBe('Cannot bind to requested volume "tiny": requested PV is too small')
    await control.client.delete(persistentVolumeClaims, ns, 'data')
    await control.client.delete(persistentVolumes, '', 'tiny')
  })
  test('of a class is given to its provisioner; one without a class gets the default when there is one', async () => {
    const ns = await control.namespace('classes')
    await createClaim(ns, 'early', { storageClassName: undefined })
    await inPhase(ns, 'early', 'Pending')
    await control.client.create(storageClasses, '', {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name: 'made', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
      provisioner: 'example.com/made',
    })
    const told = await until('the provisioner to be told', async () => {
      const found = await getClaim(ns, 'early')
      return found.metadata.annotations?.['volume.kubernetes.io/storage-provisioner'] ? found : undefined
    })
    expect(told.spec.storageClassName).toBe('made')
    expect(told.metadata.annotations).toMatchObject({
      'volume.kubernetes.io/storage-provisioner': 'example.com/made',
      'volume.beta.kubernetes.io/storage-provisioner': 'example.com/made',
    })
    expect((await eventOf(ns, 'early', 'ExternalProvisioning')).message).toMatch(
      /^Waiting for a volume to be created either by the external provisioner 'example.com\/made' or manually by the system administrator\./,
    )
    // What the provisioner makes.
    await control.client.create(persistentVolumes, '', {
      ...volume('made-1', {
        claimRef: { kind: 'PersistentVolumeClaim', namespace: ns, name: 'early', uid: told.metadata.uid },
        storageClassName: 'made',
        persistentVolumeReclaimPolicy: 'Delete',
      }),
      metadata: { name: 'made-1', annotations: { 'pv.kubernetes.io/provisioned-by': 'example.com/made' } },
    })
    expect((await inPhase(ns, 'early', 'Bound')).spec.volumeName).toBe('made-1')
    await control.client.delete(persistentVolumeClaims, ns, 'early')
    // Its provisioner deletes it.
    await volumeInPhase('made-1', 'Released')
    await control.client.delete(persistentVolumes, '', 'made-1')
    await control.client.delete(storageClasses, '', 'made')
  })
  test('of an ephemeral volume is made for its pod, and goes with it', async () => {
    const ns = await control.namespace('ephemeral')
    const spec = { accessModes: ['ReadWriteOnce' as const], resources: { requests: { storage: '1Gi' } }, storageClassName: '' }
    const pod = await control.client.create(pods, ns, {
      metadata: { name: 'p' },
      spec: {
        containers: [{ name: 'c', image: 'x' }],
        volumes: [{ name: 'scratch', ephemeral: { volumeClaimTemplate: { metadata: { labels: { a: 'b' } }, spec } } }],
      },
    } as unknown as Pod)
    const found = await until('the claim', () => getClaim(ns, 'p-scratch').catch(() => undefined))
    expect(found.metadata.labels).toEqual({ a: 'b' })
    expect(found.metadata.ownerReferences).toMatchObject([{ kind: 'Pod', name: 'p', uid: pod.metadata.uid, controller: true }])
    await control.client.delete(pods, ns, 'p', { gracePeriodSeconds: 0 })
    await gone('the claim', () => getClaim(ns, 'p-scratch'))
    // The name is another's.
    await createClaim(ns, 'q-scratch', { storageClassName: '' })
    await control.client.create(pods, ns, { metadata: { name: 'q' }, spec: pod.spec } as Pod)
    const told = await eventOf(ns, 'q', 'FailedBinding')
    expect(told.message).toBe(`ephemeral volume scratch: PVC ${ns}/q-scratch was not created for pod ${ns}/q (pod is not owner)`)
    // It would take the volumes of other tests.
    await control.client.delete(persistentVolumeClaims, ns, 'q-scratch')
    await control.client.delete(pods, ns, 'q', { gracePeriodSeconds: 0 })
  })
})

test('a volume that is to be recycled or deleted, and cannot be, has failed', async () => {
  const ns = await control.namespace('failing')
  for (const [policy, reason] of [
    ['Recycle', 'VolumeFailedRecycle'],
    ['Delete', 'VolumeFailedDelete'],
  ] as const) {
    const name = policy.toLowerCase()
    await createVolume(name, { persistentVolumeReclaimPolicy: policy, hostPath: { path: '/srv/none' } })
    await createClaim(ns, name, { volumeName: name })
    await inPhase(ns, name, 'Bound')
    await control.client.delete(persistentVolumeClaims, ns, name)
    expect((await volumeInPhase(name, 'Failed')).status?.message).toBeTruthy()
    await eventOf('default', name, reason)
    await control.client.delete(persistentVolumes, '', name)
  }
})

test('a directory below /tmp goes with its volume, and what there is of volumes is counted', async () => {
  const ns = await control.namespace('counting')
  const path = await mkdtemp('/tmp/volume-')
  await writeFile(join(path, 'data'), 'x')
  await createVolume('counted', { persistentVolumeReclaimPolicy: 'Delete', hostPath: { path } })
  await createClaim(ns, 'counted', { volumeName: 'counted' })
  await createClaim(ns, 'waiting')
  await inPhase(ns, 'counted', 'Bound')
  const text = await registry.metrics()
  for (const line of [
    'pv_collector_total_pv_count{plugin_name="kubernetes.io/host-path",volume_mode="Filesystem"} ',
    'pv_collector_bound_pvc_count{namespace="counting",storage_class="",volume_attributes_class=""} 1',
    'pv_collector_unbound_pvc_count{namespace="counting",storage_class="",volume_attributes_class=""} 1',
    'attachdetach_controller_total_volumes{plugin_name="kubernetes.io/csi",state="actual_state_of_world"} 0',
  ])
    expect(text).toContain(line)
  for (const name of ['counted', 'waiting']) await control.client.delete(persistentVolumeClaims, ns, name)
  await gone('the volume', () => getVolume('counted'))
  expect(existsSync(path)).toBe(false)
})

test('claims and volumes are one to one though binders stop in every window, and two of them work at a time', async () => {
  const ns = await control.namespace('kills')
  const count = 60
  const names = Array.from({ length: count }, (_, i) => `kill-${i}`)
  const one = await control.control()
  const stops = [one]
  await Promise.all([...names.map(name => createVolume(name)), ...names.map(name => createClaim(ns, name))])
  // Controllers stop in the middle of what they do, and others, with older caches, go on beside those that are left.
  for (let n = 0; n < 8; n++) {
    stops.push(await control.control())
    await stops.shift()!()
  }
  await until('all to be bound', async () => {
    const { items } = await control.client.list(persistentVolumeClaims, ns)
    return items.every(c => c.status?.phase === 'Bound') || undefined
  })
  const [claims, volumes] = await Promise.all([control.client.list(persistentVolumeClaims, ns), control.client.list(persistentVolumes, '')])
  const ours = volumes.items.filter(v => v.metadata.name?.startsWith('kill-'))
  expect(new Set(claims.items.map(c => c.spec.volumeName)).size).toBe(count)
  expect(ours.map(v => v.status?.phase)).toEqual(names.map(() => 'Bound'))
  for (const c of claims.items) expect(ours.find(v => v.metadata.name === c.spec.volumeName)?.spec.claimRef?.uid).toBe(c.metadata.uid)
  await stops.shift()!()
  await Promise.all(names.map(name => control.client.delete(persistentVolumeClaims, ns, name)))
  await Promise.all(names.map(name => control.client.delete(persistentVolumes, '', name)))
}, 60_000)

test('what a binder leaves that is killed between any two of its writes is finished by the next', async () => {
  const ns = await control.namespace('windows')
  await control.stopControllers()
  /** Its writes come to an end after `left`; `unknown`: the last one is carried out, and nobody hears of it. */
  const dying = (left: number, unknown: boolean): Client => ({
    ...control.client,
    async update(kind, object, subresource) {
      if (left-- <= 0) {
        if (unknown) await control.client.update(kind, object, subresource)
        throw new Error('killed')
      }
      return control.client.update(kind, object, subresource)
    },
  })
  const windows = [0, 1, 2, 3].flatMap(left => [false, true].map(unknown => ({ left, unknown, name: `window-${left}-${unknown}` })))
  for (const { left, unknown, name } of windows) {
    const made = await createVolume(name)
    const owner = await createClaim(ns, name)
    await expect(bind(dying(left, unknown), made, owner)).rejects.toThrow('killed')
  }
  // Two binders chose two volumes for one claim.
  const both = await createClaim(ns, 'both')
  const [a, b] = [await createVolume('both-a'), await createVolume('both-b')]
  await expect(bind(dying(2, false), a, both)).rejects.toThrow('killed')
  await bind(control.client, b, both)
  await control.control()
  for (const { name } of windows) {
    const bound = await inPhase(ns, name, 'Bound')
    const { spec } = await volumeInPhase(bound.spec.volumeName ?? '', 'Bound')
    expect(spec.claimRef?.uid).toBe(bound.metadata.uid)
  }
  const claims = (await control.client.list(persistentVolumeClaims, ns)).items
  expect(new Set(claims.map(c => c.spec.volumeName)).size).toBe(windows.length + 1)
  expect((await inPhase(ns, 'both', 'Bound')).spec.volumeName).toBe('both-b')
  expect((await volumeInPhase('both-a', 'Available')).spec.claimRef).toBeUndefined()
}, 60_000)
