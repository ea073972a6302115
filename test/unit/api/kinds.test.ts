import { describe, expect, it } from 'vitest'
import { deployment, type Deployment } from '#shared/api/apps/deployment.ts'
import { endpoints, type Endpoints } from '#shared/api/core/endpoints.ts'
import { event, type Event } from '#shared/api/core/event.ts'
import { node, type Node } from '#shared/api/core/node.ts'
import { secret, type Secret } from '#shared/api/core/secret.ts'
import { service, type Service } from '#shared/api/core/service.ts'
import { endpointSlice, type EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { KubeObject, ObjectMeta } from '#shared/api/meta/objectmeta.ts'
import { semanticEqual, validateConditions, validateObjectMeta, validateObjectMetaUpdate } from '#shared/api/meta/validation.ts'
import type { Resource, WriteContext } from '#shared/api/resource.ts'
import { resources } from '#shared/api/resources.ts'
import { Path, type FieldError } from '#shared/machinery/field.ts'
import { nameIsDNSSubdomain } from '#shared/machinery/names.ts'

const root = new Path()
const main: WriteContext = { subresource: '', dryRun: false }
const lines = (errors: FieldError[] | undefined): string[] => (errors ?? []).map(e => `${e.field}: ${e.message}`)
const cells = <T>(resource: Resource<T>, object: T): unknown[] => resource.columns!.map(c => c.cell(object))

describe('metadata', () => {
  const meta: ObjectMeta = { name: 'a', namespace: 'b', resourceVersion: '1', uid: 'u' }
  const check = (m: ObjectMeta): string[] => lines(validateObjectMeta(m, true, nameIsDNSSubdomain, new Path('metadata')))
  it('rules', () => {
    expect(check(meta)).toEqual([])
    expect(check({})).toEqual(['metadata.name: Required value: name or generateName is required', 'metadata.namespace: Required value'])
    expect(check({ ...meta, finalizers: ['mine'] })).toEqual([
      'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified',
    ])
    expect(check({ ...meta, annotations: { a: 'x'.repeat(300_000) } })).toEqual([
      'metadata.annotations: Too long: may not be more than 262144 bytes',
    ])
    const owner = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u', controller: true }
    expect(check({ ...meta, ownerReferences: [owner, { ...owner, name: 'q' }] })[0]).toContain(
      'Only one reference can have Controller set to true. Found "true" in references for Pod/p and Pod/q',
    )
    expect(check({ ...meta, managedFields: [{ operation: 'Read' }] })).toEqual([
      'metadata.managedFields[0].operation: Invalid value: "Read": must be `Apply` or `Update`',
    ])
  })
  it('changes', () => {
    const change = (m: ObjectMeta, old: ObjectMeta): string[] => lines(validateObjectMetaUpdate(m, old, new Path('metadata')))
    expect(change(meta, meta)).toEqual([])
    expect(change({ ...meta, uid: 'v' }, meta)).toEqual(['metadata.uid: Invalid value: "v": field is immutable'])
    const going = { ...meta, deletionTimestamp: '2026-01-01T00:00:00Z' }
    expect(change({ ...going, finalizers: ['x.y/z'] }, going)).toEqual([
      'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"x.y/z"}',
    ])
  })
  it('absent and empty are one', () => {
    expect(semanticEqual({ a: [], b: { c: 1 } }, { b: { c: 1 }, d: null })).toBe(true)
    expect(semanticEqual([1, 2], [2, 1])).toBe(false)
  })
  it('conditions', () => {
    const c = { type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z', reason: 'Fine', message: '' }
    expect(validateConditions([c], new Path('c'))).toEqual([])
    expect(lines(validateConditions([c, { ...c, status: 'Yes', reason: '' }], new Path('c')))).toEqual([
      'c[1].type: Duplicate value: "Ready"',
      'c[1].status: Unsupported value: "Yes": supported values: "False", "True", "Unknown"',
      'c[1].reason: Required value',
    ])
  })
})

describe('Service', () => {
  const make = (spec: Partial<Service['spec']>): Service => {
    const s: Service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 's', namespace: 'd' },
      spec: { ports: [{ port: 80 }], ...spec } as Service['spec'],
    }
    service.prepareForCreate?.(s, main)
    service.defaults?.(s)
    return s
  }
  const update = (old: Service, change: (spec: Service['spec']) => void): Service => {
    const s = structuredClone(old)
    change(s.spec)
    service.defaults?.(s)
    service.prepareForUpdate?.(s, old, main)
    return s
  }

  it('defaults', () => {
    expect(make({}).spec).toEqual({
      ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
      sessionAffinity: 'None',
      type: 'ClusterIP',
      internalTrafficPolicy: 'Cluster',
    })
    expect(make({ type: 'LoadBalancer' }).spec).toMatchObject({ externalTrafficPolicy: 'Cluster', allocateLoadBalancerNodePorts: true })
    expect(make({ clusterIP: 'None' }).spec.clusterIPs).toEqual(['None'])
  })
  it('what was allocated stays when it is left out', () => {
    const old = make({ type: 'NodePort', clusterIP: '10.0.0.9', ports: [{ port: 80, nodePort: 30080 }] })
    const now = update(old, spec => {
      delete spec.clusterIP
      delete spec.clusterIPs
      spec.ports = [
        { port: 80, targetPort: 'web' },
        { port: 81, name: 'b' },
      ]
    })
    expect(now.spec).toMatchObject({
      clusterIP: '10.0.0.9',
      clusterIPs: ['10.0.0.9'],
      ports: [{ port: 80, nodePort: 30080 }, { port: 81 }],
    })
    expect(now.spec.ports![1]!.nodePort).toBeUndefined()
  })
  it('another type clears what only the former needed', () => {
    const old = make({ type: 'NodePort', clusterIP: '10.0.0.9', ports: [{ port: 80, nodePort: 30080 }] })
    const internal = update(old, spec => void (spec.type = 'ClusterIP'))
    expect(internal.spec.ports![0]!.nodePort).toBeUndefined()
    expect(internal.spec.externalTrafficPolicy).toBeUndefined()
    expect(lines(service.validate?.(internal, root))).toEqual([])
    const external = update(old, spec => Object.assign(spec, { type: 'ExternalName', externalName: 'db.example.com' }))
    expect(external.spec.clusterIPs).toBeUndefined()
    expect(lines(service.validateUpdate?.(external, old, root, main))).toEqual([])
  })
  it('the address may not change', () => {
    const old = make({ clusterIP: '10.0.0.9' })
    const now = update(old, spec => void (spec.clusterIP = '10.0.0.10'))
    expect(lines(service.validateUpdate?.(now, old, root, main))).toEqual([
      'spec.clusterIPs[0]: Invalid value: ["10.0.0.10"]: may not change once set',
    ])
  })
  it('tables', () => {
    const s = make({ type: 'LoadBalancer', clusterIP: '10.0.0.9', ports: [{ port: 80, nodePort: 30080 }], selector: { app: 'x' } })
    expect(cells(service, s)).toEqual(['s', 'LoadBalancer', '10.0.0.9', '<pending>', '80:30080/TCP', '<unknown>', 'app=x'])
  })
})

describe('Event', () => {
  const stored: Event = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'e', namespace: 'd' },
    involvedObject: { kind: 'Pod', name: 'p', namespace: 'd' },
    reason: 'Started',
    message: 'm',
    count: 2,
    source: { component: 'kubelet', host: 'n' },
    reportingComponent: 'kubelet',
    lastTimestamp: '2026-01-01T00:00:00Z',
  }
  it('has two forms', () => {
    const alternate = event.versions![1]!
    const other = (alternate.conversion!.fromHub([stored]) as readonly KubeObject[])[0]!
    expect(other).toMatchObject({
      apiVersion: 'events.k8s.io/v1',
      regarding: { name: 'p' },
      note: 'm',
      deprecatedCount: 2,
      deprecatedSource: { host: 'n' },
      reportingController: 'kubelet',
    })
    expect((alternate.conversion!.toHub([other]) as readonly Event[])[0]).toEqual(stored)
    expect(alternate.fields!['regarding.name']!(other)).toBe('p')
  })
  it('is printed with what happened last first', () => {
    expect(cells(event, stored).slice(1, 7)).toEqual(['', 'Started', 'pod/p', '', 'kubelet, n', 'm'])
  })
})

it('Secret: plain text becomes data', () => {
  const s: Secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, data: { a: 'YQ==' }, stringData: { b: 'ü' } }
  secret.defaults?.(s)
  expect(s).toMatchObject({ type: 'Opaque', data: { a: 'YQ==', b: 'w7w=' } })
  expect(s.stringData).toBeUndefined()
  expect(lines(secret.validateUpdate?.({ ...s, data: {} }, { ...s, immutable: true }, root, main))).toEqual([
    'immutable: Forbidden: field is immutable when `immutable` is set',
    'data: Forbidden: field is immutable when `immutable` is set',
  ])
})

it('Node: pod ranges, taints and columns', () => {
  const n: Node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n', labels: { 'node-role.kubernetes.io/control-plane': '' } },
    spec: {
      podCIDR: '10.0.0.0/24',
      unschedulable: true,
      taints: [
        { key: 'k', effect: 'NoSchedule' },
        { key: 'k', effect: 'NoSchedule' },
        { key: 'k', effect: 'Never' },
      ],
    },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  }
  node.defaults?.(n)
  expect(n.spec.podCIDRs).toEqual(['10.0.0.0/24'])
  expect(lines(node.validate?.(n, root)).map(l => l.split(': ').slice(0, 2).join(': '))).toEqual([
    'metadata.taints[1]: Duplicate value',
    'metadata.taints[2].effect: Unsupported value',
  ])
  expect(cells(node, n).slice(0, 4)).toEqual(['n', 'Ready,SchedulingDisabled', 'control-plane', '<unknown>'])
  expect(lines(node.validateUpdate?.({ ...n, spec: {} }, n, root, main))).toEqual([
    'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
  ])
})

it('Endpoints and EndpointSlice: tables and rules', () => {
  const e: Endpoints = {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { name: 'e' },
    subsets: [{ addresses: ['1', '2', '3', '4'].map(i => ({ ip: `10.0.0.${i}` })), ports: [{ port: 80, protocol: 'TCP' }] }],
  }
  expect(cells(endpoints, e)[1]).toBe('10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more...')
  expect(endpoints.validate?.(e, root)).toEqual([])
  const slice: EndpointSlice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 's' },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['::1'] }, { addresses: [] }],
    ports: [{}],
  }
  endpointSlice.defaults?.(slice)
  expect(slice.ports).toEqual([{ name: '', protocol: 'TCP' }])
  expect(cells(endpointSlice, slice).slice(0, 4)).toEqual(['s', 'IPv4', '<unset>', '::1'])
  expect(lines(endpointSlice.validate?.(slice, root))).toEqual([
    'endpoints[0].addresses[0]: Invalid value: "::1": must be an IPv4 address',
    'endpoints[0].addresses[0]: Invalid value: "::1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    'endpoints[1].addresses: Required value: must contain at least 1 address',
  ])
})

it('Deployment: status and scale', () => {
  const d = {
    spec: { replicas: 3, selector: { matchLabels: { app: 'x' } } },
    status: { replicas: 1, readyReplicas: 2, availableReplicas: 3, collisionCount: 1 },
  } as unknown as Deployment
  const old = structuredClone(d)
  old.status!.collisionCount = 2
  expect(lines(deployment.validateUpdate?.(d, old, root, { subresource: 'status', dryRun: false }))).toEqual([
    'status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas',
    'status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas',
    'status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas',
    'status.collisionCount: Invalid value: 1: cannot be decremented',
  ])
  deployment.scale?.set(d, 5)
  expect([deployment.scale?.replicas(d), deployment.scale?.selector(d)]).toEqual([5, 'app=x'])
})

it('who has a status shows it in discovery', () => {
  expect(resources.filter(r => (r.hasStatus ?? false) !== (r.subresources?.['status'] !== undefined)).map(r => r.plural)).toEqual([])
})
