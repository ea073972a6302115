import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ControllerRevision } from '#shared/api/apps/controllerrevision.ts'
import type { StatefulSet } from '#shared/api/apps/statefulset.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { OwnerReference } from '#shared/api/meta/objectmeta.ts'
import { templatePatch } from '#control-plane/controller-manager/history/revisions.ts'
import { isStale, newClaims, ownersOf } from '#control-plane/controller-manager/statefulset/claims.ts'
import { decide, type Step } from '#control-plane/controller-manager/statefulset/decide.ts'
import { ordinalOf } from '#control-plane/controller-manager/statefulset/identity.ts'
import { statefulSetStatus } from '#control-plane/controller-manager/statefulset/status.ts'
import { newPod, snapshotOf } from '#control-plane/controller-manager/statefulset/template.ts'

const now = Date.parse('2026-01-01T12:00:00Z')
const revisions = { current: 'web-1', update: 'web-2' }
const set = (spec: object = {}, status: object = {}): StatefulSet =>
  ({
    metadata: { name: 'web', namespace: 'ns', uid: 'set', generation: 1 },
    spec: {
      replicas: 3,
      selector: { matchLabels: { a: 'b' } },
      serviceName: 'svc',
      podManagementPolicy: 'OrderedReady',
      template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
      ...spec,
    },
    status,
  }) as unknown as StatefulSet
type State = 'ready' | 'unready' | 'terminating' | 'failed' | 'fresh'
const pod = (ordinal: number, state: State = 'ready', revision = revisions.update): Pod =>
  ({
    metadata: {
      name: `web-${ordinal}`,
      uid: `uid-${ordinal}`,
      labels: { 'statefulset.kubernetes.io/pod-name': `web-${ordinal}`, 'controller-revision-hash': revision },
      ...(state === 'terminating' ? { deletionTimestamp: '2026-01-01T11:59:59Z' } : {}),
    },
    spec: { containers: [] },
    status: {
      phase: state === 'failed' ? 'Failed' : 'Running',
      conditions: [
        {
          type: 'Ready',
          status: state === 'unready' || state === 'failed' ? 'False' : 'True',
          lastTransitionTime: state === 'fresh' ? '2026-01-01T11:59:55Z' : '2026-01-01T11:00:00Z',
        },
      ],
    },
  }) as unknown as Pod
const text = (step: Step): string =>
  step.do === 'create' ? `create ${step.ordinal} ${step.revision}` : `${step.do} ${step.pod.metadata.name!.slice(4)}`
const steps = (s: StatefulSet, pods: Pod[]): string[] => decide(s, pods, revisions, now).map(text)

test('a name is of the set or is not', () => {
  expect(['web-0', 'web-12', 'web-01', 'web-x', 'web-', 'web-a-1', 'other-1', 'web--1', undefined].map(n => ordinalOf(set(), n))).toEqual([
    0,
    12,
    ...Array<undefined>(7).fill(undefined),
  ])
})

describe('in order', () => {
  test('each pod waits for that before it', () => {
    expect(steps(set(), [])).toEqual(['create 0 update'])
    expect(steps(set(), [pod(0, 'unready')])).toEqual([])
    expect(steps(set(), [pod(0)])).toEqual(['create 1 update'])
    expect(steps(set(), [pod(0), pod(1)])).toEqual(['create 2 update'])
    expect(steps(set(), [pod(0), pod(1), pod(2)])).toEqual([])
    expect(steps(set(), [pod(0), pod(1, 'terminating'), pod(2)])).toEqual([])
    expect(steps(set(), [pod(0), pod(1, 'failed')])).toEqual(['delete 1'])
    expect(steps(set({ minReadySeconds: 10 }), [pod(0, 'fresh')])).toEqual([])
    expect(steps(set({ ordinals: { start: 5 } }), [pod(5)])).toEqual(['create 6 update'])
  })
  test('the last goes first, when those before it serve', () => {
    const two = set({ replicas: 1 })
    expect(steps(two, [pod(0), pod(1), pod(2)])).toEqual(['delete 2'])
    expect(steps(two, [pod(0), pod(1), pod(2, 'terminating')])).toEqual([])
    expect(steps(two, [pod(0, 'unready'), pod(1), pod(2)])).toEqual([])
    expect(steps(two, [pod(0), pod(1, 'unready'), pod(2)])).toEqual(['delete 2'])
    expect(steps(two, [pod(0), pod(1), pod(2, 'unready')])).toEqual(['delete 2'])
    expect(steps(two, [pod(0), pod(1, 'unready'), pod(2, 'unready')])).toEqual([])
    expect(steps(set({ ordinals: { start: 2 } }), [pod(0), pod(2), pod(3), pod(4)])).toEqual(['delete 0'])
  })
  test('an update goes from the last down to the partition', () => {
    const old = [0, 1, 2].map(i => pod(i, 'ready', 'web-1'))
    const at = (partition: number) => set({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition } } })
    expect(steps(at(0), old)).toEqual(['delete 2'])
    expect(steps(at(0), [old[0]!, old[1]!, pod(2)])).toEqual(['delete 1'])
    expect(steps(at(2), [old[0]!, old[1]!, pod(2)])).toEqual([])
    expect(steps(at(3), old)).toEqual([])
    expect(steps(at(2), [old[0]!])).toEqual(['create 1 current'])
    expect(steps(at(1), [old[0]!])).toEqual(['create 1 update'])
    expect(steps(set({ updateStrategy: { type: 'OnDelete' } }), old)).toEqual([])
    expect(steps(set({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 2 } } }), old)).toEqual([
      'delete 2',
      'delete 1',
    ])
    expect(steps(set({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '10%' } } }), old)).toEqual(['delete 2'])
    // Without limits given, pods of the part that is not updated yet come back as they were.
    expect(steps(set({ updateStrategy: { type: 'RollingUpdate' } }, { currentReplicas: 2 }), [old[0]!])).toEqual(['create 1 current'])
  })
})

describe('in parallel', () => {
  const all = (spec: object = {}) => set({ podManagementPolicy: 'Parallel', ...spec })
  test('all at once', () => {
    expect(steps(all(), [])).toEqual(['create 0 update', 'create 1 update', 'create 2 update'])
    expect(steps(all({ replicas: 1 }), [pod(0, 'unready'), pod(1), pod(2, 'terminating'), pod(3)])).toEqual(['delete 3', 'delete 1'])
  })
  test('an update gets past a template that does not work', () => {
    const broken = [0, 1, 2].map(i => pod(i, 'unready', 'web-1'))
    expect(steps(all(), broken)).toEqual(['delete 2'])
    expect(steps(all(), [broken[0]!, broken[1]!, pod(2, 'unready')])).toEqual([])
    expect(steps(all(), [broken[0]!, broken[1]!, pod(2)])).toEqual(['delete 1'])
  })
})

test('a pod that lost its label gets it back', () => {
  const stripped = pod(0)
  stripped.metadata.labels = { 'controller-revision-hash': revisions.update }
  expect(steps(set({ replicas: 1 }), [stripped])).toEqual(['label 0'])
})

const world = fc.record({
  states: fc.array(
    fc.record({
      state: fc.constantFrom<State | 'absent'>('ready', 'unready', 'terminating', 'failed', 'absent'),
      revision: fc.constantFrom('web-1', 'web-2'),
    }),
    { maxLength: 7 },
  ),
  replicas: fc.nat(6),
  start: fc.nat(2),
  parallel: fc.boolean(),
  partition: fc.nat(4),
  maxUnavailable: fc.integer({ min: 1, max: 3 }),
})
test('never two pods of one ordinal; in order never out of order; never more missing than an update may', () => {
  fc.assert(
    fc.property(world, ({ states, replicas, start, parallel, partition, maxUnavailable }) => {
      const s = set({
        replicas,
        ordinals: { start },
        podManagementPolicy: parallel ? 'Parallel' : 'OrderedReady',
        updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition, maxUnavailable } },
      })
      const pods = states.flatMap(({ state, revision }, i) => (state === 'absent' ? [] : [pod(i, state, revision)]))
      const taken = decide(s, pods, revisions, now)
      const creates = taken.filter(t => t.do === 'create')
      const deletes = taken.filter(t => t.do === 'delete').map(t => t.pod)
      const there = new Set(pods.map(p => p.metadata.name))
      expect(new Set(creates.map(c => c.ordinal)).size).toBe(creates.length)
      expect(new Set(deletes).size).toBe(deletes.length)
      for (const { ordinal } of creates) {
        expect(there.has(`web-${ordinal}`)).toBe(false)
        expect(ordinal >= start && ordinal < start + replicas).toBe(true)
      }
      for (const p of deletes) expect(p.metadata.deletionTimestamp).toBeUndefined()
      const serves = (i: number) => states[i]?.state === 'ready'
      const wanted = Array.from({ length: replicas }, (_, i) => start + i)
      if (!parallel) {
        expect(creates.length).toBeLessThanOrEqual(1)
        for (const { ordinal } of creates) for (const i of wanted) if (i < ordinal) expect(serves(i)).toBe(true)
      }
      const servingDeleted = deletes.filter(p => serves(ordinalOf(s, p.metadata.name)!) && wanted.includes(ordinalOf(s, p.metadata.name)!))
      expect(servingDeleted.length).toBeLessThanOrEqual(maxUnavailable)
      for (const p of servingDeleted) expect(ordinalOf(s, p.metadata.name)! - start).toBeGreaterThanOrEqual(partition)
    }),
  )
})

test('a pod has its names, its storage and its revision', () => {
  const s = set({
    template: {
      metadata: { labels: { a: 'b' } },
      spec: {
        containers: [{ name: 'c', image: 'new' }],
        volumes: [
          { name: 'data', emptyDir: {} },
          { name: 'tmp', emptyDir: {} },
        ],
      },
    },
    volumeClaimTemplates: [{ metadata: { name: 'data', labels: { x: 'y' } }, spec: { accessModes: ['ReadWriteOnce'] } }],
  })
  const kept = templatePatch({ ...s.spec.template, spec: { ...s.spec.template.spec, containers: [{ name: 'c', image: 'old' }] } })
  const made = newPod(s, 4, { metadata: { name: 'web-abc' }, data: kept } as unknown as ControllerRevision)
  expect(made).toMatchObject({
    metadata: {
      name: 'web-4',
      labels: {
        a: 'b',
        'statefulset.kubernetes.io/pod-name': 'web-4',
        'apps.kubernetes.io/pod-index': '4',
        'controller-revision-hash': 'web-abc',
      },
      ownerReferences: [{ kind: 'StatefulSet', uid: 'set' }],
    },
    spec: { hostname: 'web-4', subdomain: 'svc', containers: [{ image: 'old' }] },
  })
  expect(made.spec.volumes).toEqual([
    { name: 'data', persistentVolumeClaim: { claimName: 'data-web-4' } },
    { name: 'tmp', emptyDir: {} },
  ])
  expect(newClaims(s, 4)).toMatchObject([
    { metadata: { name: 'data-web-4', namespace: 'ns', labels: { a: 'b', x: 'y' } }, spec: { accessModes: ['ReadWriteOnce'] } },
  ])
  const { name, labels } = snapshotOf(s)
  expect(name(undefined)).toMatch(/^web-[a-z0-9]+$/)
  expect(name(1)).not.toBe(name(undefined))
  expect(labels(undefined)).toMatchObject({ a: 'b' })
})

describe('claims', () => {
  const s = (whenDeleted: string, whenScaled: string, replicas = 3) =>
    set({
      replicas,
      persistentVolumeClaimRetentionPolicy: { whenDeleted, whenScaled },
      volumeClaimTemplates: [{ metadata: { name: 'd' } }],
    })
  const ref = (kind: 'StatefulSet' | 'Pod', uid: string): OwnerReference => ({
    apiVersion: kind === 'Pod' ? 'v1' : 'apps/v1',
    kind,
    name: kind === 'Pod' ? 'web-2' : 'web',
    uid,
    controller: true,
    blockOwnerDeletion: true,
  })
  const claim = (...ownerReferences: OwnerReference[]) => ({ metadata: { name: 'd-web-2', ownerReferences } }) as PersistentVolumeClaim
  const [ofSet, ofPod] = [ref('StatefulSet', 'set'), ref('Pod', 'uid-2')]
  test.each([
    ['Retain', 'Retain', 3, []],
    ['Retain', 'Retain', 1, []],
    ['Delete', 'Retain', 3, [ofSet]],
    ['Delete', 'Retain', 1, [ofSet]],
    ['Retain', 'Delete', 3, []],
    ['Retain', 'Delete', 1, [ofPod]],
    ['Delete', 'Delete', 3, [ofSet]],
    ['Delete', 'Delete', 1, [ofPod]],
  ])('deleted: %s, scaled: %s, %i replicas', (whenDeleted, whenScaled, replicas, owners) => {
    const wanted = s(whenDeleted, whenScaled, replicas)
    for (const now of [[], [ofSet], [ofPod], [ofSet, ofPod]]) {
      const result = ownersOf(claim(...now), wanted, pod(2), 2) ?? now
      expect(result).toEqual(owners)
    }
  })
  test('of former sets and pods, and of other controllers, are left to them', () => {
    expect(ownersOf(claim(ref('StatefulSet', 'former')), s('Retain', 'Retain'), pod(2), 2)).toBeUndefined()
    const other = { ...ref('StatefulSet', 'x'), kind: 'Other', name: 'other' }
    expect(ownersOf(claim(other), s('Delete', 'Delete'), pod(2), 2)).toBeUndefined()
    expect(ownersOf(claim(other, ofSet), s('Delete', 'Delete'), pod(2), 2)).toEqual([other])
  })
  test('that go with a former pod are not used again', () => {
    expect(isStale(claim(ref('Pod', 'former')), s('Retain', 'Delete'), 2)).toBe(true)
    expect(isStale(claim(ref('Pod', 'former')), s('Retain', 'Retain'), 2)).toBe(false)
    expect(isStale(claim(ofSet), s('Delete', 'Delete'), 2)).toBe(false)
  })
  test('have their owner from the start', () => {
    expect(newClaims(s('Delete', 'Retain'), 2)[0]!.metadata.ownerReferences).toEqual([ofSet])
    expect(newClaims(s('Retain', 'Delete'), 2)[0]!.metadata.ownerReferences).toBeUndefined()
  })
})

test('the status counts, and an update that is complete moves the current revision', () => {
  const half = [pod(0, 'ready', 'web-1'), pod(1, 'terminating', 'web-1'), pod(2, 'fresh')]
  expect(statefulSetStatus(set({ minReadySeconds: 10 }), half, revisions, 1, now)).toMatchObject({
    replicas: 3,
    readyReplicas: 3,
    availableReplicas: 2,
    currentReplicas: 1,
    updatedReplicas: 1,
    currentRevision: 'web-1',
    updateRevision: 'web-2',
    collisionCount: 1,
  })
  const done = [pod(0), pod(1), pod(2)]
  expect(statefulSetStatus(set(), done, revisions, 0, now)).toMatchObject({ currentRevision: 'web-2', currentReplicas: 3 })
  expect(statefulSetStatus(set({ updateStrategy: { type: 'OnDelete' } }), done, revisions, 0, now).currentRevision).toBe('web-1')
})
