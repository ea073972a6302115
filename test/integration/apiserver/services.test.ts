import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { repairClaims } from '#control-plane/apiserver/serviceips/repair.ts'
import { addresses, nodePorts } from '#control-plane/apiserver/serviceips/claims.ts'
import { openRegistry } from '#control-plane/apiserver/registry/jetstream.ts'
import type { Registry } from '#control-plane/apiserver/registry/registry.ts'
import { logger } from '#shared/component/log.ts'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { merge, service, services } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
let other: Rest
let registry: Registry
const quiet = logger('test')
quiet.level = 'silent'
beforeAll(async () => {
  api = await startTestApiServer({ serviceClusterIpRange: '10.77.0.0/24' })
  rest = api.rest
  other = (await api.startAnother()).rest
  registry = await openRegistry({ connection: await api.nats.connect('registry'), log: quiet })
})
afterAll(async () => {
  await registry?.close()
  await api?.stop()
})

const claims = async (): Promise<string[]> => {
  await registry.fresh()
  return [...registry.list(addresses), ...registry.list(nodePorts)].map(s => s.name)
}

describe('services', () => {
  it('get an address of the range', async () => {
    const { body } = await rest('POST', services, service('plain'))
    expect(body.spec).toMatchObject({
      type: 'ClusterIP',
      clusterIPs: [body.spec.clusterIP],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      sessionAffinity: 'None',
    })
    expect(body.spec.clusterIP).toMatch(/^10\.77\.0\.\d+$/)
    expect((await rest('GET', `${services}/kubernetes`)).body.spec).toMatchObject({
      clusterIP: '10.77.0.1',
      ports: [{ name: 'https', port: 443 }],
    })
  })

  it('that every cluster has come back', async () => {
    const path = `${services}/kubernetes`
    const { uid } = (await rest('GET', path)).body.metadata
    const watch = await rest.watch(
      `${services}?watch=1&fieldSelector=metadata.name%3Dkubernetes&resourceVersion=${(await rest('GET', services)).body.metadata.resourceVersion}`,
    )
    await rest('DELETE', path)
    expect((await watch.next()).type).toBe('DELETED')
    const made = await watch.next()
    watch.stop()
    expect(made).toMatchObject({ type: 'ADDED', object: { spec: { clusterIP: '10.77.0.1' } } })
    expect(made.object.metadata.uid).not.toBe(uid)
    await rest('DELETE', '/api/v1/namespaces/kube-node-lease')
    await rest('PUT', '/api/v1/namespaces/kube-node-lease/finalize', {
      ...(await rest('GET', '/api/v1/namespaces/kube-node-lease')).body,
      spec: {},
    })
    await expect.poll(async () => (await rest('GET', '/api/v1/namespaces/kube-node-lease')).body.status?.phase).toBe('Active')
  })

  const types = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName']
  it.each(types.flatMap(from => types.filter(to => to !== from).map(to => [from, to])))(
    'change from %s to %s: what the server set is cleared or set anew',
    async (from, to) => {
      const spec = (type: string): object => ({
        type,
        ...(type === 'ExternalName' ? { externalName: 'example.com' } : {}),
        ...(type === 'LoadBalancer' ? { externalTrafficPolicy: 'Local', loadBalancerClass: 'example.com/lb' } : {}),
      })
      const names = { patched: `${from}-${to}-patch`.toLowerCase(), replaced: `${from}-${to}-put`.toLowerCase() }
      const change = { type: to, externalName: to === 'ExternalName' ? 'example.com' : null }
      await rest('POST', services, service(names.patched, spec(from)))
      if (from === 'LoadBalancer')
        await rest('PATCH', `${services}/${names.patched}/status`, { status: { loadBalancer: { ingress: [{ ip: '1.2.3.4' }] } } }, merge)
      const patched = await rest('PATCH', `${services}/${names.patched}`, { spec: change }, merge)
      const created = (await rest('POST', services, service(names.replaced, spec(from)))).body
      const replaced = await rest('PUT', `${services}/${names.replaced}`, { ...created, spec: { ...created.spec, ...change } })
      for (const { code, body } of [patched, replaced]) {
        expect({ code, message: body.message }).toEqual({ code: 200, message: undefined })
        expect(body.status.loadBalancer).toEqual({})
        const { spec: now } = body
        const address = to === 'ExternalName' ? undefined : expect.stringMatching(/^10\.77\.0\.\d+$/)
        expect(now.clusterIP).toEqual(address)
        expect(now.clusterIPs).toEqual(address && [address])
        expect(now.ipFamilies).toEqual(address && ['IPv4'])
        expect(now.ipFamilyPolicy).toEqual(address && 'SingleStack')
        const outside = to === 'NodePort' || to === 'LoadBalancer'
        expect(now.ports[0].nodePort).toEqual(outside ? expect.any(Number) : undefined)
        expect(now.externalTrafficPolicy).toEqual(outside ? (from === 'LoadBalancer' ? 'Local' : 'Cluster') : undefined)
        expect(now.healthCheckNodePort).toBeUndefined()
        expect(now.allocateLoadBalancerNodePorts).toEqual(to === 'LoadBalancer' ? true : undefined)
        expect(now.loadBalancerClass).toBeUndefined()
        await rest('DELETE', `${services}/${body.metadata.name}`)
      }
    },
  )

  it('keep what they asked for, if it is free', async () => {
    expect((await rest('POST', services, service('fixed', { clusterIP: '10.77.0.9' }))).body.spec.clusterIP).toBe('10.77.0.9')
    expect((await rest('POST', services, service('second', { clusterIP: '10.77.0.9' }))).body).toMatchObject({
      code: 422,
      message:
        'Service "second" is invalid: spec.clusterIPs: Invalid value: ["10.77.0.9"]: failed to allocate IP 10.77.0.9: provided IP is already allocated',
    })
    expect((await rest('POST', services, service('outside', { clusterIP: '10.78.0.9' }))).body.message).toContain(
      'failed to allocate IP 10.78.0.9: the provided network does not match the current range',
    )
    expect(
      (await rest('POST', services, service('port', { type: 'NodePort', ports: [{ port: 80, nodePort: 30123 }] }))).body.spec.ports[0]
        .nodePort,
    ).toBe(30123)
    expect(
      (await rest('POST', services, service('again', { type: 'NodePort', ports: [{ port: 80, nodePort: 30123 }] }))).body,
    ).toMatchObject({
      code: 422,
      message: 'Service "again" is invalid: spec.ports[0].nodePort: Invalid value: 30123: provided port is already allocated',
    })
    expect(
      (await rest('POST', services, service('low', { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] }))).body.message,
    ).toContain('provided port is not in the valid range. The range of valid ports is 30000-32767')
    // What was taken on the way was given back.
    expect(await claims()).not.toContain('80')
    expect((await rest('GET', `${services}/again`)).code).toBe(404)
  })

  it('of two API servers never share an address or a port', async () => {
    const made = await Promise.all(
      Array.from({ length: 40 }, (_, i) => (i % 2 ? rest : other)('POST', services, service(`many-${i}`, { type: 'NodePort' }))),
    )
    expect(made.map(m => m.code)).toEqual(made.map(() => 201))
    expect(new Set(made.map(m => m.body.spec.clusterIP)).size).toBe(40)
    expect(new Set(made.map(m => m.body.spec.ports[0].nodePort)).size).toBe(40)
    const same = await Promise.all(
      Array.from({ length: 10 }, (_, i) => (i % 2 ? rest : other)('POST', services, service(`same-${i}`, { clusterIP: '10.77.0.5' }))),
    )
    expect(same.filter(s => s.code === 201)).toHaveLength(1)
  })

  it('give back what they had', async () => {
    const { body } = await rest('POST', services, service('brief', { type: 'NodePort', clusterIP: '10.77.0.7' }))
    const port = String(body.spec.ports[0].nodePort)
    expect(await claims()).toEqual(expect.arrayContaining(['10.77.0.7', port]))
    const changed = await rest('PATCH', `${services}/brief`, { spec: { type: 'ClusterIP', ports: [{ port: 80, nodePort: null }] } }, merge)
    expect(changed.body.spec).toMatchObject({ type: 'ClusterIP', clusterIP: '10.77.0.7' })
    expect(await claims()).not.toContain(port)
    await rest('DELETE', `${services}/brief`)
    await expect.poll(claims).not.toContain('10.77.0.7')
    expect((await rest('POST', services, service('next', { clusterIP: '10.77.0.7' }))).code).toBe(201)
  })

  it('get addresses of all ServiceCIDRs that are ready', async () => {
    const cidrs = '/apis/networking.k8s.io/v1/servicecidrs'
    expect((await rest('GET', `${cidrs}/kubernetes`)).body).toMatchObject({
      spec: { cidrs: ['10.77.0.0/24'] },
      status: { conditions: [{ type: 'Ready', status: 'True', message: 'Kubernetes default Service CIDR is ready' }] },
    })
    const more = { metadata: { name: 'more' }, spec: { cidrs: ['10.79.0.0/29'] } }
    expect((await rest('POST', cidrs, more)).code).toBe(201)
    for (const ip of ['10.79.0.0', '10.79.0.7', '10.79.0.8'])
      expect((await rest('POST', services, service('edge', { clusterIP: ip }))).body.message).toContain('does not match the current range')
    expect((await rest('POST', services, service('inside', { clusterIP: '10.79.0.6' }))).code).toBe(201)
    const addressOf = async (ip: string) => (await rest('GET', `/apis/networking.k8s.io/v1/ipaddresses/${ip}`)).body
    expect(await addressOf('10.79.0.6')).toMatchObject({
      metadata: { labels: { 'ipaddress.kubernetes.io/ip-family': 'IPv4', 'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io' } },
      spec: { parentRef: { group: '', resource: 'services', namespace: 'default', name: 'inside' } },
    })
    // One that somebody else holds is not free, and stays.
    const foreign = { metadata: { name: '10.79.0.5' }, spec: { parentRef: { group: 'x.org', resource: 'gateways', name: 'g' } } }
    await rest('POST', '/apis/networking.k8s.io/v1/ipaddresses', foreign)
    expect((await rest('POST', services, service('taken', { clusterIP: '10.79.0.5' }))).body.message).toContain('already allocated')
    await repairClaims(registry, quiet)
    expect((await addressOf('10.79.0.5')).spec.parentRef.resource).toBe('gateways')
    const notReady = {
      status: { conditions: [{ type: 'Ready', status: 'False', reason: 'X', lastTransitionTime: '2026-01-01T00:00:00Z' }] },
    }
    expect((await rest('PATCH', `${cidrs}/more/status`, notReady, merge)).code).toBe(200)
    expect((await rest('POST', services, service('late', { clusterIP: '10.79.0.4' }))).body.message).toContain('does not match')
    await rest('DELETE', `${services}/inside`)
    await rest('DELETE', `${cidrs}/more`)
    await rest('DELETE', `${cidrs}/kubernetes`)
    await expect.poll(async () => (await rest('GET', `${cidrs}/kubernetes`)).code).toBe(200)
  })

  it('without an address, and by name only', async () => {
    expect((await rest('POST', services, service('headless', { clusterIP: 'None' }))).body.spec).toMatchObject({
      clusterIP: 'None',
      clusterIPs: ['None'],
      ipFamilies: ['IPv4'],
    })
    const { body } = await rest('POST', services, {
      metadata: { name: 'far' },
      spec: { type: 'ExternalName', externalName: 'example.com' },
    })
    expect(body.spec.clusterIP).toBeUndefined()
    expect(body.spec.ipFamilies).toBeUndefined()
  })

  it('keep their address and ports over a replacement that leaves them out', async () => {
    const { body } = await rest('POST', services, service('stable', { type: 'NodePort' }))
    const put = await rest('PUT', `${services}/stable`, service('stable', { type: 'NodePort', selector: { app: 'new' } }))
    expect(put.body.spec).toMatchObject({
      clusterIP: body.spec.clusterIP,
      selector: { app: 'new' },
      ports: [{ nodePort: body.spec.ports[0].nodePort }],
    })
  })

  it('left claims are found by the repair once they are old', async () => {
    const claim = (name: string, creationTimestamp: string) => ({
      kind: 'IPAddress',
      apiVersion: 'networking.k8s.io/v1',
      metadata: { name, uid: name, creationTimestamp, labels: { 'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io' } },
      spec: { parentRef: { group: '', resource: 'services', namespace: 'default', name: 'never-made' } },
    })
    // Outside of the range, so that nobody has them by chance.
    await registry.put(addresses, '', '10.80.0.1', claim('10.80.0.1', '2020-01-01T00:00:00Z'), 0)
    await registry.put(addresses, '', '10.80.0.2', claim('10.80.0.2', new Date().toISOString()), 0)
    await repairClaims(registry, quiet)
    const left = await claims()
    expect(left).not.toContain('10.80.0.1')
    expect(left).toContain('10.80.0.2')
  })
})
