import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { Endpoint, EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { addressTypes, mayServe, selectsPod, targetPort } from '#control-plane/controller-manager/endpoints/backends.ts'
import { backends } from '#control-plane/controller-manager/endpoints/endpoints.ts'
import { changes, endpointOf, groupByPorts, newSlice, portsOf, type PortGroup } from '#control-plane/controller-manager/endpoints/slices.ts'
import { allocations, distributed, topologyAware } from '#control-plane/controller-manager/endpoints/hints.ts'
import { repack, truncate, unpack } from '#control-plane/controller-manager/endpoints/subsets.ts'

const pod = (
  name: string,
  over: {
    ready?: boolean
    deleting?: boolean
    phase?: string
    ip?: string
    ports?: { name: string; containerPort: number; protocol?: string }[]
  } = {},
): Pod =>
  ({
    metadata: {
      name,
      namespace: 'ns',
      uid: `u-${name}`,
      labels: { app: 'web' },
      ...(over.deleting ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    },
    spec: { nodeName: 'n1', containers: [{ name: 'c', ports: over.ports ?? [{ name: 'http', containerPort: 8080 }] }] },
    status: {
      phase: over.phase ?? 'Running',
      podIP: over.ip ?? '10.0.0.1',
      conditions: [{ type: 'Ready', status: over.ready === false ? 'False' : 'True' }],
    },
  }) as unknown as Pod
const service = (spec: object = {}): Service =>
  ({
    metadata: { name: 'web', namespace: 'ns', uid: 's', labels: { tier: 'front' } },
    spec: {
      clusterIP: '10.96.0.1',
      selector: { app: 'web' },
      ipFamilies: ['IPv4'],
      ports: [{ name: 'http', port: 80, targetPort: 'http', protocol: 'TCP' }],
      ...spec,
    },
  }) as unknown as Service

test('which pods a service has, and which of them may serve', () => {
  expect(selectsPod(service(), { app: 'web', x: 'y' })).toBe(true)
  expect(selectsPod(service(), { app: 'db' })).toBe(false)
  expect(selectsPod(service({ selector: undefined }), { app: 'web' })).toBe(false)
  expect(selectsPod(service({ type: 'ExternalName' }), { app: 'web' })).toBe(false)
  expect(mayServe(pod('a', { phase: 'Succeeded' }), true)).toBe(false)
  expect(mayServe(pod('a', { ip: '' }), true)).toBe(false)
  expect([mayServe(pod('a', { deleting: true }), true), mayServe(pod('a', { deleting: true }), false)]).toEqual([true, false])
  expect(addressTypes(service({ ipFamilies: undefined }))).toEqual(['IPv4'])
})

test('ports by number and by name and protocol', () => {
  const p = pod('a', {
    ports: [
      { name: 'x', containerPort: 53, protocol: 'UDP' },
      { name: 'x', containerPort: 54 },
    ],
  })
  expect(targetPort(p, { port: 80, targetPort: 'x', protocol: 'UDP' })).toBe(53)
  expect(targetPort(p, { port: 80, targetPort: 'x' })).toBe(54)
  expect(targetPort(p, { port: 80, targetPort: 'y' })).toBeUndefined()
  expect(targetPort(p, { port: 80, targetPort: 99 })).toBe(99)
  expect(targetPort(p, { port: 80 })).toBe(80)
})

test('conditions of an endpoint', () => {
  const node = { metadata: { labels: { 'topology.kubernetes.io/zone': 'z' } } } as unknown as Node
  const of = (p: Pod, spec = {}) => endpointOf(p, service(spec), node, 'IPv4').conditions
  expect(of(pod('a'))).toEqual({ ready: true, serving: true, terminating: false })
  expect(of(pod('a', { ready: false }))).toEqual({ ready: false, serving: false, terminating: false })
  expect(of(pod('a', { deleting: true }))).toEqual({ ready: false, serving: true, terminating: true })
  expect(of(pod('a', { ready: false, deleting: true }), { publishNotReadyAddresses: true })).toEqual({
    ready: true,
    serving: false,
    terminating: true,
  })
  expect(endpointOf(pod('a'), service(), node, 'IPv4')).toMatchObject({
    addresses: ['10.0.0.1'],
    nodeName: 'n1',
    zone: 'z',
    targetRef: { kind: 'Pod', namespace: 'ns', name: 'a', uid: 'u-a' },
  })
})

test('subsets group ports that have the same addresses; not ready outweighs ready', () => {
  const at = (ip: string) => ({ ip })
  const [http, https] = [
    { name: 'http', port: 80, protocol: 'TCP' as const },
    { name: 'https', port: 443, protocol: 'TCP' as const },
  ]
  const same = [
    { addresses: [at('10.0.0.2'), at('10.0.0.1')], ports: [http] },
    { addresses: [at('10.0.0.1'), at('10.0.0.2')], ports: [https] },
  ]
  expect(repack(unpack(same))).toEqual([{ addresses: [at('10.0.0.1'), at('10.0.0.2')], ports: [http, https] }])
  const different = [
    { addresses: [at('10.0.0.1'), at('10.0.0.2')], ports: [http] },
    { addresses: [at('10.0.0.1')], ports: [https] },
  ]
  expect(repack(unpack(different))).toEqual(different)
  const torn = [
    { addresses: [at('10.0.0.1')], ports: [http] },
    { notReadyAddresses: [at('10.0.0.1')], ports: [http] },
  ]
  expect(repack(unpack(torn))).toEqual([torn[1]])
  expect(repack(unpack([{ addresses: [at('10.0.0.1')] }]))).toEqual([{ addresses: [at('10.0.0.1')] }])
})

const endpoint = (id: number, ready = true): Endpoint => ({
  addresses: [`10.0.0.${id}`],
  conditions: { ready },
  targetRef: { kind: 'Pod', name: `p${id}`, uid: `u${id}`, namespace: 'ns' },
})
const ports = (n: number) => [{ name: '', protocol: 'TCP', port: n }]
let names = 0
const stored = (g: PortGroup): EndpointSlice =>
  ({ ...newSlice(service(), 'IPv4', g, ''), metadata: { name: `s${names++}` } }) as EndpointSlice

test('slices end up with exactly the wanted endpoints, none too large, and a second look changes nothing', () => {
  const wanted = fc.array(
    fc.record({
      port: fc.constantFrom(80, 81),
      ids: fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 12 }),
      ready: fc.boolean(),
    }),
    { maxLength: 3 },
  )
  fc.assert(
    fc.property(fc.array(wanted, { minLength: 1, maxLength: 4 }), rounds => {
      let slices: EndpointSlice[] = []
      const step = (groups: PortGroup[]) => {
        const c = changes(slices, groups, 4)
        slices = slices
          .filter(s => !c.delete.includes(s))
          .map(s => {
            const { ports, endpoints } = c.update.find(u => u.slice === s) ?? s
            return { ...s, ports, endpoints }
          })
        slices.push(...c.create.map(stored))
        return c.create.length + c.update.length + c.delete.length
      }
      for (const round of rounds) {
        const items = round.flatMap(({ port, ids, ready }) => ids.map(id => ({ ports: ports(port), endpoint: endpoint(id, ready) })))
        const unique = [...new Map(items.map(i => [`${i.ports[0]!.port} ${i.endpoint.addresses[0]}`, i])).values()]
        const groups = groupByPorts(unique)
        step(groups)
        const shown = slices
          .flatMap(s => (s.endpoints ?? []).map(e => `${s.ports![0]!.port} ${e.addresses[0]} ${e.conditions!.ready}`))
          .sort()
        expect(shown).toEqual(unique.map(i => `${i.ports[0]!.port} ${i.endpoint.addresses[0]} ${i.endpoint.conditions!.ready}`).sort())
        expect(slices.every(s => (s.endpoints ?? []).length <= 4)).toBe(true)
        expect(slices.length).toBeGreaterThan(0)
        expect(step(groups)).toBe(0)
      }
    }),
  )
})

test('one more endpoint goes to a slice with room; others are left alone', () => {
  const full = stored({ ports: ports(80), endpoints: [1, 2, 3, 4].map(i => endpoint(i)) })
  const half = stored({ ports: ports(80), endpoints: [5, 6].map(i => endpoint(i)) })
  const c = changes([full, half], [{ ports: ports(80), endpoints: [1, 2, 3, 4, 5, 6, 7].map(i => endpoint(i)) }], 4)
  expect(c).toMatchObject({ create: [], delete: [], update: [{ slice: { metadata: half.metadata } }] })
  expect(c.update[0]!.endpoints).toHaveLength(3)
})

test('many more endpoints go to the fullest slice with room for all of them, else to a new one', () => {
  const of = (...ids: number[]) => stored({ ports: ports(80), endpoints: ids.map(i => endpoint(i)) })
  const slices = [of(1), of(2, 3), of(4, 5, 6)]
  const change = (last: number) =>
    changes(slices, [{ ports: ports(80), endpoints: Array.from({ length: last }, (_, i) => endpoint(i + 1)) }], 4)
  expect(change(8)).toMatchObject({ create: [], delete: [], update: [{ slice: { metadata: slices[1]!.metadata } }] })
  expect(change(10)).toMatchObject({ update: [], delete: [], create: [{ endpoints: { length: 4 } }] })
})

test('a slice that is not needed any more becomes a new one: the first endpoints, other ports, none left', () => {
  const empty = stored({ ports: [], endpoints: [] })
  const first = { ports: ports(80), endpoints: [endpoint(1)] }
  expect(changes([empty], [first])).toEqual({ create: [], delete: [], update: [{ slice: empty, ...first }] })
  const slice = stored(first)
  const moved = { ports: ports(81), endpoints: [endpoint(1)] }
  expect(changes([slice], [moved])).toEqual({ create: [], delete: [], update: [{ slice, ...moved }] })
  expect(changes([slice], [])).toEqual({ create: [], delete: [], update: [{ slice, ports: [], endpoints: [] }] })
})

test('a slice is labelled and owned', () => {
  const slice = newSlice(
    service({ clusterIP: 'None' }),
    'IPv4',
    { ports: portsOf(pod('a'), service()), endpoints: [] },
    '2026-01-01T00:00:00Z',
  )
  expect(slice.metadata).toMatchObject({
    generateName: 'web-',
    labels: {
      tier: 'front',
      'kubernetes.io/service-name': 'web',
      'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      'service.kubernetes.io/headless': '',
    },
    annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:00Z' },
    ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name: 'web', uid: 's', controller: true, blockOwnerDeletion: true }],
  })
  expect(slice.ports).toEqual([{ name: 'http', protocol: 'TCP', port: 8080 }])
})

test('subsets gather addresses with equal ports, sorted, ready ones apart', () => {
  const two = service({
    ports: [
      { name: 'b', port: 81, targetPort: 8081 },
      { name: 'a', port: 80, targetPort: 8080 },
    ],
  })
  const members = [pod('z', { ip: '10.0.0.9' }), pod('y', { ip: '10.0.0.2' }), pod('x', { ip: '10.0.0.3', ready: false })]
  const subsets = repack(backends(two, members))
  expect(subsets).toMatchObject([
    {
      addresses: [{ ip: '10.0.0.2', nodeName: 'n1' }, { ip: '10.0.0.9' }],
      notReadyAddresses: [{ ip: '10.0.0.3' }],
      ports: [
        { name: 'a', port: 8080 },
        { name: 'b', port: 8081 },
      ],
    },
  ])
  expect(repack(backends(two, [...members].reverse()))).toEqual(subsets)
  expect(truncate(subsets, 2)).toMatchObject({ cut: true, subsets: [{ addresses: [{ ip: '10.0.0.2' }, { ip: '10.0.0.9' }] }] })
  expect(repack(backends(service({ clusterIP: 'None', ports: [] }), [pod('a')]))).toMatchObject([{ addresses: [{ ip: '10.0.0.1' }] }])
})

const nodeIn = (zone: string | undefined, cpu: string, ready = 'True'): Node =>
  ({
    metadata: { name: `n-${zone}`, labels: zone === undefined ? {} : { 'topology.kubernetes.io/zone': zone } },
    status: { allocatable: { cpu }, conditions: [{ type: 'Ready', status: ready }] },
  }) as unknown as Node
const inZone = (ip: string, zone: string | undefined, ready = true): Endpoint => ({
  addresses: [ip],
  conditions: { ready },
  nodeName: `n-${zone}`,
  ...(zone === undefined ? {} : { zone }),
})

test('trafficDistribution: ready endpoints are for their zone, or for their node, too', () => {
  const [a, b, dead] = [inZone('10.0.0.1', 'a'), inZone('10.0.0.2', undefined), inZone('10.0.0.3', 'a', false)]
  const hints = (distribution: string | undefined) => distributed([a, b, { ...dead, hints: {} }], distribution).map(e => e.hints)
  for (const close of ['PreferClose', 'PreferSameZone']) expect(hints(close)).toEqual([{ forZones: [{ name: 'a' }] }, undefined, undefined])
  expect(hints('PreferSameNode')).toEqual([
    { forZones: [{ name: 'a' }], forNodes: [{ name: 'n-a' }] },
    { forNodes: [{ name: 'n-undefined' }] },
    undefined,
  ])
  expect(hints(undefined)).toEqual([undefined, undefined, undefined])
})

test('topology mode Auto: why there are no hints, in upstream’s words', () => {
  const two = [nodeIn('a', '2'), nodeIn('b', '2')]
  expect(allocations([nodeIn('a', '2')], 5)).toMatch(/^Insufficient Node information/)
  expect(allocations([...two, nodeIn(undefined, '2')], 5)).toMatch(/^Insufficient Node information/)
  expect(allocations([...two, nodeIn(undefined, '2', 'False')], 4)).toBeInstanceOf(Map)
  expect(allocations(two, 1)).toBe('Insufficient number of endpoints (1 endpoints, 2 zones)')
  expect(allocations([nodeIn('a', '10'), nodeIn('b', '1')], 2)).toMatch(/^Unable to allocate minimum required endpoints/)
  const { disabled } = topologyAware([inZone('10.0.0.1', 'a'), inZone('10.0.0.2', undefined)], new Map(), e => e.addresses[0]!, two)
  expect(disabled).toBe('One or more endpoints do not have a zone specified')
})

test('topology mode Auto: every zone has its share, and hints stay when an endpoint comes or goes', () => {
  const nodes = [nodeIn('a', '4'), nodeIn('b', '4')]
  const key = (e: Endpoint): string => e.addresses[0]!
  const count = (all: readonly Endpoint[]) => {
    const zones = all.filter(e => e.conditions?.ready).map(e => e.hints!.forZones![0]!.name)
    return ['a', 'b'].map(zone => zones.filter(z => z === zone).length)
  }
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 40 }), fc.integer({ min: 0, max: 40 }), fc.nat(), (inA, inB, which) => {
      const all = [...Array(inA).keys()]
        .map(i => inZone(`10.0.0.${i}`, 'a'))
        .concat([...Array(inB).keys()].map(i => inZone(`10.0.1.${i}`, 'b')))
      const first = topologyAware(all, new Map(), key, nodes)
      if (first.disabled !== undefined) return
      const enough = (n: number, total: number) => n >= Math.ceil(total / 2 / 1.2)
      expect(count(first.endpoints).every(n => enough(n, all.length))).toBe(true)
      const before = new Map(first.endpoints.map(e => [key(e), e]))
      expect(topologyAware(all, before, key, nodes).endpoints).toEqual(first.endpoints)
      const fewer = all.filter((_, i) => i !== which % all.length)
      const then = topologyAware(fewer, before, key, nodes)
      if (then.disabled === undefined) expect(count(then.endpoints).every(n => enough(n, fewer.length))).toBe(true)
    }),
  )
})
