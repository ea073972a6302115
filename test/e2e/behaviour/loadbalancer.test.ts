/**
 * Services of type LoadBalancer: addresses from the pool, reached from this machine and from pods; classes, sharing, policies, clean-up.
 */
import { once } from 'node:events'
import { get } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../../fixtures/cluster.ts'
import { call, parrot } from '../../fixtures/parrot.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

let cluster: SharedCluster
const service = (name: string, spec: object, annotations: object = {}): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, annotations },
    spec: { type: 'LoadBalancer', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }], ...spec },
  })

beforeAll(async () => {
  cluster = await sharedCluster()
  await cluster.kubectl('create', 'deployment', 'web', '--image=registry.k8s.io/echoserver:1.10', '--replicas=1', '--port=8080')
  await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')
}, 180_000)
afterAll(() => cluster?.stop(), 60_000)

const addressOf = (name: string): Promise<string> =>
  eventually(
    async () => (await cluster.kubectl('get', 'service', name, '-o', 'jsonpath={.status.loadBalancer.ingress[0].ip}')) || undefined,
    `${name} has an address`,
  )
/** What the echo server says it saw; or the system's code for why it said nothing. */
const ask = (host: string, port = 80): Promise<string> =>
  new Promise(resolve => {
    get({ host, port, agent: false, timeout: 2000 }, response => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += String(chunk))).on('end', () => resolve(text))
    })
      .on('timeout', function (this: { destroy(e: Error): void }) {
        this.destroy(Object.assign(new Error(), { code: 'TIMEOUT' }))
      })
      .on('error', (e: NodeJS.ErrnoException) => resolve(e.code ?? e.message))
  })
const reasons = async (name: string): Promise<string[]> =>
  (await cluster.kubectl('get', 'events', '--field-selector', `involvedObject.name=${name}`, '-o', 'jsonpath={.items[*].reason}')).split(
    ' ',
  )

test('an address, its ports and no others; it is kept, and given back', async () => {
  await cluster.apply(service('plain', { allocateLoadBalancerNodePorts: false }))
  const ip = await addressOf('plain')
  await eventually(async () => (await ask(ip)).includes('Hostname: web-'), 'this machine gets an answer')
  expect(await ask(ip, 81)).toBe('ECONNREFUSED')
  expect(await cluster.kubectl('exec', 'deployment/web', '--', 'curl', '-s', '-m', '5', `http://${ip}/`)).toContain('Hostname: web-')
  const object = JSON.parse(await cluster.kubectl('get', 'service', 'plain', '-o', 'json')) as {
    metadata: { finalizers: string[] }
    spec: { ports: { nodePort?: number }[] }
    status: object
  }
  expect(object.status).toEqual({ loadBalancer: { ingress: [{ ip, ipMode: 'VIP' }] } })
  expect(object.metadata.finalizers).toEqual(['service.kubernetes.io/load-balancer-cleanup'])
  expect(object.spec.ports[0]!.nodePort).toBeUndefined()
  await eventually(async () => {
    const seen = await reasons('plain')
    return seen.includes('EnsuringLoadBalancer') && seen.includes('EnsuredLoadBalancer')
  }, 'upstream’s events')

  await cluster.kubectl('patch', 'service', 'plain', '-p', '{"spec":{"type":"ClusterIP"}}')
  await eventually(
    async () => (await cluster.kubectl('get', 'service', 'plain', '-o', 'jsonpath={.metadata.finalizers}')) === '',
    'the load balancer is taken down',
  )
  await eventually(async () => !(await ask(ip)).includes('Hostname'), 'nobody answers at the address')
  expect(await reasons('plain')).toContain('DeletedLoadBalancer')
  await cluster.kubectl('delete', 'service', 'plain')
}, 120_000)

test('an address of one’s choice, shared ones, and what cannot be', async () => {
  const shared = { 'coxswain.io/load-balancer-sharing-key': 'both' }
  await cluster.apply(service('first', {}, shared))
  const ip = await addressOf('first')
  await cluster.apply(service('second', { ports: [{ port: 8081, targetPort: 8080 }] }, shared))
  expect(await addressOf('second')).toBe(ip)
  await eventually(async () => (await ask(ip, 8081)).includes('Hostname'), 'the second answers')
  await cluster.apply(service('third', { loadBalancerIP: ip }))
  await eventually(async () => (await reasons('third')).includes('SyncLoadBalancerFailed'), 'it is told why it has none')
  await cluster.kubectl('delete', 'service', 'first')
  expect(await ask(ip, 8081)).toContain('Hostname')
  await cluster.kubectl('delete', 'service', 'second')
  // It was free again.
  expect(await addressOf('third')).toBe(ip)
  await cluster.apply(service('foreign', { loadBalancerClass: 'example.com/other' }))
  await cluster.apply(service('last', {}))
  await addressOf('last')
  expect(await cluster.kubectl('get', 'service', 'foreign', '-o', 'jsonpath={.status.loadBalancer}')).toBe('{}')
  await cluster.kubectl('delete', 'service', 'third', 'foreign', 'last')
}, 120_000)

test('with externalTrafficPolicy Local, by a node that has an endpoint, which sees who asks', async () => {
  await cluster.apply(service('local', { externalTrafficPolicy: 'Local' }))
  const ip = await addressOf('local')
  const machine = (await cluster.kubectl('get', 'node', 'node-1', '-o', 'jsonpath={.status.addresses[0].address}')).replace(/\d+$/, '1')
  await eventually(async () => (await ask(ip)).includes(`client_address=${machine}`), 'the machine’s own address is seen')
  // The endpoint moves, and the address with it.
  for (const node of ['node-1', 'node-2']) {
    const patch = { spec: { template: { spec: { nodeName: node, terminationGracePeriodSeconds: 0 } } } }
    await cluster.kubectl('patch', 'deployment', 'web', '-p', JSON.stringify(patch))
    await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')
    await eventually(async () => (await ask(ip)).includes(`client_address=${machine}`), `it is reached on ${node}`)
  }
  await cluster.kubectl('delete', 'service', 'local')
}, 180_000)

test('an address that moves: connections that are open stay at the node where they began', async () => {
  const moving = JSON.parse(service('moving', { externalTrafficPolicy: 'Local', selector: { app: 'parrot' } })) as object
  await cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [parrot('node-1'), parrot('node-2'), moving] }))
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod', '-l', 'app=parrot', '--timeout=60s')
  const ip = await addressOf('moving')
  const { socket, name } = await eventually(() => call(ip), 'the address answers')
  // It lives, and gets no new connections.
  await cluster.kubectl('label', 'pod', name, 'app-')
  await eventually(async () => {
    const other = await call(ip)
    other.socket.destroy()
    return other.name !== name
  }, 'the address has moved')
  socket.write('still here')
  expect(String((await once(socket, 'data'))[0])).toBe('still here')
  socket.destroy()
  await cluster.kubectl('delete', 'service/moving', 'pod/parrot-node-1', 'pod/parrot-node-2')
}, 180_000)
