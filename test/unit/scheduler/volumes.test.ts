/** What volumes say about where a pod may be, in upstream's words. */
import { describe, expect, test } from 'vitest'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { ClusterCache } from '#control-plane/scheduler/cache.ts'
import { fitErrorMessage } from '#control-plane/scheduler/fiterror.ts'
import { podInfo } from '#control-plane/scheduler/podinfo.ts'
import { schedule } from '#control-plane/scheduler/schedule.ts'
import type { SharedHandle } from '#control-plane/scheduler/profile.ts'
import { assume, cluster, node, pod, zoned } from './objects.ts'
import { informersOf, testProfile } from './profile.ts'

/** The node, or why none; among equals the first. */
function outcome(p: Pod, cache: ClusterCache, ...objects: KubeObject[]): string {
  const snapshot = cache.snapshot()
  const informer = informersOf(...objects) as unknown as SharedHandle['informer']
  const profile = testProfile({ snapshot: () => snapshot, informer })
  const decision = schedule(podInfo(p), snapshot, profile, { start: 0, tieBreak: () => 0 })
  return decision.node ?? fitErrorMessage(decision.diagnosis)
}
const using = (...claims: string[]): Pod =>
  pod({ volumes: claims.map(claimName => ({ name: claimName, persistentVolumeClaim: { claimName } })) } as Partial<Pod['spec']>)
const claim = (name: string, volumeName?: string, more: object = {}, annotations: Record<string, string> = {}): KubeObject =>
  ({
    kind: 'PersistentVolumeClaim',
    metadata: {
      name,
      namespace: 'default',
      uid: name,
      annotations: { ...(volumeName ? { 'pv.kubernetes.io/bind-completed': 'yes' } : {}), ...annotations },
    },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, storageClassName: 'late', volumeName, ...more },
    status: { phase: volumeName ? 'Bound' : 'Pending' },
  }) as unknown as KubeObject
const volume = (name: string, spec: object = {}, labels: Record<string, string> = {}): KubeObject =>
  ({
    kind: 'PersistentVolume',
    metadata: { name, labels },
    spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], storageClassName: 'late', ...spec },
    status: { phase: 'Available' },
  }) as unknown as KubeObject
const storageClass = (name: string, volumeBindingMode: string): KubeObject =>
  ({ kind: 'StorageClass', metadata: { name }, provisioner: 'd.io', volumeBindingMode }) as unknown as KubeObject
const late = storageClass('late', 'WaitForFirstConsumer')
const on = (host: string): object => ({
  nodeAffinity: {
    required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [host] }] }] },
  },
})
const two = (): ClusterCache => cluster(node('a'), node('b'))

describe('claims', () => {
  test('that are not there, are going, or are nobody’s to bind here, reject the pod', () => {
    expect(outcome(using('c'), two())).toBe('0/2 nodes are available: persistentvolumeclaim "c" not found.')
    const going = claim('c')
    going.metadata.deletionTimestamp = '2026-01-01T00:00:00Z'
    expect(outcome(using('c'), two(), going, late)).toBe('0/2 nodes are available: persistentvolumeclaim "c" is being deleted.')
    expect(outcome(using('c'), two(), claim('c'), storageClass('late', 'Immediate'))).toBe(
      '0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.',
    )
    const lost = claim('c', 'v')
    Object.assign(lost, { status: { phase: 'Lost' } })
    expect(outcome(using('c'), two(), lost, volume('v'))).toBe(
      '0/2 nodes are available: persistentvolumeclaim "c" bound to non-existent persistentvolume "v".',
    )
    const p = pod({ volumes: [{ name: 's', ephemeral: { volumeClaimTemplate: { spec: {} } } }] } as unknown as Partial<Pod['spec']>)
    const name = `${p.metadata.name}-s`
    expect(outcome(p, two())).toBe(
      `0/2 nodes are available: waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}".`,
    )
    expect(outcome(p, two(), claim(name, 'v'), volume('v'))).toContain(
      `PVC default/${name} was not created for pod default/${p.metadata.name}`,
    )
  })
  test('bring the pod to their volume’s node, found or bound', () => {
    expect(outcome(using('c'), two(), claim('c', 'v'), volume('v', on('b')), late)).toBe('b')
    expect(
      outcome(using('c'), two(), claim('c'), volume('v', on('b')), { ...late, provisioner: 'kubernetes.io/no-provisioner' } as KubeObject),
    ).toBe('b')
    expect(outcome(using('c'), two(), claim('c', 'v'), volume('v', on('x')), late)).toBe(
      '0/2 nodes are available: 2 node(s) had volume node affinity conflict.',
    )
  })
})

test('volumes with labels of a zone are used there', () => {
  const cache = cluster(zoned('a1', 'a'), zoned('b1', 'b'))
  expect(outcome(using('c'), cache, claim('c', 'v'), volume('v', {}, { 'topology.kubernetes.io/zone': 'b' }))).toBe('b1')
  expect(outcome(using('c'), cache, claim('c', 'v'), volume('v', {}, { 'failure-domain.beta.kubernetes.io/zone': 'x__b' }))).toBe('b1')
  expect(outcome(using('c'), cache, claim('c', 'v'), volume('v', {}, { 'topology.kubernetes.io/zone': 'c' }))).toBe(
    '0/2 nodes are available: 2 node(s) had no available volume zone.',
  )
})

test('a claim for one pod has one; disks in pods’ specs are not shared', () => {
  const one = claim('c', 'v', { accessModes: ['ReadWriteOncePod'] })
  const first = { ...using('c'), spec: { ...using('c').spec, nodeName: 'a' } }
  const cache = two()
  assume(cache, first, 'a')
  expect(outcome(using('c'), cache, one, volume('v'), first)).toContain(
    '2 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod',
  )
  expect(outcome(using('c'), cache, claim('c', 'v'), volume('v'), first)).toBe('b')
  const disk = (): Pod =>
    pod({ volumes: [{ name: 'd', rbd: { monitors: ['m'], image: 'i', pool: 'rbd' } }] } as unknown as Partial<Pod['spec']>)
  const small = cluster(node('a'))
  assume(small, disk(), 'a')
  expect(outcome(disk(), small)).toContain('0/1 nodes are available: 1 node(s) had no available disk.')
})

test('a node takes as many volumes of a driver as its CSINode says, and what is still attached counts', () => {
  const csi = (handle: string): object => ({ csi: { driver: 'd.io', volumeHandle: handle } })
  const limit = (count: number): KubeObject =>
    ({
      kind: 'CSINode',
      metadata: { name: 'a' },
      spec: { drivers: [{ name: 'd.io', nodeID: 'a', allocatable: { count } }] },
    }) as unknown as KubeObject
  const objects = [claim('x', 'vx'), claim('y', 'vy'), claim('z'), volume('vx', csi('1')), volume('vy', csi('2')), late]
  const cache = cluster(node('a'))
  assume(cache, using('x'), 'a')
  expect(outcome(using('y'), cache, ...objects, limit(2))).toBe('a')
  expect(outcome(using('x'), cache, ...objects, limit(1))).toBe('a')
  const exceeded = '0/1 nodes are available: 1 node(s) exceed max volume count.'
  expect(outcome(using('y'), cache, ...objects, limit(1))).toContain(exceeded)
  expect(outcome(using('z'), cache, ...objects, limit(1))).toContain(exceeded)
  const attached = {
    kind: 'VolumeAttachment',
    metadata: { name: 'va' },
    spec: { attacher: 'd.io', nodeName: 'a', source: { persistentVolumeName: 'vy' } },
  } as unknown as KubeObject
  expect(outcome(using('z'), cache, ...objects, limit(2), attached)).toContain(exceeded)
})
