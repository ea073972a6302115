/** Dynamic resource allocation: claims made from templates, given devices by the scheduler, taken back when pods have ended. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { natsTransport } from '#shared/bus/api-client.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { deviceClasses, events, nodes, pods, resourceClaims, resourceClaimTemplates, resourceSlices } from '#shared/api/kinds.ts'
import type { DeviceClass } from '#shared/api/resource/deviceclass.ts'
import type { ResourceClaim } from '#shared/api/resource/resourceclaim.ts'
import type { ResourceClaimTemplate } from '#shared/api/resource/resourceclaimtemplate.ts'
import type { ResourceSlice } from '#shared/api/resource/resourceslice.ts'
import { newClient } from '#shared/client/rest.ts'
import { defaultConfiguration } from '#control-plane/scheduler/config/configuration.ts'
import { runScheduler } from '#control-plane/scheduler/scheduler.ts'
import { quiet, startControl, type Control } from '../controllers/setup.ts'

const driver = 'gpu.example.com'
let control: Control
let namespace = ''
const stop = new AbortController()
let done: Promise<void> = Promise.resolve()

beforeAll(async () => {
  control = await startControl()
  const { api, client } = control
  for (const name of ['a', 'b'])
    await client.create(nodes, '', {
      metadata: { name },
      status: { capacity: { cpu: '4', memory: '4Gi', pods: '10' }, conditions: [{ type: 'Ready', status: 'True' }] },
    } as unknown as Node)
  await client.create(deviceClasses, '', {
    metadata: { name: 'gpu' },
    spec: { selectors: [{ cel: { expression: `device.driver == "${driver}"` } }] },
  } as DeviceClass)
  for (const [node, models] of Object.entries({ a: ['small'], b: ['small', 'large'] }))
    await client.create(resourceSlices, '', {
      metadata: { name: `gpus-${node}` },
      spec: {
        driver,
        pool: { name: node, generation: 1, resourceSliceCount: 1 },
        nodeName: node,
        devices: models.map((model, i) => ({ name: `g${i}`, attributes: { model: { string: model } } })),
      },
    } as unknown as ResourceSlice)
  await control.control()
  namespace = await control.namespace('devices')
  const transport = natsTransport(await api.nats.connect('system:kube-scheduler'))
  const scheduler = newClient(transport, { userAgent: 'kube-scheduler' })
  done = runScheduler({ client: scheduler, log: quiet, profiles: defaultConfiguration.profiles }, stop.signal)
})
afterAll(async () => {
  stop.abort()
  await done
  await control?.stop()
})

const request = (model: string) => ({
  devices: {
    requests: [
      {
        name: 'gpu',
        exactly: { deviceClassName: 'gpu', selectors: [{ cel: { expression: `device.attributes["${driver}"].model == "${model}"` } }] },
      },
    ],
  },
})
const pod = (name: string, claim: object): Promise<Pod> =>
  control.client.create(pods, namespace, {
    metadata: { name },
    spec: {
      containers: [{ name: 'c', image: 'busybox', resources: { claims: [{ name: 'gpu' }] } }],
      resourceClaims: [{ name: 'gpu', ...claim }],
      tolerations: [{ operator: 'Exists' }],
    },
  } as unknown as Pod)
const get = (name: string): Promise<Pod> => control.client.get(pods, namespace, name)
const nodeOf = async (name: string): Promise<string | undefined> => (await get(name)).spec.nodeName
const unschedulable = async (name: string): Promise<string | undefined> =>
  (await get(name)).status?.conditions?.find(c => c.type === 'PodScheduled')?.message
const patience = { timeout: 20_000 }

test('a claim is made from a template, given a device, reserved, and goes with its pod', async () => {
  const { client } = control
  const spec = { spec: request('large') }
  await client.create(resourceClaimTemplates, namespace, { metadata: { name: 'large' }, spec } as ResourceClaimTemplate)
  const made = await pod('first', { resourceClaimTemplateName: 'large' })
  await expect.poll(() => nodeOf('first'), patience).toBe('b')
  const [status] = (await get('first')).status?.resourceClaimStatuses ?? []
  const claim = await client.get<ResourceClaim>(resourceClaims, namespace, status?.resourceClaimName ?? '')
  expect(claim.metadata).toMatchObject({
    annotations: { 'resource.kubernetes.io/pod-claim-name': 'gpu' },
    finalizers: ['resource.kubernetes.io/delete-protection'],
  })
  const owner = { apiVersion: 'v1', kind: 'Pod', name: 'first', uid: made.metadata.uid, controller: true }
  expect(claim.metadata.ownerReferences).toEqual([owner])
  expect(claim.status).toMatchObject({
    allocation: { devices: { results: [{ request: 'gpu', driver, pool: 'b', device: 'g1' }] } },
    reservedFor: [{ resource: 'pods', name: 'first', uid: made.metadata.uid }],
  })
  // There is one such device: the next waits for it, and gets it when the first has ended.
  await pod('second', { resourceClaimTemplateName: 'large' })
  await expect.poll(() => unschedulable('second'), patience).toContain('2 cannot allocate all claims')
  await client.delete(pods, namespace, 'first', { gracePeriodSeconds: 0 })
  await expect.poll(() => nodeOf('second'), patience).toBe('b')
  await expect
    .poll(
      async () => (await client.list<ResourceClaim>(resourceClaims, namespace)).items.some(c => c.metadata.uid === claim.metadata.uid),
      patience,
    )
    .toBe(false)
})

test('a claim that cannot be made is told of; one that somebody deletes is made anew', async () => {
  const { client } = control
  await pod('needy', { resourceClaimTemplateName: 'late' })
  const why = 'PodResourceClaim gpu: resource claim template "late": resourceclaimtemplate.resource.k8s.io "late" not found'
  const told = async () => (await client.list(events, namespace)).items.find(e => e.reason === 'FailedResourceClaimCreation')
  await expect.poll(told, patience).toMatchObject({ type: 'Warning', message: why, source: { component: 'resource_claim' } })
  await client.create(resourceClaimTemplates, namespace, {
    metadata: { name: 'late' },
    spec: { spec: request('huge') },
  } as ResourceClaimTemplate)
  const claimOf = async () => (await get('needy')).status?.resourceClaimStatuses?.[0]?.resourceClaimName
  await expect.poll(claimOf, patience).toMatch(/^needy-gpu-.{5}$/)
  const first = (await claimOf())!
  await client.delete(resourceClaims, namespace, first)
  await expect.poll(claimOf, patience).not.toBe(first)
  expect((await client.get<ResourceClaim>(resourceClaims, namespace, (await claimOf())!)).metadata.ownerReferences).toMatchObject([
    { name: 'needy' },
  ])
  await client.delete(pods, namespace, 'needy', { gracePeriodSeconds: 0 })
})

test('a pod that names its node itself uses its claim when that has a device', async () => {
  const { client } = control
  const claim = await client.create(resourceClaims, namespace, { metadata: { name: 'given' }, spec: request('small') } as ResourceClaim)
  const spec = {
    nodeName: 'a',
    containers: [{ name: 'c', image: 'busybox', resources: { claims: [{ name: 'gpu' }] } }],
    resourceClaims: [{ name: 'gpu', resourceClaimName: 'given' }],
  }
  const { uid } = (await client.create(pods, namespace, { metadata: { name: 'placed' }, spec } as unknown as Pod)).metadata
  const allocation = { devices: { results: [{ request: 'gpu', driver, pool: 'a', device: 'g0' }] } }
  const status = async () => (await client.get<ResourceClaim>(resourceClaims, namespace, 'given')).status
  await client.update(resourceClaims, { ...claim, status: { allocation } } as ResourceClaim, 'status')
  await expect.poll(async () => (await status())?.reservedFor, patience).toEqual([{ resource: 'pods', name: 'placed', uid }])
  await client.delete(pods, namespace, 'placed', { gracePeriodSeconds: 0 })
  await expect.poll(async () => (await status())?.reservedFor, patience).toBeUndefined()
})

test('pods share a claim by its name; it keeps them to its node, and its device until the last has ended', async () => {
  const { client } = control
  await client.create(resourceClaims, namespace, { metadata: { name: 'shared' }, spec: request('small') } as ResourceClaim)
  await pod('one', { resourceClaimName: 'shared' })
  await expect.poll(() => nodeOf('one'), patience).toBeDefined()
  await pod('two', { resourceClaimName: 'shared' })
  await expect.poll(() => nodeOf('two'), patience).toBe(await nodeOf('one'))
  const status = async () => (await client.get<ResourceClaim>(resourceClaims, namespace, 'shared')).status
  expect((await status())?.reservedFor?.map(r => r.name)).toEqual(['one', 'two'])
  await client.patch(pods, namespace, 'one', 'merge', { status: { phase: 'Succeeded' } }, 'status')
  await expect.poll(async () => (await status())?.reservedFor?.map(r => r.name), patience).toEqual(['two'])
  expect((await status())?.allocation).toBeDefined()
  await client.delete(pods, namespace, 'two', { gracePeriodSeconds: 0 })
  await expect.poll(async () => (await status())?.allocation, patience).toBeUndefined()
  await client.delete(resourceClaims, namespace, 'shared')
  await expect
    .poll(
      async () =>
        client.get(resourceClaims, namespace, 'shared').then(
          () => 'there',
          () => 'gone',
        ),
      patience,
    )
    .toBe('gone')
})

test('pods that come to share a claim at the same time do not trip over each other', async () => {
  const { client } = control
  await client.create(resourceClaims, namespace, { metadata: { name: 'common' }, spec: request('small') } as ResourceClaim)
  const names = ['p1', 'p2', 'p3', 'p4', 'p5']
  await Promise.all(names.map(name => pod(name, { resourceClaimName: 'common' })))
  await expect.poll(async () => (await Promise.all(names.map(nodeOf))).every(Boolean), patience).toBe(true)
  const { status } = await client.get<ResourceClaim>(resourceClaims, namespace, 'common')
  expect(status?.reservedFor?.map(r => r.name).sort()).toEqual(names)
  for (const name of names) await client.delete(pods, namespace, name, { gracePeriodSeconds: 0 })
})

test('a claim that nobody else uses gives its device back for one where its pod fits', async () => {
  const { client } = control
  const claim = await client.create(resourceClaims, namespace, { metadata: { name: 'elsewhere' }, spec: request('small') } as ResourceClaim)
  const allocation = {
    devices: { results: [{ request: 'gpu', driver, pool: 'a', device: 'g0' }] },
    nodeSelector: { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['a'] }] }] },
  }
  // As when a scheduler was killed before it bound the pod, and the node is not there for it any more.
  const given = await client.update(resourceClaims, { ...claim, status: { allocation } } as ResourceClaim, 'status')
  // What its driver says of a device goes with it.
  const devices = [{ driver, pool: 'a', device: 'g0', conditions: [] }]
  await client.update(resourceClaims, { ...given, status: { ...given.status, devices } } as ResourceClaim, 'status')
  await client.create(pods, namespace, {
    metadata: { name: 'moved' },
    spec: {
      containers: [{ name: 'c', image: 'busybox', resources: { claims: [{ name: 'gpu' }] } }],
      resourceClaims: [{ name: 'gpu', resourceClaimName: 'elsewhere' }],
      tolerations: [{ operator: 'Exists' }],
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'NotIn', values: ['a'] }] }],
          },
        },
      },
    },
  } as unknown as Pod)
  await expect.poll(() => nodeOf('moved'), patience).toBe('b')
  const { status } = await client.get<ResourceClaim>(resourceClaims, namespace, 'elsewhere')
  expect(status?.allocation?.devices?.results).toMatchObject([{ pool: 'b', device: 'g0' }])
  expect(status?.devices ?? []).toEqual([])
  await client.delete(pods, namespace, 'moved', { gracePeriodSeconds: 0 })
})

test('a claim, a class that is missing is waited for', async () => {
  await pod('early', { resourceClaimName: 'late' })
  const spec = { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'none' } }] } }
  await control.client.create(resourceClaims, namespace, { metadata: { name: 'classless' }, spec } as ResourceClaim)
  await pod('classless', { resourceClaimName: 'classless' })
  await expect.poll(() => unschedulable('classless'), patience).toContain('device class none does not exist')
  // By now the other one is waited for.
  expect(await nodeOf('early')).toBeUndefined()
  await control.client.create(resourceClaims, namespace, { metadata: { name: 'late' }, spec: request('small') } as ResourceClaim)
  await expect.poll(() => nodeOf('early'), patience).toBeDefined()
  await control.client.create(deviceClasses, '', { metadata: { name: 'none' }, spec: {} } as DeviceClass)
  await expect.poll(() => nodeOf('classless'), patience).toBeDefined()
})

test('a selector that says nothing of a device is an error, which is told', async () => {
  const exactly = { deviceClassName: 'gpu', selectors: [{ cel: { expression: 'device.attributes["nobody.example.com"].x == 1' } }] }
  const spec = { devices: { requests: [{ name: 'r', exactly }] } }
  await control.client.create(resourceClaims, namespace, { metadata: { name: 'senseless' }, spec } as ResourceClaim)
  await pod('senseless', { resourceClaimName: 'senseless' })
  await expect
    .poll(async () => (await get('senseless')).status?.conditions?.find(c => c.type === 'PodScheduled'), patience)
    .toMatchObject({
      reason: 'SchedulerError',
      message: `running "DynamicResources" filter plugin: claim ${namespace}/senseless: selector #0: CEL runtime error: no such key: x`,
    })
})
