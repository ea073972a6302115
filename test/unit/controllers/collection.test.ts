import { expect, test } from 'vitest'
import type { Namespace } from '#shared/api/core/namespace.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { deployments, pods, replicaSets } from '#shared/api/kinds.ts'
import { Graph, nodeOf } from '#control-plane/controller-manager/garbagecollector/graph.ts'
import { conditionsAfter } from '#control-plane/controller-manager/namespace/conditions.ts'
import { surplus } from '#control-plane/controller-manager/podgc.ts'
import type { Kind } from '#shared/api/resource.ts'

const object = (uid: string, owner?: string, over: object = {}, ownerKind = 'ReplicaSet', apiVersion = 'apps/v1'): KubeObject => ({
  apiVersion: '',
  kind: '',
  metadata: {
    uid,
    name: uid,
    namespace: 'ns',
    ...(owner ? { ownerReferences: [{ apiVersion, kind: ownerKind, name: owner, uid: owner, blockOwnerDeletion: true }] } : {}),
    ...over,
  },
})
const rs = (o: KubeObject) => nodeOf(replicaSets as Kind, o)
const pod = (o: KubeObject) => nodeOf(pods as Kind, o)

test('objects whose owners are gone or not known are worth a look', () => {
  const g = new Graph()
  expect(g.set(pod(object('p', 'r'))).check).toEqual(['p'])
  expect(g.set(rs(object('r'))).check).toEqual([])
  expect(g.settled(g.get('p')!)).toBe(true)
  expect(g.set(pod(object('p', 'r', { labels: {} }))).check).toEqual([])
  expect(g.delete('r').check).toEqual(['p'])
})

test('an owner of another kind, name or namespace is none', () => {
  const g = new Graph()
  g.set(rs(object('r')))
  expect(g.set(pod(object('a', 'r', {}, 'Deployment'))).check).toEqual(['a'])
  expect(g.set(pod(object('b', 'r', {}, 'ReplicaSet', 'v1'))).check).toEqual(['b'])
  expect(g.set(pod(object('c', 'r', { namespace: 'other' }))).check).toEqual(['c'])
  expect(g.set(nodeOf(pods as Kind, object('d', 'r', {}, 'ReplicaSet', 'apps/v1beta1'))).check).toEqual([])
})

test('a foreground deletion looks at the dependents, and at the owner when one is gone', () => {
  const g = new Graph()
  g.set(nodeOf(deployments as Kind, object('d')))
  g.set(rs(object('r', 'd', {}, 'Deployment')))
  const deleting = { deletionTimestamp: 'now', finalizers: ['foregroundDeletion'] }
  expect(g.set(nodeOf(deployments as Kind, object('d', undefined, deleting))).check).toEqual(['d', 'r'])
  expect(g.settled(g.get('r')!)).toBe(false)
  expect(g.delete('r').check).toEqual(['d'])
  expect(g.dependents('d')).toEqual([])
})

test('an orphaning deletion is carried out', () => {
  const g = new Graph()
  expect(g.set(rs(object('r', undefined, { deletionTimestamp: 'now', finalizers: ['orphan'] }))).orphan).toEqual(['r'])
})

test('conditions of a terminating namespace', () => {
  const namespace = { metadata: {}, status: { phase: 'Terminating' } } as unknown as Namespace
  const nothing = { remaining: new Map(), finalizers: new Map(), discovery: undefined, content: [] }
  const busy = conditionsAfter(
    namespace,
    {
      ...nothing,
      remaining: new Map([
        ['pods.', 1],
        ['configmaps.', 2],
      ]),
      finalizers: new Map([['x/y', 2]]),
    },
    0,
  )
  expect(busy.map(c => `${c.type} ${c.status} ${c.reason} ${c.message}`)).toEqual([
    'NamespaceDeletionDiscoveryFailure False ResourcesDiscovered All resources successfully discovered',
    'NamespaceDeletionGroupVersionParsingFailure False ParsedGroupVersions All legacy kube types successfully parsed',
    'NamespaceDeletionContentFailure False ContentDeleted All content successfully deleted, may be waiting on finalization',
    'NamespaceContentRemaining True SomeResourcesRemain Some resources are remaining: configmaps. has 2 resource instances, pods. has 1 resource instances',
    'NamespaceFinalizersRemaining True SomeFinalizersRemain Some content in the namespace has finalizers remaining: x/y in 2 resource instances',
  ])
  const next = { ...namespace, status: { ...namespace.status, conditions: busy } }
  expect(
    conditionsAfter(
      next,
      {
        ...nothing,
        remaining: new Map([
          ['configmaps.', 2],
          ['pods.', 1],
        ]),
        finalizers: new Map([['x/y', 2]]),
      },
      9,
    ),
  ).toBe(busy)
  expect(conditionsAfter(next, nothing, 9).map(c => c.status)).toEqual(['False', 'False', 'False', 'False', 'False'])
})

test('ended pods beyond the threshold go, evicted ones first, then the oldest', () => {
  const ended = (name: string, created: string, reason?: string) =>
    ({ metadata: { name, creationTimestamp: created }, status: { phase: 'Failed', reason } }) as unknown as Pod
  const list = [ended('new', '3'), ended('old', '1'), ended('evicted', '4', 'Evicted'), ended('mid', '2')]
  expect(surplus(list, 2).map(p => p.metadata.name)).toEqual(['evicted', 'old'])
  expect(surplus(list, 4)).toEqual([])
  expect(surplus(list, 0)).toEqual([])
})
