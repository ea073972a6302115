/** Custom kinds in the eyes of the controllers that work on every kind there is: garbage collector, namespaces, quotas, budgets. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { ResourceQuota } from '#shared/api/core/resourcequota.ts'
import { configMaps, customResourceDefinitions, namespaces, podDisruptionBudgets, pods, resourceQuotas } from '#shared/api/kinds.ts'
import type { KubeObject, OwnerReference } from '#shared/api/meta/objectmeta.ts'
import { apiVersion, type Kind } from '#shared/api/resource.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { startControl, startNode, until, type Control } from './setup.ts'

let c: Control
let node: { stop(): void }
const group = 'kinds.example.com'
const kind = (name: string, version = 'v1', namespaced = true): Kind => ({
  group,
  version,
  kind: name,
  plural: `${name.toLowerCase()}s`,
  namespaced,
})
const widgets = kind('Widget')
const gadgets = kind('Gadget', 'v1beta1')
const clusters = kind('Region', 'v1', false)

async function define({ version, kind: name, plural, namespaced }: Kind, more: object = {}): Promise<void> {
  const openAPIV3Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
  await c.client.create(customResourceDefinitions, '', {
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: namespaced ? 'Namespaced' : 'Cluster',
      names: { plural, kind: name },
      versions: [{ name: version, served: true, storage: true, schema: { openAPIV3Schema }, ...more }],
    },
  } as never)
  await until(`${plural} to be served`, async () => {
    const { status } = await c.client.get(customResourceDefinitions, '', `${plural}.${group}`)
    return status?.conditions?.some(x => x.type === 'Established' && x.status === 'True')
  })
}

beforeAll(async () => {
  c = await startControl()
  await c.control({ podQuarantineMs: 200 })
  node = await startNode(c.client, 'node-1')
  await define(widgets, { subresources: { scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' } } })
  // Not in the version that the group prefers.
  await define(gadgets)
  await define(clusters)
})
afterAll(async () => {
  node?.stop()
  await c?.stop()
})

const make = (of: Kind, ns: string, name: string, owners: OwnerReference[] = [], more: object = {}) =>
  c.client.create(of, ns, { metadata: { name, ownerReferences: owners }, ...more } as unknown as KubeObject)
const refTo = (of: Kind, { metadata }: KubeObject, more: object = {}): OwnerReference => ({
  apiVersion: apiVersion(of),
  kind: of.kind,
  name: metadata.name!,
  uid: metadata.uid!,
  ...more,
})
const spec = { terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image: 'i' }] }
const pod = (ns: string, name: string, owner: OwnerReference, labels = {}) =>
  c.client.create(pods, ns, { metadata: { name, labels, ownerReferences: [owner] }, spec } as unknown as Pod)
const gone = (of: Kind<any>, ns: string, name: string) =>
  // any: of several kinds
  until(`${of.plural} ${name} to be gone`, () => c.client.get(of, ns, name).then(() => false, isNotFound))

test('a custom object owns pods, and is owned by others; also in a version that its group does not prefer', async () => {
  const ns = await c.namespace('owning')
  const owner = await make(gadgets, ns, 'owner')
  await pod(ns, 'of-gadget', refTo(gadgets, owner))
  const widget = await make(widgets, ns, 'of-gadget', [refTo(gadgets, owner)])
  await make(configMaps as Kind, ns, 'of-widget', [refTo(widgets, widget)])
  await c.client.delete(gadgets, ns, 'owner')
  await gone(pods, ns, 'of-gadget')
  await gone(widgets, ns, 'of-gadget')
  await gone(configMaps, ns, 'of-widget')
  const parent = await make(configMaps as Kind, ns, 'parent')
  await make(gadgets, ns, 'dependent', [refTo(configMaps as Kind, parent)])
  await c.client.delete(configMaps, ns, 'parent')
  await gone(gadgets, ns, 'dependent')
})

test('foreground deletion waits for what blocks it; orphans lose their reference', async () => {
  const ns = await c.namespace('ways')
  const first = await make(widgets, ns, 'first')
  await pod(ns, 'slow', refTo(widgets, first, { blockOwnerDeletion: true }))
  await c.client.patch(pods, ns, 'slow', 'merge', { metadata: { finalizers: ['example.com/hold'] } })
  await c.client.delete(widgets, ns, 'first', { propagationPolicy: 'Foreground' })
  await until('the pod to be deleted', async () => (await c.client.get(pods, ns, 'slow')).metadata.deletionTimestamp)
  expect((await c.client.get(widgets, ns, 'first')).metadata.finalizers).toEqual(['foregroundDeletion'])
  await c.client.patch(pods, ns, 'slow', 'merge', { metadata: { finalizers: null } })
  await gone(widgets, ns, 'first')
  const second = await make(widgets, ns, 'second')
  await make(gadgets, ns, 'orphan', [refTo(widgets, second)])
  await c.client.delete(widgets, ns, 'second', { propagationPolicy: 'Orphan' })
  await gone(widgets, ns, 'second')
  expect((await c.client.get(gadgets, ns, 'orphan')).metadata.ownerReferences ?? []).toEqual([])
})

test('an owner in no namespace is one everywhere', async () => {
  const ns = await c.namespace('regional')
  const region = await make(clusters, '', 'north')
  await make(configMaps as Kind, ns, 'of-region', [refTo(clusters, region)])
  const other = { ...refTo(clusters, region), uid: 'another' }
  await make(configMaps as Kind, ns, 'of-another', [other])
  await gone(configMaps, ns, 'of-another')
  expect(await c.client.get(configMaps, ns, 'of-region')).toBeTruthy()
  await c.client.delete(clusters, '', 'north')
  await gone(configMaps, ns, 'of-region')
})

test('objects that name a kind which is not served yet wait for it; when a kind goes, what its objects own goes', async () => {
  const ns = await c.namespace('late')
  const late = kind('Late')
  await make(configMaps as Kind, ns, 'early', [{ apiVersion: apiVersion(late), kind: 'Late', name: 'nobody', uid: 'none' }])
  await make(configMaps as Kind, ns, 'marker', [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'nobody', uid: 'none' }])
  await gone(configMaps, ns, 'marker')
  expect(await c.client.get(configMaps, ns, 'early')).toBeTruthy()
  await define(late)
  await gone(configMaps, ns, 'early')
  const owner = await make(late, ns, 'owner')
  await make(configMaps as Kind, ns, 'owned', [refTo(late, owner)])
  await c.client.delete(customResourceDefinitions, '', `lates.${group}`)
  await gone(configMaps, ns, 'owned')
})

test('a namespace is emptied of them, and says what they wait for', async () => {
  const ns = await c.namespace('full')
  await make(widgets, ns, 'free')
  await make(gadgets, ns, 'held')
  await c.client.patch(gadgets, ns, 'held', 'merge', { metadata: { finalizers: ['example.com/hold'] } })
  await c.client.delete(namespaces, '', ns)
  await gone(widgets, ns, 'free')
  const condition = await until('the finalizer to be reported', async () =>
    (await c.client.get(namespaces, '', ns)).status?.conditions?.find(x => x.type === 'NamespaceContentRemaining' && x.status === 'True'),
  )
  expect(condition).toMatchObject({
    reason: 'SomeResourcesRemain',
    message: `Some resources are remaining: gadgets.${group} has 1 resource instances`,
  })
  await c.client.patch(gadgets, ns, 'held', 'merge', { metadata: { finalizers: null } })
  await gone(namespaces, '', ns)
})

test('a quota counts them, also when it was there before the kind', async () => {
  const ns = await c.namespace('counted')
  const tokens = kind('Token')
  const name = `count/tokens.${group}`
  await c.client.create(resourceQuotas, ns, { metadata: { name: 'q' }, spec: { hard: { [name]: '1' } } } as unknown as ResourceQuota)
  const used = async () => (await c.client.get(resourceQuotas, ns, 'q')).status?.used?.[name]
  await define(tokens)
  await until('the quota to be measured', async () => (await used()) === '0')
  await make(tokens, ns, 'a')
  await expect(make(tokens, ns, 'b')).rejects.toThrow(
    `tokens.${group} "b" is forbidden: exceeded quota: q, requested: ${name}=1, used: ${name}=1, limited: ${name}=1`,
  )
  await until('the first to be counted', async () => (await used()) === '1')
  await c.client.delete(tokens, ns, 'a')
  await until('it to be given back', async () => (await used()) === '0')
})

test('a budget asks their scale how many pods there should be', async () => {
  const ns = await c.namespace('scaled')
  const owner = await make(widgets, ns, 'web', [], { spec: { replicas: 4 } })
  const labels = { app: 'web' }
  for (const name of ['a', 'b', 'c']) await pod(ns, name, refTo(widgets, owner, { controller: true }), labels)
  await c.client.create(podDisruptionBudgets, ns, {
    metadata: { name: 'web' },
    spec: { minAvailable: '50%', selector: { matchLabels: labels } },
  } as never)
  const status = await until('the budget to be counted', async () => {
    const { status: s } = await c.client.get(podDisruptionBudgets, ns, 'web')
    return s?.currentHealthy === 3 && s
  })
  expect(status).toMatchObject({ expectedPods: 4, desiredHealthy: 2, disruptionsAllowed: 1 })
})
