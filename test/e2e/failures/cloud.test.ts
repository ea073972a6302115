/** Load balancers while what they need is killed: the node that announces an address, its link, the cloud controller manager. */
import path from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { execa } from 'execa'
import { services } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import type { ClusterFixture } from '../../fixtures/cluster.ts'
import { eventually, patience, row, signal, startWeb, traffic, untilAllIsWell } from './setup.ts'

let cluster: ClusterFixture
let client: Client
let address = ''
const ingress = async (name: string): Promise<string | undefined> =>
  (await client.get(services, 'default', name)).status?.loadBalancer?.ingress?.[0]?.ip

beforeAll(async () => {
  // A pod that is told to end still gets requests until every node has heard of it.
  const web = await startWeb({
    nodes: 3,
    replicas: 6,
    flags: ['--zones', '3'],
    container: { lifecycle: { preStop: { sleep: { seconds: 2 } } } },
  })
  ;({ cluster, client } = web)
  await cluster.kubectl('patch', 'service', 'web', '-p', '{"spec":{"type":"LoadBalancer"}}')
  address = await eventually(() => ingress('web'), 'an address')
}, 150_000)
afterAll(() => cluster?.stop(), 60_000)

/** The node that the machine sends to. */
async function announcer(): Promise<string> {
  const { stdout } = await execa('ip', ['route', 'show', address])
  return `node-${Number(/via \d+\.\d+\.\d+\.(\d+)/.exec(stdout)?.[1]) - 10}`
}
const lastFailure = (failures: { at: number }[]): number => Math.max(0, ...failures.map(f => f.at))

row('kill of the node that announces a load balancer', 240_000, async () => {
  const name = await announcer()
  const asking = traffic(`http://${address}/`, 20, 1000)
  await signal(cluster, r => r.component === 'node-init' && r.node === name, name)
  const killed = Date.now()
  await eventually(async () => (await announcer()) !== name, 'another node announces it')
  // Endpoints of the dead node are taken out when it is not heard of any more.
  await eventually(() => Date.now() - Math.max(killed, lastFailure(asking.failures)) > 5000, 'requests fail no more', patience * 15_000)
  await asking.stop()
  expect(lastFailure(asking.failures)).toBeLessThan(killed + patience * 5_000)
  expect((await cluster.cox('node', 'start', name)).stdout).toContain(`node ${name} is Ready`)
  expect(await ingress('web')).toBe(address)
  await untilAllIsWell(cluster, client, 'web', 6)
})

row('a link that is cut: the address moves off the node', 240_000, async () => {
  const name = await announcer()
  await cluster.cox('link', 'cut', name)
  try {
    await eventually(async () => (await announcer()) !== name, 'another node announces it', patience * 5_000)
  } finally {
    await cluster.cox('link', 'heal', name)
  }
  await untilAllIsWell(cluster, client, 'web', 6)
})

/** The way in of an Ingress for every host, and the pods behind it that are Ready. */
async function startIngress(round: number): Promise<string> {
  // What is killed again and again is started later each time: new pods have no such past.
  if (round > 1) await cluster.kubectl('rollout', 'restart', 'deployment/ingress', '-n', 'kube-system')
  if ((await cluster.tryKubectl('get', 'ingress', 'web')).code !== 0) await cluster.kubectl('create', 'ingress', 'web', '--rule=/*=web:80')
  await eventually(
    async () => (await cluster.kubectl('get', 'ingress', 'web', '-o', 'jsonpath={.status.loadBalancer.ingress[0].ip}')) !== '',
    'the Ingress has an address',
    60_000,
  )
  await cluster.kubectl('rollout', 'status', 'deployment/ingress', '-n', 'kube-system', '--timeout=60s')
  const entry = await cluster.kubectl('get', 'ingress', 'web', '-o', 'jsonpath={.status.loadBalancer.ingress[0].ip}')
  await eventually(async () => (await fetch(`http://${entry}/`)).ok, 'it answers', 30_000)
  return entry
}

row('kill -9 of an ingress controller: its proxy serves on, and follows endpoints when it is back', 180_000, async round => {
  const entry = await startIngress(round)
  const asking = traffic(`http://${entry}/`)
  const killed = await signal(cluster, r => r.component === 'container' && r.container === 'controller', 'a controller')
  await eventually(
    async () =>
      (await cluster.ps()).some(
        r => r.component === 'container' && r.container === 'controller' && r.pod === killed.pod && r.pid !== killed.pid,
      ),
    'it is started again',
  )
  await cluster.kubectl('rollout', 'restart', 'deployment/web')
  await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=90s')
  await asking.stop()
  expect(asking.failures).toEqual([])
})

row('kill -9 of an ingress proxy: the other one answers, it comes back', 180_000, async round => {
  const entry = await startIngress(round)
  const asking = traffic(`http://${entry}/`, 20, 1000)
  const { stdout } = await execa('ip', ['route', 'show', entry])
  const node = `node-${Number(/via \d+\.\d+\.\d+\.(\d+)/.exec(stdout)?.[1]) - 10}`
  const isProxy = (r: { component: string; container?: string; node?: string }): boolean =>
    r.component === 'container' && r.container === 'proxy' && r.node === node
  await signal(cluster, isProxy, `the proxy on ${node}`)
  const killed = Date.now()
  await eventually(() => Date.now() - Math.max(killed, lastFailure(asking.failures)) > 3000, 'requests fail no more', patience * 10_000)
  await asking.stop()
  expect(lastFailure(asking.failures)).toBeLessThan(killed + patience * 5_000)
  await cluster.kubectl('rollout', 'status', 'deployment/ingress', '-n', 'kube-system', '--timeout=60s')
})

row('kill -9 of cloud-controller-manager: load balancers work on, new ones come', 120_000, async round => {
  const asking = traffic(`http://${address}/`)
  const killed = await signal(cluster, r => r.component === 'cloud-controller-manager', 'the cloud controller manager')
  const name = `after-${round}`
  await cluster.kubectl('expose', 'deployment', 'web', '--name', name, '--type=LoadBalancer', '--port=80', '--target-port=8080')
  const other = await eventually(() => ingress(name), 'a new one gets an address')
  expect(other).not.toBe(address)
  expect((await cluster.ps()).some(r => r.component === 'cloud-controller-manager' && r.pid !== killed.pid)).toBe(true)
  await eventually(async () => (await fetch(`http://${other}/`)).ok, 'it answers')
  await cluster.kubectl('delete', 'service', name)
  await asking.stop()
  expect(asking.failures).toEqual([])
  expect(await ingress('web')).toBe(address)
})

row('kill -9 of an ingress controller and of cloud-controller-manager: a Gateway is served on, at its address', 240_000, async () => {
  const definitions = path.resolve(import.meta.dirname, '../../../examples/gateway-api.yaml')
  const apiVersion = 'gateway.networking.k8s.io/v1'
  const gateway = (name: string) => ({
    apiVersion,
    kind: 'Gateway',
    metadata: { name },
    spec: { gatewayClassName: 'coxswain', listeners: [{ name: 'http', port: 80, protocol: 'HTTP' }] },
  })
  const make = async (...items: object[]): Promise<void> =>
    void (await cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items })))
  /** Its address, once it is served. */
  async function addressOf(name: string): Promise<string> {
    await cluster.kubectl('wait', '--for=condition=Programmed', `gateway/${name}`, '--timeout=90s')
    return cluster.kubectl('get', 'gateway', name, '-o', 'jsonpath={.status.addresses[0].value}')
  }
  await cluster.kubectl('apply', '-f', definitions)
  try {
    await cluster.kubectl('wait', '--for=condition=Established', '-f', definitions, '--timeout=30s')
    await make(
      { apiVersion, kind: 'GatewayClass', metadata: { name: 'coxswain' }, spec: { controllerName: 'coxswain.io/ingress-controller' } },
      gateway('first'),
      {
        apiVersion,
        kind: 'HTTPRoute',
        metadata: { name: 'web' },
        spec: { parentRefs: [{ name: 'first' }], rules: [{ backendRefs: [{ name: 'web', port: 80 }] }] },
      },
    )
    const first = await addressOf('first')
    await cluster.kubectl('rollout', 'status', 'deployment/ingress', '-n', 'kube-system', '--timeout=60s')
    await eventually(async () => (await fetch(`http://${first}/`)).ok, 'it answers', 30_000)
    const asking = traffic(`http://${first}/`)
    await signal(cluster, r => r.component === 'container' && r.container === 'controller', 'a controller')
    await cluster.kubectl('rollout', 'status', 'deployment/ingress', '-n', 'kube-system', '--timeout=60s')
    await signal(cluster, r => r.component === 'cloud-controller-manager', 'the cloud controller manager')
    await make(gateway('second'))
    expect(await addressOf('second')).not.toBe(first)
    await asking.stop()
    expect(asking.failures).toEqual([])
    expect(await addressOf('first')).toBe(first)
  } finally {
    await cluster.kubectl('delete', '-f', definitions, '--timeout=60s')
  }
})
