/**
 * An Ingress as a user makes one: a proxy comes when it is first wanted, is reached by a load balancer's address, and says what is wrong.
 */
import { get } from 'node:http'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../../fixtures/cluster.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

let cluster: SharedCluster
beforeAll(async () => {
  cluster = await sharedCluster()
  await cluster.kubectl('create', 'deployment', 'web', '--image=registry.k8s.io/echoserver:1.10', '--replicas=2', '--port=8080')
  await cluster.kubectl('expose', 'deployment', 'web', '--port=80', '--target-port=8080')
  await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')
}, 180_000)
afterAll(() => cluster?.stop(), 60_000)

const ask = (address: string, host: string, port = 80): Promise<string> =>
  new Promise(resolve => {
    get({ host: address, port, headers: { host }, agent: false, timeout: 3000 }, response => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += String(chunk))).on('end', () => resolve(text))
    })
      .on('timeout', function (this: { destroy(e: Error): void }) {
        this.destroy(new Error('no answer'))
      })
      .on('error', e => resolve(e.message))
  })

test('an Ingress without a class is served at its address', async () => {
  await cluster.kubectl('create', 'ingress', 'web', '--rule=web.example.com/*=web:80')
  expect(await cluster.kubectl('get', 'ingress', 'web', '-o', 'jsonpath={.spec.ingressClassName}')).toBe('coxswain')
  const address = await eventually(
    async () => (await cluster.kubectl('get', 'ingress', 'web', '-o', 'jsonpath={.status.loadBalancer.ingress[0].ip}')) || undefined,
    'the Ingress has an address',
    120_000,
  )
  await eventually(async () => (await ask(address, 'web.example.com')).includes('Hostname: web-'), 'it answers', 60_000)
  expect(await ask(address, 'other.example.com')).toContain('default backend - 404')
  expect(
    await cluster.kubectl('exec', 'deployment/web', '--', 'curl', '-s', '-m', '5', '-H', 'Host: web.example.com', `http://${address}/`),
  ).toContain('Hostname: web-')

  await cluster.kubectl('create', 'ingress', 'broken', '--rule=web.example.com/broken*=nobody:80')
  const reason = ['get', 'events', '--field-selector', 'involvedObject.name=broken,reason=Rejected', '-o', 'jsonpath={.items[*].message}']
  await eventually(async () => (await cluster.kubectl(...reason)).includes('nobody" does not exist'), 'it is told what is wrong')
  expect(await ask(address, 'web.example.com')).toContain('Hostname: web-')
  await cluster.kubectl('delete', 'ingress', 'web', 'broken')
  await eventually(async () => (await ask(address, 'web.example.com')).includes('404'), 'nothing is served any more')
}, 240_000)

test('a Gateway and an HTTPRoute, as in the examples', async () => {
  const example = (name: string): string => path.resolve(import.meta.dirname, '../../../examples', name)
  await cluster.kubectl('apply', '-f', example('gateway-api.yaml'))
  try {
    const definitions = ['gatewayclasses', 'gateways', 'httproutes'].map(n => `crd/${n}.gateway.networking.k8s.io`)
    await cluster.kubectl('wait', '--for=condition=Established', ...definitions, '--timeout=30s')
    await cluster.kubectl('expose', 'deployment', 'web', '--name=web-next', '--port=80', '--target-port=8080')
    await cluster.kubectl('apply', '-f', example('gateway.yaml'))
    await cluster.kubectl('wait', '--for=condition=Programmed', 'gateway/public', '--timeout=90s')
    const address = await cluster.kubectl('get', 'gateway', 'public', '-o', 'jsonpath={.status.addresses[0].value}')
    await eventually(async () => (await ask(address, 'web.example.com')).includes('Hostname: web-'), 'the route is served')
    const parent = 'jsonpath={.status.parents[0].conditions[?(@.type=="Accepted")].status} {.status.parents[0].controllerName}'
    expect(await cluster.kubectl('get', 'httproute', 'web', '-o', parent)).toBe('True coxswain.io/ingress-controller')
    expect(await cluster.kubectl('get', 'gateway', 'public', '-o', 'jsonpath={.status.listeners[0].attachedRoutes}')).toBe('1')
    // Another Gateway has another address, where this route is not; whatever a third one asks for.
    for (const [name, more] of Object.entries({ broken: { infrastructure: { labels: { of: 'no label!' } } }, other: {} }))
      await cluster.apply(
        JSON.stringify({
          apiVersion: 'gateway.networking.k8s.io/v1',
          kind: 'Gateway',
          metadata: { name },
          spec: { gatewayClassName: 'coxswain', listeners: [{ name: 'http', port: 80, protocol: 'HTTP' }], ...more },
        }),
      )
    await cluster.kubectl('wait', '--for=condition=Programmed', 'gateway/other', '--timeout=60s')
    const otherAddress = await cluster.kubectl('get', 'gateway', 'other', '-o', 'jsonpath={.status.addresses[0].value}')
    expect(otherAddress).not.toBe(address)
    await eventually(async () => (await ask(otherAddress, 'web.example.com')).includes('404'), 'the other Gateway has no routes')
    expect(await ask(address, 'web.example.com')).toContain('Hostname: web-')
    // More listeners: the Gateway's Service gets their ports, and a route by TLS is told that it is taken.
    const more = [
      { name: 'odd', port: 8090, protocol: 'HTTP' },
      { name: 'through', port: 9443, protocol: 'TLS', hostname: '*.through.org', tls: { mode: 'Passthrough' } },
    ]
    await cluster.kubectl(
      ...['patch', 'gateway', 'public', '--type=json', '-p'],
      JSON.stringify(more.map(value => ({ op: 'add', path: '/spec/listeners/-', value }))),
    )
    await eventually(async () => (await ask(address, 'web.example.com', 8090)).includes('Hostname: web-'), 'the other port is served')
    await cluster.apply(
      JSON.stringify({
        apiVersion: 'gateway.networking.k8s.io/v1',
        kind: 'TLSRoute',
        metadata: { name: 'through' },
        spec: {
          parentRefs: [{ name: 'public', sectionName: 'through' }],
          hostnames: ['a.through.org'],
          rules: [{ backendRefs: [{ name: 'web', port: 80 }] }],
        },
      }),
    )
    await eventually(
      async () => (await cluster.kubectl('get', 'tlsroute', 'through', '-o', parent)).startsWith('True'),
      'the TLSRoute is taken',
    )
    await cluster.kubectl('delete', 'httproute/web', 'tlsroute/through')
    await eventually(async () => (await ask(address, 'web.example.com')).includes('404'), 'nothing is served any more')
  } finally {
    await cluster.kubectl('delete', '-f', example('gateway-api.yaml'), '--timeout=60s')
    const services = ['get', 'services', '-n', 'kube-system', '-l', 'gateway.networking.k8s.io/gateway-name', '-o', 'name']
    await eventually(async () => (await cluster.kubectl(...services)) === '', 'the Services of Gateways are gone')
  }
}, 240_000)
