import { expect, test } from 'vitest'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { addressAnnotation, chooseAddress, parseRange, sharingAnnotation } from '#control-plane/cloud-controller-manager/local/addresses.ts'
import { chooseNode, nodesWithEndpoints } from '#control-plane/cloud-controller-manager/local/loadbalancers.ts'
import { wantsLoadBalancer } from '#control-plane/cloud-controller-manager/service.ts'

const service = (name: string, annotations: Record<string, string> = {}, spec: object = {}): Service =>
  ({
    metadata: { name, namespace: 'ns', annotations },
    spec: { type: 'LoadBalancer', ports: [{ port: 80, protocol: 'TCP' }], ...spec },
  }) as unknown as Service
const range = parseRange('10.1.192.0/29')
const held = (by: Record<string, Service[]>): Map<string, Service[]> => new Map(Object.entries(by))

test('addresses of the pool: neither its first nor its last, from the cursor on, until all are taken', () => {
  expect(chooseAddress(service('a'), range, held({}), undefined)).toBe('10.1.192.1')
  expect(chooseAddress(service('a'), range, held({ '10.1.192.1': [service('b')] }), undefined)).toBe('10.1.192.2')
  expect(chooseAddress(service('a'), range, held({}), undefined, 6)).toBe('10.1.192.6')
  expect(chooseAddress(service('a'), range, held({ '10.1.192.6': [service('b')] }), undefined, 6)).toBe('10.1.192.1')
  const all = held(Object.fromEntries([1, 2, 3, 4, 5, 6].map(n => [`10.1.192.${n}`, [service(`s${n}`)]])))
  expect(() => chooseAddress(service('a'), range, all, undefined)).toThrow('all 6 addresses of the pool are taken')
  expect(() => parseRange('10.1.192.0')).toThrow('is no IPv4 range')
})

test('a Service keeps its address, unless it is not of the pool or somebody else has it', () => {
  expect(chooseAddress(service('a'), range, held({}), '10.1.192.5')).toBe('10.1.192.5')
  expect(chooseAddress(service('a'), range, held({}), '192.0.2.1')).toBe('10.1.192.1')
  expect(chooseAddress(service('a'), range, held({ '10.1.192.5': [service('b')] }), '10.1.192.5')).toBe('10.1.192.1')
})

test('a Service gets the address that it names, or is told why not', () => {
  const named = service('a', { [addressAnnotation]: '10.1.192.4' })
  expect(chooseAddress(named, range, held({}), '10.1.192.5')).toBe('10.1.192.4')
  expect(chooseAddress(service('a', {}, { loadBalancerIP: '10.1.192.3' }), range, held({}), undefined)).toBe('10.1.192.3')
  expect(() => chooseAddress(named, range, held({ '10.1.192.4': [service('b')] }), undefined)).toThrow(
    'address 10.1.192.4 cannot be had: it belongs to Service ns/b',
  )
  for (const ip of ['10.1.192.0', '10.1.192.7', '10.2.0.1', 'x'])
    expect(() => chooseAddress(service('a', { [addressAnnotation]: ip }), range, held({}), undefined)).toThrow(
      `address ${ip} is not in the pool 10.1.192.0/29`,
    )
})

test('Services with one sharing key share an address as long as their ports differ', () => {
  const key = { [sharingAnnotation]: 'web' }
  const https = (s: object = {}) => service('b', key, { ports: [{ port: 443, protocol: 'TCP' }], ...s })
  const first = held({ '10.1.192.1': [service('a', key)] })
  expect(chooseAddress(https(), range, first, undefined)).toBe('10.1.192.1')
  expect(chooseAddress(service('b', key, { ports: [{ port: 80, protocol: 'UDP' }] }), range, first, undefined)).toBe('10.1.192.1')
  expect(chooseAddress(service('b', key), range, first, undefined)).toBe('10.1.192.2')
  expect(chooseAddress(https({ externalTrafficPolicy: 'Local' }), range, first, undefined)).toBe('10.1.192.2')
  const elsewhere = { ...https(), metadata: { ...https().metadata, namespace: 'other' } } as Service
  expect(chooseAddress(elsewhere, range, first, undefined)).toBe('10.1.192.2')
})

test('an address stays with its node, and goes elsewhere only when that is gone', () => {
  const nodes = ['10.0.0.1', '10.0.0.2', '10.0.0.3']
  const first = chooseNode('10.1.192.1', nodes, undefined)!
  expect(chooseNode('10.1.192.1', [...nodes].reverse(), undefined)).toBe(first)
  for (const before of nodes) expect(chooseNode('10.1.192.1', nodes, before)).toBe(before)
  const others = nodes.filter(n => n !== first)
  expect(others).toContain(chooseNode('10.1.192.1', others, first))
  expect(chooseNode('10.1.192.1', [], first)).toBeUndefined()
  const spread = new Set(Array.from({ length: 50 }, (_, i) => chooseNode(`10.1.192.${i}`, nodes, undefined)))
  expect(spread.size).toBe(3)
})

test('nodes with endpoints that serve', () => {
  const slice = {
    endpoints: [
      { addresses: ['1.1.1.1'], nodeName: 'a', conditions: { ready: true } },
      { addresses: ['1.1.1.2'], nodeName: 'b', conditions: { ready: false } },
      { addresses: ['1.1.1.3'], nodeName: 'c' },
      { addresses: ['1.1.1.4'] },
    ],
  } as unknown as EndpointSlice
  expect([...nodesWithEndpoints([slice])]).toEqual(['a', 'c'])
})

test('which Services are this cloud’s', () => {
  const of = (spec: object): boolean => wantsLoadBalancer(service('a', {}, spec), 'coxswain.io/local')
  expect(of({})).toBe(true)
  expect(of({ loadBalancerClass: 'coxswain.io/local' })).toBe(true)
  expect(of({ loadBalancerClass: 'example.com/other' })).toBe(false)
  expect(of({ type: 'NodePort' })).toBe(false)
})
