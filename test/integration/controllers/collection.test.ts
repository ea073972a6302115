import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { clusterRoles, configMaps, events, namespaces, pods, replicaSets } from '#shared/api/kinds.ts'
import type { OwnerReference } from '#shared/api/meta/objectmeta.ts'
import { StatusError, isNotFound } from '#shared/machinery/status.ts'
import { startControl, startNode, until, type Control } from './setup.ts'

let c: Control
let node: { stop(): void }
beforeAll(async () => {
  c = await startControl()
  await c.control({ podQuarantineMs: 200 })
  node = await startNode(c.client, 'node-1')
})
afterAll(async () => {
  node?.stop()
  await c?.stop()
})

const map = (ns: string, name: string, owners: Partial<OwnerReference>[] = [], finalizers: string[] = []) =>
  c.client.create(configMaps, ns, {
    metadata: { name, ownerReferences: owners.map(o => ({ apiVersion: 'v1', kind: 'ConfigMap', ...o })), finalizers },
  } as ConfigMap)
const names = async (ns: string) =>
  (await c.client.list(configMaps, ns)).items.map(m => m.metadata.name!).filter(n => n !== 'kube-root-ca.crt')
const gone = (ns: string, name: string) =>
  until(`${name} to be gone`, () =>
    c.client.get(configMaps, ns, name).then(
      () => false,
      (e: unknown) => e instanceof StatusError && e.code === 404,
    ),
  )
const refTo = (m: ConfigMap): Partial<OwnerReference> => ({ name: m.metadata.name!, uid: m.metadata.uid!, blockOwnerDeletion: true })

test('background: dependents go after their owner, through several levels; what has another owner stays', async () => {
  const ns = await c.namespace('background')
  const a = await map(ns, 'a')
  const other = await map(ns, 'other')
  const b = await map(ns, 'b', [refTo(a)])
  await map(ns, 'c', [refTo(b)])
  await map(ns, 'shared', [refTo(a), refTo(other)])
  await c.client.delete(configMaps, ns, 'a')
  await gone(ns, 'b')
  await gone(ns, 'c')
  await until(
    'the reference to be dropped',
    async () => (await c.client.get(configMaps, ns, 'shared')).metadata.ownerReferences?.length === 1,
  )
  expect((await names(ns)).sort()).toEqual(['other', 'shared'])
})

test('foreground: the owner stays until its dependents are gone', async () => {
  const ns = await c.namespace('foreground')
  const a = await map(ns, 'a')
  await map(ns, 'held', [refTo(a)], ['example.com/hold'])
  await c.client.delete(configMaps, ns, 'a', { propagationPolicy: 'Foreground' })
  await until(
    'the dependent to be deleted',
    async () => (await c.client.get(configMaps, ns, 'held')).metadata.deletionTimestamp !== undefined,
  )
  expect((await c.client.get(configMaps, ns, 'a')).metadata).toMatchObject({ finalizers: ['foregroundDeletion'] })
  await c.client.patch(configMaps, ns, 'held', 'merge', { metadata: { finalizers: null } })
  await gone(ns, 'held')
  await gone(ns, 'a')
})

test('orphan: dependents lose their reference and stay', async () => {
  const ns = await c.namespace('orphan')
  const a = await map(ns, 'a')
  await map(ns, 'b', [refTo(a)])
  await c.client.delete(configMaps, ns, 'a', { propagationPolicy: 'Orphan' })
  await gone(ns, 'a')
  expect((await c.client.get(configMaps, ns, 'b')).metadata.ownerReferences ?? []).toEqual([])
})

test('owners that never were, or have another uid by now, do not hold anything', async () => {
  const ns = await c.namespace('absent')
  const a = await map(ns, 'a')
  await map(ns, 'wrong-uid', [{ ...refTo(a), uid: 'not-the-same' }])
  await map(ns, 'no-owner', [{ name: 'nobody', uid: 'none' }])
  await gone(ns, 'wrong-uid')
  await gone(ns, 'no-owner')
  expect(await names(ns)).toEqual(['a'])
})

test('an owner in another namespace is none, and an event says so', async () => {
  const [ns, far] = [await c.namespace('near'), await c.namespace('far')]
  const owner = await map(far, 'owner')
  await until('the owner to be known', () => c.client.get(configMaps, far, 'kube-root-ca.crt'))
  await map(ns, 'child', [refTo(owner)])
  await gone(ns, 'child')
  const found = await until('the event', async () =>
    (await c.client.list(events, ns)).items.find(e => e.reason === 'OwnerRefInvalidNamespace'),
  )
  expect(found.message).toBe(
    `ownerRef [v1/ConfigMap, namespace: near, name: owner, uid: ${owner.metadata.uid}] does not exist in namespace "near"`,
  )
})

test('an object in no namespace cannot have an owner in one: it stays, and an event says so', async () => {
  const ns = await c.namespace('owning')
  const owner = await map(ns, 'owner')
  const ref = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: owner.metadata.uid! }
  const metadata = { name: 'owned', ownerReferences: [ref, { ...ref, name: 'other', uid: 'none' }] }
  await c.client.create(clusterRoles, '', { metadata } as never)
  const found = await until('the event', async () =>
    (await c.client.list(events, '')).items.find(e => e.reason === 'OwnerRefInvalidNamespace' && e.involvedObject.name === 'owned'),
  )
  expect(found).toMatchObject({
    type: 'Warning',
    message: expect.stringMatching(
      /^ownerRef \[v1\/ConfigMap, namespace: , name: (owner|other), uid: .*\] does not exist in namespace ""$/,
    ),
  })
  expect((await c.client.get(clusterRoles, '', 'owned')).metadata.ownerReferences).toHaveLength(2)
})

test('a kind that cannot be listed holds up neither other kinds nor what else is in a namespace', async () => {
  const ns = await c.namespace('broken')
  const gone503 = () => {
    throw new StatusError(503, 'ServiceUnavailable', 'the server is currently unable to handle the request')
  }
  const thing = { name: 'things', singular: 'thing', namespaced: true, kind: 'Thing', verbs: ['delete', 'list', 'watch'] }
  const { surface } = c.api.server
  const resources = [{ ...thing, shortNames: [], categories: [], storageVersionHash: '', subresources: [] }]
  const openApi = { v2: undefined, v3: undefined }
  surface.proxy({ group: 'broken.example.com', version: 'v1', serve: gone503, resources, freshness: 'Stale', openApi })
  try {
    // Begins while the kind is there and broken.
    await c.stopControllers()
    await c.control({ podQuarantineMs: 200 })
    const owner = await map(ns, 'owner')
    await map(ns, 'child', [refTo(owner)])
    await c.client.delete(configMaps, ns, 'owner')
    await gone(ns, 'child')
    await map(ns, 'rest')
    await c.client.delete(namespaces, '', ns)
    await gone(ns, 'rest')
    const waiting = await until('the failure to be reported', async () => {
      const { status } = await c.client.get(namespaces, '', ns)
      return status?.conditions?.find(x => x.type === 'NamespaceDeletionContentFailure' && x.status === 'True')
    })
    expect(waiting).toMatchObject({
      reason: 'ContentDeletionFailed',
      message: 'Failed to delete all resource types, 1 remaining: the server is currently unable to handle the request',
    })
  } finally {
    surface.unproxy('broken.example.com', 'v1')
  }
  await until('the namespace to be gone', () => c.client.get(namespaces, '', ns).then(() => false, isNotFound))
})

test('a deleted namespace is emptied, pods first, and waits for finalizers with a word about them', async () => {
  const ns = await c.namespace('doomed')
  await map(ns, 'held', [], ['example.com/hold'])
  await map(ns, 'plain')
  const spec = { terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image: 'i' }] }
  await c.client.create(replicaSets, ns, {
    metadata: { name: 'web' },
    spec: { replicas: 3, selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec } },
  } as never)
  await until('three pods', async () => (await c.client.get(replicaSets, ns, 'web')).status?.readyReplicas === 3)
  await c.client.delete(namespaces, '', ns)
  const waiting = await until('the finalizer to be reported', async () => {
    const n = await c.client.get(namespaces, '', ns)
    return n.status?.conditions?.some(x => x.type === 'NamespaceFinalizersRemaining' && x.status === 'True') && n
  })
  expect(waiting.status!.conditions!.find(x => x.type === 'NamespaceFinalizersRemaining')).toMatchObject({
    reason: 'SomeFinalizersRemain',
    message: 'Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances',
  })
  expect((await c.client.list(pods, ns)).items).toEqual([])
  await c.client.patch(configMaps, ns, 'held', 'merge', { metadata: { finalizers: null } })
  await until('the namespace to be gone', () =>
    c.client.get(namespaces, '', ns).then(
      () => false,
      (e: unknown) => e instanceof StatusError && e.code === 404,
    ),
  )
})

test('pods of a node that is gone are removed', async () => {
  const ns = await c.namespace('podgc')
  await c.client.create(pods, ns, {
    metadata: { name: 'lost' },
    spec: { nodeName: 'no-such-node', containers: [{ name: 'c', image: 'i' }] },
  } as unknown as Pod)
  await until('the pod to be gone', () =>
    c.client.get(pods, ns, 'lost').then(
      () => false,
      (e: unknown) => e instanceof StatusError && e.code === 404,
    ),
  )
})
