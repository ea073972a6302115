import { afterAll, beforeAll, expect, test } from 'vitest'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { endpoints, endpointSlices, events, nodes, pods, services } from '#shared/api/kinds.ts'
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

const slicesOf = async (ns: string, service: string): Promise<EndpointSlice[]> =>
  (await c.client.list(endpointSlices, ns, { labelSelector: `kubernetes.io/service-name=${service}` })).items
const untilSlices = (what: string, ns: string, service: string, look: (slices: EndpointSlice[]) => boolean) =>
  until(what, async () => {
    const slices = await slicesOf(ns, service)
    return look(slices) && slices
  })
const addressesOf = (slices: readonly EndpointSlice[]) => slices.flatMap(s => (s.endpoints ?? []).flatMap(e => e.addresses))

test('a Service with more than a hundred ports has endpoints', async () => {
  const ns = await c.namespace('ports')
  await c.client.create(pods, ns, {
    metadata: { name: 'web', labels: { a: 'web' } },
    spec: { containers: [{ name: 'c', image: 'i' }] },
  } as never)
  const ports = Array.from({ length: 250 }, (_, i) => ({ name: `p${i}`, port: 1000 + i, targetPort: 80 }))
  await c.client.create(services, ns, { metadata: { name: 'many' }, spec: { selector: { a: 'web' }, ports } } as never)
  const slices = await untilSlices('an endpoint', ns, 'many', s => addressesOf(s).length === 1)
  expect(slices.find(s => addressesOf([s]).length > 0)!.ports).toHaveLength(250)
})

test('a Service keeps its slice when endpoints come and go; one that is made again has a slice of its own', async () => {
  const ns = await c.namespace('again')
  const make = () =>
    c.client.create(services, ns, { metadata: { name: 'web' }, spec: { selector: { a: 'web' }, ports: [{ port: 80 }] } } as never)
  await make()
  const [empty] = await untilSlices('a slice without endpoints', ns, 'web', s => s.length === 1)
  await c.client.create(pods, ns, {
    metadata: { name: 'web', labels: { a: 'web' } },
    spec: { containers: [{ name: 'c', image: 'i' }] },
  } as never)
  const [full] = await untilSlices('an endpoint', ns, 'web', s => addressesOf(s).length === 1)
  expect(full).toMatchObject({ metadata: { name: empty!.metadata.name }, ports: [{ port: 80 }] })
  // Its slice is still there: nobody has deleted it yet.
  await c.client.patch(endpointSlices, ns, full!.metadata.name!, 'merge', { metadata: { finalizers: ['test/stays'] } })
  await c.client.delete(services, ns, 'web')
  const { metadata } = await make()
  const [next] = await untilSlices('a slice of the new one', ns, 'web', s => s.some(x => x.metadata.name !== full!.metadata.name)).then(s =>
    s.filter(x => x.metadata.name !== full!.metadata.name),
  )
  expect(next!.metadata.ownerReferences).toMatchObject([{ uid: metadata.uid }])
  expect(addressesOf([next!])).toHaveLength(1)
  await c.client.patch(endpointSlices, ns, full!.metadata.name!, 'merge', { metadata: { finalizers: null } })
})

test('Endpoints made by hand for a Service without selector are mirrored, and their slices follow them', async () => {
  const ns = await c.namespace('mirror')
  await c.client.create(services, ns, { metadata: { name: 'manual' }, spec: { ports: [{ port: 80 }] } } as never)
  const made = await c.client.create(endpoints, ns, {
    metadata: {
      name: 'manual',
      labels: { tier: 'db' },
      annotations: { note: 'n', 'endpoints.kubernetes.io/last-change-trigger-time': 'x' },
    },
    subsets: [
      { addresses: [{ ip: '10.1.0.1', hostname: 'one' }], notReadyAddresses: [{ ip: '10.1.0.2' }], ports: [{ port: 80 }] },
      { addresses: [{ ip: 'fd00::1' }], ports: [{ port: 80 }] },
    ],
  } as never)
  const both = await untilSlices('two slices', ns, 'manual', s => s.length === 2)
  const v4 = both.find(s => s.addressType === 'IPv4')!
  expect(v4.metadata).toMatchObject({
    labels: {
      tier: 'db',
      'kubernetes.io/service-name': 'manual',
      'endpointslice.kubernetes.io/managed-by': 'endpointslicemirroring-controller.k8s.io',
    },
    annotations: { note: 'n' },
    ownerReferences: [{ apiVersion: 'v1', kind: 'Endpoints', name: 'manual', uid: made.metadata.uid, controller: true }],
  })
  expect(v4.metadata.annotations).toEqual({ note: 'n' })
  expect(v4.ports).toEqual([{ name: '', port: 80, protocol: 'TCP' }])
  expect(v4.endpoints).toEqual([
    { addresses: ['10.1.0.1'], conditions: { ready: true }, hostname: 'one' },
    { addresses: ['10.1.0.2'], conditions: { ready: false } },
  ])
  expect(both.find(s => s.addressType === 'IPv6')!.endpoints!.map(e => e.addresses)).toEqual([['fd00::1']])

  // Another port: the slice stays and becomes another; the family that is gone goes.
  await c.client.patch(endpoints, ns, 'manual', 'merge', { subsets: [{ addresses: [{ ip: '10.1.0.9' }], ports: [{ port: 81 }] }] })
  const [moved] = await untilSlices('the new port', ns, 'manual', s => s.length === 1 && s[0]!.ports?.[0]?.port === 81)
  expect([moved!.metadata.name, addressesOf([moved!])]).toEqual([v4.metadata.name, ['10.1.0.9']])

  // What somebody does to a slice is undone.
  await c.client.delete(endpointSlices, ns, moved!.metadata.name!)
  await untilSlices('the slice to be made again', ns, 'manual', s => s.length === 1 && s[0]!.metadata.uid !== moved!.metadata.uid)

  await c.client.patch(endpoints, ns, 'manual', 'merge', { metadata: { labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } } })
  await untilSlices('the slice to go with the label', ns, 'manual', s => s.length === 0)
  await c.client.patch(endpoints, ns, 'manual', 'merge', { metadata: { labels: { 'endpointslice.kubernetes.io/skip-mirror': null } } })
  await untilSlices('the slice to come back', ns, 'manual', s => s.length === 1)
  await c.client.patch(endpoints, ns, 'manual', 'merge', {
    metadata: { annotations: { 'control-plane.alpha.kubernetes.io/leader': '{}' } },
  })
  await untilSlices('the slice to go with the leader annotation', ns, 'manual', s => s.length === 0)
  await c.client.patch(endpoints, ns, 'manual', 'merge', {
    metadata: { annotations: { 'control-plane.alpha.kubernetes.io/leader': null } },
  })
  await untilSlices('the slice to come back', ns, 'manual', s => s.length === 1)
  await c.client.delete(endpoints, ns, 'manual')
  await untilSlices('the slice to go with its Endpoints', ns, 'manual', s => s.length === 0)
})

test('Endpoints that are made again have slices of their own, whatever becomes of those before', async () => {
  const ns = await c.namespace('mirrored-again')
  await c.client.create(services, ns, { metadata: { name: 'manual' }, spec: { ports: [{ port: 80 }] } } as never)
  const make = () =>
    c.client.create(endpoints, ns, {
      metadata: { name: 'manual' },
      subsets: [{ addresses: [{ ip: '10.1.0.1' }], ports: [{ port: 80 }] }],
    } as never)
  await make()
  const [before] = await untilSlices('the mirror', ns, 'manual', s => s.length === 1)
  const name = before!.metadata.name!
  await c.client.patch(endpointSlices, ns, name, 'merge', { metadata: { finalizers: ['test/stays'] } })
  await c.client.delete(endpoints, ns, 'manual')
  const { metadata } = await make()
  const slices = await untilSlices('another slice', ns, 'manual', s => s.length === 2)
  const [next] = slices.filter(s => s.metadata.name !== name)
  expect(next!.metadata.ownerReferences).toMatchObject([{ kind: 'Endpoints', uid: metadata.uid }])
  await c.client.patch(endpointSlices, ns, name, 'merge', { metadata: { finalizers: null } })
})

test('a Service that gets a selector takes its slices over; one that loses it leaves them to be mirrored', async () => {
  const ns = await c.namespace('selector')
  const manager = (slices: EndpointSlice[]) =>
    [...new Set(slices.map(s => s.metadata.labels?.['endpointslice.kubernetes.io/managed-by']))].join()
  await c.client.create(services, ns, { metadata: { name: 'svc' }, spec: { ports: [{ port: 80 }] } } as never)
  await c.client.create(endpoints, ns, {
    metadata: { name: 'svc' },
    subsets: [{ addresses: [{ ip: '10.1.0.1' }], ports: [{ port: 80 }] }],
  } as never)
  await untilSlices('the mirror', ns, 'svc', s => manager(s) === 'endpointslicemirroring-controller.k8s.io')
  await c.client.patch(services, ns, 'svc', 'merge', { spec: { selector: { a: 'b' } } })
  await untilSlices('the other controller', ns, 'svc', s => manager(s) === 'endpointslice-controller.k8s.io')
  await c.client.delete(services, ns, 'svc')
  await untilSlices('nothing', ns, 'svc', s => s.length === 0)
})

test('a thousand addresses of a subset are mirrored, and an event says that there are more', async () => {
  const ns = await c.namespace('large')
  await c.client.create(services, ns, { metadata: { name: 'large' }, spec: { ports: [{ port: 80 }] } } as never)
  const address = (i: number) => ({ ip: `10.2.${Math.floor(i / 250)}.${1 + (i % 250)}` })
  const addresses = Array.from({ length: 900 }, (_, i) => address(i))
  const notReadyAddresses = Array.from({ length: 150 }, (_, i) => address(900 + i))
  await c.client.create(endpoints, ns, {
    metadata: { name: 'large' },
    subsets: [{ addresses, notReadyAddresses, ports: [{ port: 80 }] }],
  } as never)
  const slices = await untilSlices('the slice', ns, 'large', s => addressesOf(s).length > 0)
  expect(slices).toHaveLength(1)
  expect(slices[0]!.endpoints!.filter(e => e.conditions!.ready)).toHaveLength(900)
  expect(slices[0]!.endpoints).toHaveLength(1000)
  const event = await until('the event', async () =>
    (await c.client.list(events, ns)).items.find(e => e.reason === 'TooManyAddressesToMirror'),
  )
  expect(event.message).toBe('A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 50 addresses were skipped')
})

test('topology mode Auto: hints begin and end with a word about it', async () => {
  const ns = await c.namespace('hints')
  const other = await startNode(c.client, 'node-2', { labels: { 'topology.kubernetes.io/zone': 'b' }, binds: false })
  await c.client.patch(nodes, '', 'node-1', 'merge', { metadata: { labels: { 'topology.kubernetes.io/zone': 'a' } } })
  for (const name of ['node-1', 'node-2']) {
    await c.client.patch(nodes, '', name, 'merge', { status: { allocatable: { cpu: '1' } } }, 'status')
    const spec = { nodeName: name, containers: [{ name: 'c', image: 'i' }] }
    await c.client.create(pods, ns, { metadata: { name, labels: { a: 'web' } }, spec } as never)
  }
  const annotations = { 'service.kubernetes.io/topology-mode': 'Auto' }
  const spec = { selector: { a: 'web' }, ports: [{ port: 80 }] }
  await c.client.create(services, ns, { metadata: { name: 'web', annotations }, spec } as never)
  const zones = (slices: EndpointSlice[]) =>
    slices
      .flatMap(s => (s.endpoints ?? []).flatMap(e => e.hints?.forZones?.map(z => z.name) ?? []))
      .sort()
      .join()
  const told = (message: string) =>
    until(message, async () => (await c.client.list(events, ns)).items.find(e => e.involvedObject.name === 'web' && e.message === message))
  await untilSlices('hints', ns, 'web', s => zones(s) === 'a,b')
  expect(await told('Topology Aware Hints has been enabled, addressType: IPv4')).toMatchObject({ type: 'Normal' })
  await c.client.patch(services, ns, 'web', 'merge', { metadata: { annotations: null } })
  await untilSlices('no hints', ns, 'web', s => addressesOf(s).length === 2 && zones(s) === '')
  expect(await told('Topology Aware Hints has been disabled, addressType: IPv4')).toMatchObject({
    type: 'Warning',
    reason: 'TopologyAwareHintsDisabled',
  })
  other.stop()
})
