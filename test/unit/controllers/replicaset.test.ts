import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ReplicaSet } from '#shared/api/apps/replicaset.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { claim } from '#control-plane/controller-manager/podcontrol/ownership.ts'
import { compareForDeletion, podsToDelete } from '#control-plane/controller-manager/podcontrol/deletion-order.ts'
import { slowStart } from '#control-plane/controller-manager/podcontrol/podcontrol.ts'
import { replicasStatus } from '#control-plane/controller-manager/replicaset/status.ts'

const now = Date.parse('2026-01-01T12:00:00Z')
interface Shape {
  name: string
  node?: string
  phase?: string
  ready?: string
  cost?: string
  restarts?: number
  created?: string
}
const pod = ({ name, node, phase = 'Running', ready, cost, restarts = 0, created = '2026-01-01T00:00:00Z' }: Shape): Pod =>
  ({
    metadata: {
      name,
      uid: name,
      creationTimestamp: created,
      annotations: cost ? { 'controller.kubernetes.io/pod-deletion-cost': cost } : {},
    },
    spec: { nodeName: node, containers: [] },
    status: {
      phase,
      conditions: ready ? [{ type: 'Ready', status: 'True', lastTransitionTime: ready }] : [],
      containerStatuses: [{ name: 'c', restartCount: restarts }],
    },
  }) as unknown as Pod
const ready = '2026-01-01T00:01:00Z'

test.each<[string, Shape, Shape]>([
  ['unassigned before assigned', { name: 'z', phase: 'Pending' }, { name: 'a', node: 'n', phase: 'Pending' }],
  ['pending before running', { name: 'z', node: 'n', phase: 'Pending' }, { name: 'a', node: 'n' }],
  ['not ready before ready', { name: 'z', node: 'n' }, { name: 'a', node: 'n', ready }],
  ['cheap before dear', { name: 'z', node: 'n', ready, cost: '-5' }, { name: 'a', node: 'n', ready }],
  ['a cost that is no number counts as none', { name: 'a', node: 'n', ready, cost: '+5' }, { name: 'b', node: 'n', ready, cost: '1' }],
  ['ready for seconds before ready for hours', { name: 'z', node: 'n', ready: '2026-01-01T11:59:50Z' }, { name: 'a', node: 'n', ready }],
  ['restarted more before less', { name: 'z', node: 'n', ready, restarts: 3 }, { name: 'a', node: 'n', ready, restarts: 1 }],
  ['much newer before older', { name: 'z', node: 'n', created: '2026-01-01T11:59:00Z' }, { name: 'a', node: 'n' }],
])('%s', (_, first, second) => {
  expect(compareForDeletion(pod(first), pod(second), () => 0, now)).toBeLessThan(0)
  expect(compareForDeletion(pod(second), pod(first), () => 0, now)).toBeGreaterThan(0)
})

test('a pod on a node with more of its kind goes first', () => {
  const pods = [pod({ name: 'a', node: 'n1', ready }), pod({ name: 'b', node: 'n2', ready }), pod({ name: 'c', node: 'n2', ready })]
  expect(podsToDelete(pods, pods, 1, now)[0]!.spec.nodeName).toBe('n2')
})

const shape = fc.record({
  name: fc.string({ minLength: 1, maxLength: 3 }),
  node: fc.constantFrom('n1', 'n2', undefined),
  phase: fc.constantFrom('Pending', 'Running'),
  ready: fc.constantFrom(undefined, ready, '2026-01-01T11:59:50Z', '2026-01-01T11:00:00Z'),
  cost: fc.constantFrom(undefined, '1', '-1', 'x'),
  restarts: fc.nat(2),
  created: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-01T11:00:00Z'),
})
test('the order is total: transitive and antisymmetric', () => {
  fc.assert(
    fc.property(fc.uniqueArray(shape, { selector: s => s.name, minLength: 3, maxLength: 3 }), shapes => {
      const [a, b, c] = shapes.map(s => pod(s as Shape)) as [Pod, Pod, Pod]
      const cmp = (x: Pod, y: Pod) => Math.sign(compareForDeletion(x, y, () => 0, now))
      expect(cmp(a, b)).toBe(-cmp(b, a))
      if (cmp(a, b) < 0 && cmp(b, c) < 0) expect(cmp(a, c)).toBeLessThan(0)
    }),
  )
})

test('creation starts slowly and stops after a batch that failed', async () => {
  const batches: number[] = []
  let running = 0
  let calls = 0
  await slowStart(10, async () => {
    running++
    calls++
    await Promise.resolve()
    if (running > 0) batches.push(running)
    running = 0
  })
  expect(calls).toBe(10)
  expect(batches.filter(n => n > 0)).toEqual([1, 2, 4, 3])
  calls = 0
  await expect(
    slowStart(100, async () => {
      if (++calls === 2) throw new Error('no')
    }),
  ).rejects.toThrow('no')
  expect(calls).toBe(3)
})

test('what belongs to a controller is kept, taken, let go or left alone', () => {
  const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', metadata: { uid: 'me' } }
  const deleted = { ...owner, metadata: { uid: 'me', deletionTimestamp: 'now' } }
  const of = (uid?: string, deletionTimestamp?: string) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...(deletionTimestamp ? { deletionTimestamp } : {}),
      ownerReferences: uid ? [{ uid, controller: true, kind: '', name: '', apiVersion: '' }] : [],
    },
  })
  expect(claim(of('me'), owner, true)).toBe('owned')
  expect(claim(of('me'), owner, false)).toBe('release')
  expect(claim(of('me'), deleted, false)).toBe('ignore')
  expect(claim(of('other'), owner, true)).toBe('ignore')
  expect(claim(of(), owner, true)).toBe('adopt')
  expect(claim(of(), owner, false)).toBe('ignore')
  expect(claim(of(), deleted, true)).toBe('ignore')
  expect(claim(of(undefined, 'now'), owner, true)).toBe('ignore')
})

test('status counts what is labelled, ready and available for long enough', () => {
  const rs = {
    metadata: { generation: 4 },
    spec: { minReadySeconds: 30, selector: {}, template: { metadata: { labels: { v: '1' } } } },
    status: { replicas: 0 },
  } as unknown as ReplicaSet
  const old = pod({ name: 'a', node: 'n', ready })
  old.metadata.labels = { v: '1' }
  const pods = [old, pod({ name: 'b', node: 'n', ready: '2026-01-01T11:59:50Z' }), pod({ name: 'c', node: 'n' })]
  expect(replicasStatus(rs, pods, [], { reason: 'FailedCreate', message: 'quota' }, now)).toEqual({
    replicas: 3,
    fullyLabeledReplicas: 1,
    readyReplicas: 2,
    availableReplicas: 1,
    terminatingReplicas: 0,
    observedGeneration: 4,
    conditions: [
      { type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message: 'quota', lastTransitionTime: '2026-01-01T12:00:00Z' },
    ],
  })
})
