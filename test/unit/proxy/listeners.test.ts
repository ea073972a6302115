import { describe, expect, test } from 'vitest'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { Service } from '#shared/api/core/service.ts'
import { mergeListeners, serviceListeners, type Target } from '#node-agent/proxy/userspace/listeners.ts'
import { order, remember, type Affinity } from '#node-agent/proxy/userspace/relay.ts'

const options = { nodeName: 'n1', nodeAddresses: ['192.0.2.5', '127.0.0.1'] }
const service = (spec: object, name = 'web', status = {}): Service =>
  ({
    metadata: { name, namespace: 'ns' },
    spec: { clusterIP: '127.32.0.9', ports: [{ name: 'http', port: 80, protocol: 'TCP' }], ...spec },
    status,
  }) as unknown as Service
const slice = (...endpoints: object[]): EndpointSlice =>
  ({ metadata: {}, addressType: 'IPv4', ports: [{ name: 'http', protocol: 'TCP', port: 8080 }], endpoints }) as unknown as EndpointSlice
const at = (ip: string, nodeName = 'n1') => ({ addresses: [ip], nodeName })
const places = (of: Service, ...slices: EndpointSlice[]) =>
  serviceListeners(of, slices, options).listeners.map(l => [
    `${l.address}:${l.port}`,
    l.targets.map(t => t.ip).join(),
    l.remoteTargets?.map(t => t.ip).join(),
  ])

describe('where a service is served', () => {
  test('its ClusterIP, node port and external addresses', () => {
    const of = service({ ports: [{ name: 'http', port: 80, nodePort: 30080 }], externalIPs: ['192.0.2.7'] }, 'web', {
      loadBalancer: { ingress: [{ ip: '192.0.2.8' }, { ip: '192.0.2.9', ipMode: 'Proxy' }] },
    })
    expect(places(of, slice(at('192.0.2.5')))).toEqual(
      ['127.32.0.9:80', '192.0.2.7:80', '192.0.2.8:80', '192.0.2.5:30080', '127.0.0.1:30080'].map(place => [place, '192.0.2.5', undefined]),
    )
  })
  test('nowhere without endpoints, without a ClusterIP, or when another proxy has it', () => {
    expect(places(service({}))).toEqual([])
    expect(places(service({ clusterIP: 'None' }), slice(at('10.0.0.1')))).toEqual([])
    expect(
      places(
        { ...service({}), metadata: { name: 'web', namespace: 'ns', labels: { 'service.kubernetes.io/service-proxy-name': 'other' } } },
        slice(at('10.0.0.1')),
      ),
    ).toEqual([])
  })
  test('not at its ClusterIP when a process of the node is there already', () => {
    const of = service({ ports: [{ name: 'http', port: 8080, nodePort: 30080 }] })
    expect(places(of, slice(at('192.0.2.5'))).map(([place]) => place)).toEqual(['192.0.2.5:30080', '127.0.0.1:30080'])
    expect(places(of, slice(at('10.0.0.1'))).map(([place]) => place)).toContain('127.32.0.9:8080')
  })
  test('internalTrafficPolicy Local: on this node or nowhere', () => {
    const of = service({ internalTrafficPolicy: 'Local' })
    expect(places(of, slice(at('10.0.0.1'), at('10.0.0.2', 'n2')))).toEqual([['127.32.0.9:80', '10.0.0.1', undefined]])
    expect(places(of, slice(at('10.0.0.2', 'n2')))).toEqual([])
  })
  test('externalTrafficPolicy Local: what comes from elsewhere stays on this node', () => {
    const of = service({ externalTrafficPolicy: 'Local', ports: [{ name: 'http', port: 80, nodePort: 30080 }] })
    expect(places(of, slice(at('10.0.0.1'), at('10.0.0.2', 'n2')))[1]).toEqual(['192.0.2.5:30080', '10.0.0.1,10.0.0.2', '10.0.0.1'])
  })
  test('other protocols are told of', () => {
    expect(serviceListeners(service({ ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] }), [], options)).toEqual({
      listeners: [],
      unproxied: [{ service: 'ns/web', why: "port 53: kube-proxy's mode userspace forwards TCP, not UDP" }],
    })
  })
  test('of two that want the same place the first gets it', () => {
    const [a, b] = ['a', 'b'].map(name => serviceListeners(service({}, name), [slice(at('10.0.0.1'))], options).listeners)
    expect([...mergeListeners([a!, b!]).values()].map(l => l.service)).toEqual(['ns/a'])
  })
})

describe('the order of targets', () => {
  const targets = [1, 2, 3].map(n => ({ ip: `10.0.0.${n}`, port: 80 }))
  test('all of them, from any', () => {
    const first = new Set(Array.from({ length: 200 }, () => order(targets, new Map(), 'c', 0)[0]!.ip))
    expect([...first].sort()).toEqual(targets.map(t => t.ip))
    expect(
      order(targets, new Map(), 'c', 0)
        .map(t => t.ip)
        .sort(),
    ).toEqual(targets.map(t => t.ip))
  })
  test('from the one that the client went to last, until its time is up or it is gone', () => {
    const affinity: Affinity = new Map()
    remember(affinity, 'c', targets[1]!, 1000)
    const firstOf = (from: readonly Target[], now: number) =>
      new Set(Array.from({ length: 100 }, () => order(from, affinity, 'c', now)[0]!.ip)).size
    expect(order(targets, affinity, 'c', 999)[0]).toEqual(targets[1])
    expect(firstOf(targets, 999)).toBe(1)
    expect(firstOf(targets, 1000)).toBe(3)
    expect(firstOf([targets[0]!, targets[2]!], 999)).toBe(2)
    for (let n = 0; n < 20_000; n++) remember(affinity, String(n), targets[0]!, 1000)
    expect(affinity.size).toBe(10_000)
  })
})
