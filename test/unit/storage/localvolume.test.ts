/** Volumes that are directories: what they can be, where they are made, and how they are written down. */
import { expect, test } from 'vitest'
import { pickNode } from '#control-plane/controller-manager/localvolume/node.ts'
import { formOf, hostOf, isOurs, isToBeDeleted, localVolume, refusal } from '#control-plane/controller-manager/localvolume/volume.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'

const claim = (spec: Partial<PersistentVolumeClaim['spec']> = {}): PersistentVolumeClaim => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name: 'data', namespace: 'ns', uid: 'u' },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
})
const storageClass = (more: Partial<StorageClass> = {}): StorageClass => ({
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: 'standard' },
  provisioner: 'coxswain.io/local',
  ...more,
})
const node = (name: string, zone = 'a', spec: object = {}): Node =>
  ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': `host-${name}`, 'topology.kubernetes.io/zone': zone } },
    spec,
  }) as Node

test('a directory is of one node, and empty', () => {
  expect(refusal(claim(), storageClass())).toBeUndefined()
  expect(refusal(claim({ accessModes: ['ReadWriteOncePod'] }), storageClass({ parameters: { enforceCapacity: 'true' } }))).toBeUndefined()
  expect(refusal(claim({ accessModes: ['ReadWriteOnce', 'ReadWriteMany'] }), storageClass())).toContain('ReadWriteMany')
  expect(refusal(claim({ dataSource: { kind: 'PersistentVolumeClaim', name: 'other' } }), storageClass())).toContain('data sources')
  expect(refusal(claim(), storageClass({ parameters: { size: 'x' } }))).toBe('unknown parameter "size"')
})

test('a claim gets a directory, a file system of its size where its class says so, or a device', () => {
  const enforced = storageClass({ parameters: { enforceCapacity: 'true' } })
  const block = claim({ volumeMode: 'Block' })
  expect([formOf(claim(), storageClass()), formOf(claim(), enforced), formOf(block, enforced)]).toEqual([
    'directory',
    'filesystem',
    'device',
  ])
  expect(refusal(block, storageClass())).toBeUndefined()
  expect(localVolume(block, storageClass({ mountOptions: ['noatime'] }), node('n'), '/d', '1Gi').spec).toMatchObject({
    volumeMode: 'Block',
  })
  expect(localVolume(block, storageClass({ mountOptions: ['noatime'] }), node('n'), '/d', '1Gi').spec.mountOptions).toBeUndefined()
})

test('a volume says where it is, whose it is, and what becomes of it', () => {
  const made = localVolume(claim(), storageClass(), node('n'), '/d', '1Gi')
  expect(made.metadata.name).toBe('pvc-u')
  expect([isOurs(made), hostOf(made), isToBeDeleted(made)]).toEqual([true, 'host-n', false])
  expect(made.spec).toMatchObject({ claimRef: { namespace: 'ns', name: 'data', uid: 'u' }, persistentVolumeReclaimPolicy: 'Delete' })
  expect(isToBeDeleted({ ...made, status: { phase: 'Released' } })).toBe(true)
  const kept = localVolume(claim(), storageClass({ reclaimPolicy: 'Retain' }), node('n'), '/d', '1Gi')
  expect(isToBeDeleted({ ...kept, status: { phase: 'Released' } })).toBe(false)
})

test('one that waits for no pod is made where there are fewest, as its class allows', () => {
  const on = (name: string): PersistentVolume => localVolume(claim(), storageClass(), node(name), '/d', '1Gi')
  const nodes = [node('b'), node('a'), node('c', 'z'), node('d', 'z', { unschedulable: true })]
  expect(pickNode(nodes, storageClass(), [])?.metadata.name).toBe('a')
  expect(pickNode(nodes, storageClass(), [on('a'), on('c')])?.metadata.name).toBe('b')
  const allowedTopologies = [{ matchLabelExpressions: [{ key: 'topology.kubernetes.io/zone', values: ['z'] }] }]
  expect(pickNode(nodes, storageClass({ allowedTopologies }), [on('c')])?.metadata.name).toBe('c')
  expect(pickNode([], storageClass(), [])).toBeUndefined()
})
